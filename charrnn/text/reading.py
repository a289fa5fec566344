"""The text of sources: as parts, which prepare reads twice, and as ids in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.text.corpus import START_TYPE, Mode, Split, TextOptions
from charrnn.text.decoding import composed, joined, whole_lines, without_empty_lines
from charrnn.text.sources import Sources, open_sources
from charrnn.text.vocabulary import Vocabulary, code_points_of

Integers = npt.NDArray[np.int64]

NEWLINE = ord("\n")


class Part(NamedTuple):
    """A part of a text; in lines mode whole lines, those in which nothing stands left out."""

    chars: str
    """The characters; in lines mode without the line ends."""
    line_ends: Integers | None
    """Lines mode: after how many of the characters each line ends; else None."""
    empty_lines: int
    """Lines mode: how many were left out."""


@dataclass(frozen=True)
class TextReader:
    """Reads a text as often as needed, decoded and normalised as the options say."""

    sources: Sources
    options: TextOptions
    progress: Progress = silent

    def parts(self, description: str) -> Iterator[Part]:
        """Yield the text in parts of any size; `description` is what the display shows.

        Raises:
            UserError: A source cannot be read or decoded.
        """
        return (part_of(text, self.options.mode) for text in self.texts(description))

    def texts(self, description: str) -> Iterator[str]:
        """Yield the same as strings; in lines mode whole lines, the empty ones too."""
        with self.progress(description, self.sources.size, unit="bytes") as advance:
            texts = joined(
                source.text(self.options.encoding, self.options.errors, advance)
                for source in self.sources.sources
            )
            yield from normalized(texts, self.options)


def normalized(texts: Iterable[str], options: TextOptions) -> Iterator[str]:
    """Yield decoded texts normalised as the options say; in lines mode whole lines."""
    if options.normalize == "nfc":
        texts = composed(texts)
    yield from whole_lines(texts) if options.mode == "lines" else texts


def part_of(text: str, mode: Mode) -> Part:
    """Make a part of a text, of whole lines in lines mode."""
    if mode == "stream":
        return Part(text, None, 0)
    kept = without_empty_lines(text)
    newlines = np.flatnonzero(code_points_of(kept) == NEWLINE)
    line_ends = newlines - np.arange(len(newlines))
    return Part(kept.replace("\n", ""), line_ends, text.count("\n") - len(newlines))


def read_text(
    names: Sequence[str],
    data: DataConfig,
    vocabulary: Vocabulary,
    *,
    unknown: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    progress: Progress = silent,
) -> Split:
    """Read files, folders, `-` or URLs whole, as ids in memory, with a vocabulary that exists.

    Args:
        names: What to read, as `charrnn prepare` takes it.
        data: How the model's own text was read: encoding, errors, normalisation.
        vocabulary: The model's; it also says whether the text is taken as lines.
        unknown: Called with the characters of each part that became `<unk>`.
        warn: Called if files of a folder are left out, with their names.
        progress: Opens a display for the reading.

    Raises:
        UserError: A source cannot be read or decoded.
        RunFailedError: The network or the disk failed.
    """
    mode: Mode = "lines" if vocabulary.has_lines else "stream"
    options = TextOptions.from_config(replace(data, mode=mode, shuffle=False))
    ids, starts, length = [np.empty(0, vocabulary.id_type)], [np.zeros(1, START_TYPE)], 0
    with open_sources(names, data=data, progress=progress) as sources:
        if warn is not None and sources.left_out:
            warn(sources.left_out_in_words)
        for part in TextReader(sources, options, progress).parts("reading"):
            ids.append(vocabulary.encode(part.chars))
            if part.line_ends is not None:
                starts.append((part.line_ends + length).astype(START_TYPE))
            length += len(part.chars)
            if unknown is not None:
                unknown("".join(char for _, char in vocabulary.unknown_in(part.chars)))
    return Split(np.concatenate(ids), np.concatenate(starts) if vocabulary.has_lines else None)
