"""Reading a corpus: its pieces, and a first look at all of them before anything is written."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from charrnn.text.census import Census
from charrnn.text.decoding import decoded, joined, normalized
from charrnn.text.manifest import SourceRecord, TextOptions
from charrnn.text.pieces import Piece, pieces_of
from charrnn.text.progress import Progress
from charrnn.text.sources import Request
from charrnn.text.threads import Background

Watch = Callable[[int, bytes], None]
"""Told of each chunk as it is read, with the number of its source."""


@dataclass(frozen=True)
class Fingerprint:
    """The SHA-256 of every source, and of all their bytes one after the other."""

    sources: tuple[SourceRecord, ...]
    corpus_sha256: str


class Fingerprinter:
    """Takes the fingerprint of sources while they are read, in order."""

    def __init__(self, request: Request) -> None:
        self._sources = request.sources
        self._each = [hashlib.sha256() for _ in request.sources]
        self._all = hashlib.sha256() if len(self._each) != 1 else self._each[0]

    def update(self, number: int, chunk: bytes) -> None:
        """Take in the next bytes, of this source."""
        self._each[number].update(chunk)
        if self._all is not self._each[number]:
            self._all.update(chunk)

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of everything that was taken in."""
        records = (
            SourceRecord(name=source.name, sha256=sha256.hexdigest(), bytes=source.size)
            for source, sha256 in zip(self._sources, self._each, strict=True)
        )
        return Fingerprint(tuple(records), self._all.hexdigest())


@dataclass(frozen=True)
class Survey:
    """What the first pass over a text found."""

    fingerprint: Fingerprint
    census: Census
    empty_lines: int


def take_fingerprint(request: Request, progress: Progress) -> Fingerprint:
    """Read the sources only to know whether they are the same as once before."""
    fingerprinter = Fingerprinter(request)
    with progress("checking", request.size, unit="bytes") as advance:
        for number, source in enumerate(request.sources):
            for chunk in source.chunks():
                fingerprinter.update(number, chunk)
                advance(len(chunk))
    return fingerprinter.fingerprint()


def survey(request: Request, options: TextOptions, progress: Progress) -> Survey:
    """Read the whole text: fingerprint it, take the census, count.

    Raises:
        UserError: The text cannot be read or decoded.
    """
    fingerprinter = Fingerprinter(request)
    census = Census(options.min_count)
    empty_lines = 0
    with Background() as background, progress("reading", request.size, unit="bytes") as advance:

        def watch(number: int, chunk: bytes) -> None:
            background.do(fingerprinter.update, number, chunk)
            advance(len(chunk))

        for piece in read_pieces(request, options, watch):
            census.add(piece)
            empty_lines += piece.empty_lines
    return Survey(fingerprinter.fingerprint(), census, empty_lines)


def read_pieces(request: Request, options: TextOptions, watch: Watch) -> Iterator[Piece]:
    """Yield the pieces of the whole text, as the options have it."""
    files = (_texts_of(request, number, options, watch) for number in range(len(request.sources)))
    return pieces_of(normalized(joined(files), options.normalize), options.mode)


def _texts_of(request: Request, number: int, options: TextOptions, watch: Watch) -> Iterator[str]:
    source = request.sources[number]
    return decoded(
        _watched(source.chunks(), number, watch),
        encoding=source.encoding or options.encoding,
        errors=options.errors,
        name=source.name,
    )


def _watched(chunks: Iterator[bytes], number: int, watch: Watch) -> Iterator[bytes]:
    for chunk in chunks:
        watch(number, chunk)
        yield chunk
