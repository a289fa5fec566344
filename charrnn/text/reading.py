"""The text of sources: as a stream of strings, which every pass reads, and as ids in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from charrnn.config.schema import DataConfig
from charrnn.console import Advance, Progress, silent
from charrnn.text.corpus import START_TYPE, Split
from charrnn.text.decoding import composed, decoded, joined, whole_lines
from charrnn.text.manifest import Mode, TextOptions
from charrnn.text.sources import Source, Sources, open_sources
from charrnn.text.vocabulary import IdArray, Vocabulary, code_points_of

Integers = npt.NDArray[np.int64]

NEWLINE = ord("\n")


@dataclass(frozen=True)
class TextReader:
    """Reads a text as often as needed, decoded and normalised as the options say."""

    sources: Sources
    options: TextOptions
    progress: Progress = silent

    def texts(self, description: str) -> Iterator[str]:
        r"""Yield the text in parts of any size; in lines mode whole lines, ``\n`` after each.

        Empty lines are still among them; they are no units.

        Raises:
            UserError: A source cannot be read or decoded.
        """
        with self.progress(description, self.sources.size, unit="bytes") as advance:
            texts = joined(self._decoded(source, advance) for source in self.sources.sources)
            if self.options.normalize == "nfc":
                texts = composed(texts)
            yield from whole_lines(texts) if self.options.mode == "lines" else texts

    def units(self, text: str) -> int:
        """Return what the split counts: the characters of a part, or its lines."""
        return len(line_ends(text)) if self.options.mode == "lines" else len(text)

    def end_of(self, text: str, units: int) -> int:
        """Return where the first `units` units of a part end, at least one."""
        return int(line_ends(text)[units - 1]) + 1 if self.options.mode == "lines" else units

    def _decoded(self, source: Source, advance: Advance) -> Iterator[str]:
        encoding = source.encoding or self.options.encoding
        chunks = _reported(source.chunks(), advance)
        return decoded(chunks, encoding=encoding, errors=self.options.errors, name=source.name)


def line_ends(text: str) -> Integers:
    r"""Return where in whole lines the ``\n`` of each line stands that is not empty."""
    newlines = _newlines(text)
    return newlines[_is_filled(newlines)]


def encode(text: str, vocabulary: Vocabulary) -> tuple[IdArray, Integers | None]:
    """Return the ids of a part of the text.

    With a vocabulary of lines, line ends get no ids; the second array then says, for each line
    that is not empty, after how many of the ids it ends.
    """
    if not vocabulary.has_lines:
        return vocabulary.encode(text), None
    newlines = _newlines(text)
    ends = newlines - np.arange(len(newlines))
    return vocabulary.encode(text.replace("\n", "")), ends[_is_filled(newlines)]


def _newlines(text: str) -> Integers:
    return np.flatnonzero(code_points_of(text) == NEWLINE)


def _is_filled(newlines: Integers) -> npt.NDArray[np.bool_]:
    """Tell for each line end whether anything stands between it and the one before."""
    return np.diff(newlines, prepend=-1) > 1


def read_text(
    names: Sequence[str],
    data: DataConfig,
    vocabulary: Vocabulary,
    *,
    unknown: Callable[[str], None] | None = None,
    progress: Progress = silent,
) -> Split:
    """Read files, folders, `-` or URLs whole, as ids in memory, with a vocabulary that exists.

    Args:
        names: What to read, as `charrnn prepare` takes it.
        data: How the model's own text was read: encoding, errors, normalisation.
        vocabulary: The model's; it also says whether the text is taken as lines.
        unknown: Called with the characters of each part that became `<unk>`.
        progress: Opens a display for the reading.

    Raises:
        UserError: A source cannot be read or decoded.
        RunFailedError: The network or the disk failed.
    """
    mode: Mode = "lines" if vocabulary.has_lines else "stream"
    options = TextOptions.from_config(replace(data, mode=mode, shuffle=False))
    ids, starts, length = [np.empty(0, vocabulary.id_type)], [np.zeros(1, START_TYPE)], 0
    with open_sources(names, progress=progress) as sources:
        for text in TextReader(sources, options, progress).texts("reading"):
            part, ends = encode(text, vocabulary)
            ids.append(part)
            if ends is not None:
                starts.append((ends + length).astype(START_TYPE))
            length += len(part)
            if unknown is not None:
                unknown(_unknown_in(text, part, vocabulary))
    return Split(np.concatenate(ids), np.concatenate(starts) if vocabulary.has_lines else None)


def _unknown_in(text: str, ids: IdArray, vocabulary: Vocabulary) -> str:
    chars = text.replace("\n", "") if vocabulary.has_lines else text
    return "".join(chars[place] for place in np.flatnonzero(ids == vocabulary.unk_id).tolist())


def _reported(chunks: Iterator[bytes], advance: Advance) -> Iterator[bytes]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk
