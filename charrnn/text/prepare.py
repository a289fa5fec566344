"""Turn text into a prepared corpus, unless that has been done before.

1. Hash the text. If no folder holds this text prepared with these options, go on.
2. Read it: count its characters, and the units of each source (characters, or examples), and
   divide it between the two splits.
3. Read it again: write the ids of all its characters to a scratch file.
4. Count the characters of the training part, which become the vocabulary; write each split from
   the scratch file, in the ids of that vocabulary and in the order that its examples are to have.

A corpus is built in a scratch folder beside its place and renamed when all of it is on the disk.
Memory does not grow with the text, except by 8 bytes an example, or 16 if they are shuffled, and
by the longest example.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import repeat
from pathlib import Path

import numpy as np

from charrnn import __version__
from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.files import raise_write_error, scratch_folder, sync_folder, write_json_atomically
from charrnn.messages import format_path, quote
from charrnn.text.array_file import write_array
from charrnn.text.corpus import (
    DATA_VARIABLE,
    FEWEST_UNITS,
    FORMAT_VERSION,
    MANIFEST_FILE,
    START_TYPE,
    VOCABULARY_FILE,
    Corpus,
    LongestExample,
    Manifest,
    SourceRecord,
    SplitName,
    SplitRecord,
    SplitRecords,
    TextOptions,
    find_prepared,
    ids_file,
    open_corpus,
    prepared_folder,
    read_manifest,
    starts_file,
)
from charrnn.text.decoding import Utf8Check
from charrnn.text.prepared_source import open_prepared_source, prepared_source
from charrnn.text.reading import Integers, TextReader
from charrnn.text.sources import STDIN, Sources, is_url, open_sources
from charrnn.text.split import Pieces, divide
from charrnn.text.vocabulary import (
    CODE_POINTS,
    STREAM_SPECIALS,
    IdArray,
    Vocabulary,
    code_points_of,
)

BLOCK_IDS = 128 * 1024
"""About so many ids are copied at a time; larger blocks cost the system more than they save."""
BLOCK_CHARS = 1024 * 1024

OLD_LINE_ENDS_HINT = "`tr '\\r' '\\n' < OLD > NEW` makes line ends of it"


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus, and whether it had to be made."""

    corpus: Corpus
    fresh: bool
    """False: it had been prepared before, and nothing was done."""
    left_out: tuple[str, ...] = ()
    """Files of folders that are not text: their names and what they are."""
    warnings: tuple[str, ...] = ()
    """What may surprise about the text."""


@dataclass(frozen=True)
class _Request:
    """A corpus that is asked for."""

    data: DataConfig
    reader: TextReader
    """Reads all sources, those for validation at the end."""
    valid_sources: int
    hashes: list[str]
    """The SHA-256 of each source."""
    corpus_sha256: str
    is_ours: bool
    """Whether the corpus goes where prepared corpora are kept, under a name of our own."""

    @property
    def options(self) -> TextOptions:
        """What decides which ids the text becomes."""
        return self.reader.options

    def is_for(self, manifest: Manifest) -> bool:
        """Whether this is the manifest of the very corpus that is asked for."""
        hashes = [source.sha256 for source in manifest.sources]
        found = (hashes, manifest.options, manifest.valid_sources)
        return found == (self.hashes, self.options, self.valid_sources)


def prepare(
    data: DataConfig,
    *,
    out: Path | None = None,
    data_dir: Path | None = None,
    progress: Progress = silent,
) -> Prepared:
    """Turn the configured text into ids on disk, unless that has been done before.

    Args:
        data: Where the text comes from and how it is read; a prepared corpus is taken as it is.
        out: The folder to make; left out, one in `data_dir`.
        data_dir: Where prepared corpora are kept; left out, `prepared_folder` knows.
        progress: Opens a display for each pass.

    Raises:
        UserError: The text, the options or `out` are not as they must be.
        RunFailedError: The network or the disk failed; nothing half-made is left.
    """
    options = TextOptions.from_config(data)
    if (folder := prepared_source(data)) is not None:
        if out is not None:
            raise UserError(f"{format_path(folder)} is prepared already", hint="leave --out out")
        corpus = open_prepared_source(folder, data)
        _check_sha256(data, corpus.manifest.corpus_sha256)
        _check_longest(corpus.manifest.longest, data)
        return Prepared(corpus, fresh=False)
    if out is None and (known := _known_download(data, data_dir)):
        _check_longest(known.manifest.longest, data)
        return Prepared(known, fresh=False)
    sha256 = None if data.sha256 is None else data.sha256.lower()
    if STDIN in data.sources and STDIN in data.valid_sources:
        raise UserError(
            "data.source and data.valid_source are both stdin",
            hint="stdin can be read only once; name a file for one of the two",
        )
    with (
        open_sources(data.sources, data=data, sha256=sha256, progress=progress) as sources,
        open_sources(data.valid_sources, data=data, progress=progress) as held_out,
    ):
        hashes, corpus_sha256 = sources.sha256s(progress)
        _check_sha256(data, corpus_sha256)
        if held_out.sources:
            valid_hashes, valid_sha256 = held_out.sha256s(progress)
            hashes += valid_hashes
            corpus_sha256 = hashlib.sha256(f"{corpus_sha256}{valid_sha256}".encode()).hexdigest()
        every = Sources(
            sources.names + held_out.names,
            sources.sources + held_out.sources,
            sources.left_out + held_out.left_out,
        )
        reader = TextReader(every, options, progress)
        request = _Request(
            data, reader, len(held_out.sources), hashes, corpus_sha256, is_ours=out is None
        )
        target = out or prepared_folder(data_dir) / _folder_name(request)
        is_fresh = not _is_occupied(target)
        corpus = _build(target, request) if is_fresh else _same_corpus(target, request)
        return Prepared(corpus, is_fresh, every.left_out, tuple(_warnings(corpus, every)))


def _check_sha256(data: DataConfig, corpus_sha256: str) -> None:
    if data.sha256 is not None and data.sha256.lower() != corpus_sha256:
        raise UserError(
            f"{', '.join(data.sources)} is not the text that was expected: "
            f"its SHA-256 is {corpus_sha256}, not {data.sha256.lower()}",
            hint="change data.sha256, or set it to null, if this text is meant",
        )


def _warnings(corpus: Corpus, sources: Sources) -> Iterator[str]:
    if sources.left_out:
        yield sources.left_out_in_words
    if "\r" in corpus.vocabulary and "\n" not in corpus.vocabulary:
        where = "in lines there is" if corpus.vocabulary.has_lines else "lines end in"
        yield f"{where} \\r without \\n, which ends no line here; {OLD_LINE_ENDS_HINT}"


def _known_download(data: DataConfig, data_dir: Path | None) -> Corpus | None:
    """Find the corpus of a download whose hash is known, so that the network is not needed."""
    if data.sha256 is None or len(data.sources) != 1 or not is_url(data.sources[0]):
        return None
    if data.valid_sources:
        return None
    corpus = find_prepared(data, data.sha256.lower(), data_dir)
    return corpus if corpus is not None and len(corpus.manifest.sources) == 1 else None


def _folder_name(request: _Request) -> str:
    """Return a name that holds a hash of all that matters.

    An option that came later counts where it is not the default, so that corpora of earlier
    versions are found.
    """
    later = {each.name: each.default for each in fields(TextOptions)}
    options = {k: v for k, v in asdict(request.options).items() if v != later[k]}
    if request.valid_sources:
        options["valid_sources"] = request.valid_sources
    identity = json.dumps([FORMAT_VERSION, request.hashes, options])
    return f"{request.reader.sources.slug}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _is_occupied(path: Path) -> bool:
    """Tell whether a folder cannot be put at `path`: only an empty one may be there."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_symlink() or path.exists()


def _same_corpus(target: Path, request: _Request) -> Corpus:
    """Open the corpus at `target`, which must be the very one that is asked for."""
    hint = f"remove {target}" if request.is_ours else "choose another folder"
    try:
        manifest = read_manifest(target)
        corpus = open_corpus(target) if request.is_for(manifest) else None
    except UserError as error:
        raise UserError(f"{target} is in the way: {error.message}", hint=hint) from error
    if corpus is None:
        raise UserError(f"{target} is in the way: it holds another prepared corpus", hint=hint)
    _check_longest(manifest.longest, request.data)
    return corpus


def _build(target: Path, request: _Request) -> Corpus:
    """Build the corpus in a scratch folder, and put it in its place.

    Raises:
        UserError: The text is too short, nothing in it is frequent enough, or an example too long.
        RunFailedError: The disk is full, for example.
    """
    parent = target.absolute().parent
    try:
        with scratch_folder(parent) as scratch:
            folder = _write_corpus(scratch, request)
            try:
                folder.rename(target)
            except OSError:
                if not _is_occupied(target):
                    raise
                # Another process has prepared the same text in the meantime.
                return _same_corpus(target, request)
            sync_folder(parent)
            return open_corpus(target)
    except OSError as error:
        option = f"--data-dir or {DATA_VARIABLE}" if request.is_ours else "--out"
        raise_write_error(target.parent, error, elsewhere=f"{option} names another folder")


def _write_corpus(scratch: Path, request: _Request) -> Path:
    """Write everything that belongs to a corpus to a folder in `scratch`; return it."""
    reader, options = request.reader, request.options
    measure = _measure(reader)
    _check_line_ends(measure, request)
    _check_longest(measure.longest, request.data)
    starts, train, valid, sizes = divide(
        measure.units, options, valid_sources=request.valid_sources, longest_piece=BLOCK_IDS
    )
    _check_sizes(*sizes, request)
    text = _encode(reader, measure.counts, starts, scratch / "ids")
    valid_counts = text.count(valid)
    train_counts = measure.counts - valid_counts
    has_lines = options.mode == "lines"
    vocabulary = (
        Vocabulary.of_bytes(is_utf8=measure.is_utf8, lines=has_lines)
        if options.unit == "byte"
        else Vocabulary.from_counts(train_counts, min_count=options.min_count, lines=has_lines)
    )
    folder = scratch / "corpus"
    folder.mkdir()
    splits = SplitRecords(
        train=_write_split(folder, "train", text, train, train_counts, vocabulary),
        valid=_write_split(folder, "valid", text, valid, valid_counts, vocabulary),
    )
    write_json_atomically(folder / VOCABULARY_FILE, vocabulary.to_json())
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        charrnn=__version__,
        sources=tuple(
            SourceRecord(name=source.name, sha256=sha256, bytes=source.size)
            for source, sha256 in zip(reader.sources.sources, request.hashes, strict=True)
        ),
        valid_sources=request.valid_sources,
        corpus_sha256=request.corpus_sha256,
        options=options,
        characters=int(measure.counts.sum()),
        distinct_characters=int(np.count_nonzero(measure.counts)),
        empty_lines=measure.empty,
        longest=measure.longest,
        cut=measure.cut,
        vocabulary_size=len(vocabulary),
        dtype=vocabulary.id_type.name,
        splits=splits,
        files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    )
    write_json_atomically(folder / MANIFEST_FILE, asdict(manifest))
    return folder


@dataclass
class _Measure:
    """What the first reading of a text finds."""

    counts: Integers
    """How often each code point occurs."""
    units: Integers
    """The characters of each source, or its examples."""
    empty: int = 0
    """Examples in which nothing stands, which are none."""
    cut: int = 0
    longest: LongestExample | None = None
    is_utf8: bool = False
    """Whether bytes are those of UTF-8."""


def _measure(reader: TextReader) -> _Measure:
    """Read a text to count its characters and examples."""
    sources = reader.sources.sources
    measure = _Measure(np.zeros(CODE_POINTS, np.int64), np.zeros(len(sources), np.int64))
    seen, most = np.zeros(len(sources), np.int64), 0
    check = Utf8Check() if reader.options.unit == "byte" else iter
    for file, chars, lengths in reader.parts("reading", check):
        for block in _blocks(chars):
            found = np.bincount(code_points_of(block))
            measure.counts[: len(found)] += found
        if lengths is None:
            measure.units[file] += len(chars)
            continue
        measure.units[file] += np.count_nonzero(lengths)
        measure.empty += int(np.count_nonzero(lengths == 0))
        measure.cut += int(np.count_nonzero(lengths == reader.options.cut_at))
        if lengths.max(initial=0) > most:
            place, most = int(seen[file] + lengths.argmax() + 1), int(lengths.max())
            measure.longest = LongestExample(
                source=sources[file].name, number=place, characters=most
            )
        seen[file] += len(lengths)
    measure.is_utf8 = isinstance(check, Utf8Check) and check.is_utf8
    return measure


def _check_line_ends(measure: _Measure, request: _Request) -> None:
    r"""Refuse lines that end in `\r` alone, which leaves a file one line.

    Raises:
        UserError: With the command that makes line ends of them.
    """
    is_of_text = request.data.mode == "lines" and request.data.unit == "character"
    is_single = is_of_text and measure.units.max() <= 1
    if is_single and measure.counts[ord("\r")]:
        raise UserError(
            f"{', '.join(request.reader.sources.names)} is a single line: its lines end in \\r",
            hint=OLD_LINE_ENDS_HINT,
        )


def unit_in_words(data: DataConfig) -> str:
    """What a text consists of: lines, examples, characters or bytes."""
    return f"{data.unit}s" if data.mode == "stream" else data.mode


def _check_longest(longest: LongestExample | None, data: DataConfig) -> None:
    """Refuse an example that is longer than it may be.

    Raises:
        UserError: With its number and length.
    """
    if longest is None or data.max_length is None or longest.characters <= data.max_length:
        return
    raise UserError(
        f"{longest.source}: {unit_in_words(data).removesuffix('s')} {longest.number:,} has "
        f"{longest.characters:,} {data.unit}s, and data.max_length is {data.max_length:,}",
        hint="--set data.truncate=true cuts it there; "
        f"--set data.max_length={longest.characters} takes it whole, and a batch of such lengths "
        "has to fit into memory",
    )


def _check_sizes(train: int, valid: int, request: _Request) -> None:
    """Refuse a text that is too short for two splits.

    Raises:
        UserError: With the sizes of both.
    """
    if min(train, valid) >= FEWEST_UNITS[request.options.mode]:
        return
    name, unit = ", ".join(request.reader.sources.names), unit_in_words(request.data)
    if request.reader.sources.size == 0:
        raise UserError(f"{name} is empty", hint="there is nothing to learn from")
    setting = "valid_fraction" if request.options.valid_chars is None else "valid_chars"
    hint, separator = f"use a longer text, or another data.{setting}", request.options.separator
    if request.data.mode == "examples":
        hint = f"data.separator is {quote(separator)}; does that divide this text?"
    raise UserError(
        f"{name} is too short: it has {train} {unit} for training and {valid} for validation",
        hint=hint,
    )


@dataclass(frozen=True)
class _EncodedText:
    """The ids of a whole text, in its own order, in a file."""

    path: Path
    vocabulary: Vocabulary
    """All the characters of the text."""
    starts: Integers
    """Where each piece starts, and where the last one ends."""

    def ids(self, pieces: Pieces) -> Iterator[IdArray]:
        """Yield the ids of these pieces, a block at a time."""
        kind = self.vocabulary.id_type
        with self.path.open("rb") as file:
            for begins, ends in self._spans(pieces):
                is_cut = begins[1:] != ends[:-1]  # what follows on is read in one go
                firsts, lasts = begins[np.append(True, is_cut)], ends[np.append(is_cut, True)]
                offsets, sizes = firsts * kind.itemsize, (lasts - firsts) * kind.itemsize
                runs = map(os.pread, repeat(file.fileno()), sizes.tolist(), offsets.tolist())
                yield np.frombuffer(b"".join(runs), kind)

    def split_starts(self, pieces: Pieces) -> Iterator[Integers]:
        """Yield where each of these pieces starts, one after the other, and where the last ends."""
        last = np.zeros(1, np.int64)
        yield last
        for begins, ends in self._spans(pieces):
            starts = last + np.cumsum(ends - begins)
            last = starts[-1:]
            yield starts

    def _spans(self, pieces: Pieces) -> Iterator[tuple[Integers, Integers]]:
        """Yield where pieces begin and end in the file, about `BLOCK_IDS` ids at a time."""
        many = max(1, BLOCK_IDS * len(self.starts) // int(self.starts[-1]))
        for first in range(0, len(pieces), many):
            some = np.asarray(pieces[first : first + many])
            yield self.starts[some], self.starts[some + 1]

    def count(self, pieces: Pieces) -> Integers:
        """Count how often each code point occurs in these pieces."""
        counts = np.zeros(len(self.vocabulary), np.int64)
        for ids in self.ids(pieces):
            counts += np.bincount(ids, minlength=len(counts))
        by_code_point = np.zeros(CODE_POINTS, np.int64)
        points = [ord(char) for char in self.vocabulary.known]
        by_code_point[points] = counts[len(STREAM_SPECIALS) :]
        return by_code_point


def _encode(reader: TextReader, counts: Integers, starts: Integers, path: Path) -> _EncodedText:
    """Write the ids of the whole text to `path`; where its examples start is put into `starts`.

    Raises:
        UserError: There is half of a surrogate pair in it.
        OSError: The disk is full, for example.
    """
    vocabulary = Vocabulary.from_counts(counts, min_count=1, lines=False)
    written = example = 0
    with path.open("wb") as file:
        for _, chars, lengths in reader.parts("encoding"):
            for block in _blocks(chars):
                file.write(vocabulary.encode(block).data)
            if lengths is not None:
                ends = written + np.cumsum(lengths[lengths > 0])
                starts[example + 1 :][: len(ends)] = ends
                example += len(ends)
            written += len(chars)
    return _EncodedText(path, vocabulary, starts)


def _blocks(chars: str) -> Iterator[str]:
    """Cut up what is far longer than usual, of which arrays would take many times its memory."""
    return (chars[at : at + BLOCK_CHARS] for at in range(0, len(chars), BLOCK_CHARS))


def _write_split(
    folder: Path,
    name: SplitName,
    text: _EncodedText,
    pieces: Pieces,
    counts: Integers,
    vocabulary: Vocabulary,
) -> SplitRecord:
    """Write the ids of a split, and where its examples start.

    Raises:
        OSError: The disk is full, for example.
    """
    size = int(counts.sum())
    known = [ord(char) for char in vocabulary.known]
    new_ids = np.pad(vocabulary.encode("".join(text.vocabulary.known)), (len(STREAM_SPECIALS), 0))
    ids = (np.take(new_ids, block) for block in text.ids(pieces))
    write_array(folder / ids_file(name), vocabulary.id_type, size, ids)
    examples = None
    if vocabulary.has_lines:
        examples = len(pieces)
        starts = text.split_starts(pieces)
        write_array(folder / starts_file(name), START_TYPE, examples + 1, starts)
    return SplitRecord(ids=size, lines=examples, unknown=size - int(counts[known].sum()))
