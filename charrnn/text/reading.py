"""The text of sources: as a stream of strings, which every pass reads, and as ids in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from charrnn.config.schema import DataConfig
from charrnn.console import Advance, Progress, silent
from charrnn.text.corpus import START_TYPE, Mode, Split, TextOptions
from charrnn.text.decoding import composed, decoded, joined, whole_lines, without_empty_lines
from charrnn.text.sources import Source, Sources, open_sources
from charrnn.text.vocabulary import IdArray, Vocabulary, code_points_of

Integers = npt.NDArray[np.int64]

Texts = Callable[[str], Iterator[str]]
"""Reads a text from its beginning, in parts; it is told what for, which a display shows."""

NEWLINE = ord("\n")


@dataclass(frozen=True)
class TextReader:
    """Reads a text as often as needed, decoded and normalised as the options say."""

    sources: Sources
    options: TextOptions
    progress: Progress = silent

    def texts(self, description: str) -> Iterator[str]:
        r"""Yield the text in parts of any size; in lines mode whole lines, ``\n`` after each.

        Lines in which nothing stands are left out.

        Raises:
            UserError: A source cannot be read or decoded.
        """
        texts = self.with_empty_lines(description)
        return map(without_empty_lines, texts) if self.options.mode == "lines" else texts

    def with_empty_lines(self, description: str) -> Iterator[str]:
        """Yield the same, but with the empty lines."""
        with self.progress(description, self.sources.size, unit="bytes") as advance:
            texts = joined(self._decoded(source, advance) for source in self.sources.sources)
            if self.options.normalize == "nfc":
                texts = composed(texts)
            yield from whole_lines(texts) if self.options.mode == "lines" else texts

    def _decoded(self, source: Source, advance: Advance) -> Iterator[str]:
        def chunks() -> Iterator[bytes]:
            for chunk in source.chunks():
                advance(len(chunk))
                yield chunk

        encoding = source.encoding or self.options.encoding
        return decoded(chunks(), encoding=encoding, errors=self.options.errors, name=source.name)


def encode(text: str, vocabulary: Vocabulary) -> tuple[IdArray, Integers]:
    """Return the ids of a part of the text, and after how many of them each of its lines ends.

    In lines mode the text is whole lines, whose ends get no ids. Otherwise it has no lines.
    """
    if not vocabulary.has_lines:
        return vocabulary.encode(text), np.empty(0, np.int64)
    newlines = np.flatnonzero(code_points_of(text) == NEWLINE)
    return vocabulary.encode(text.replace("\n", "")), newlines - np.arange(len(newlines))


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
            starts.append((ends + length).astype(START_TYPE))
            length += len(part)
            if unknown is not None:
                chars = text.replace("\n", "") if vocabulary.has_lines else text
                unknown("".join(char for _, char in vocabulary.unknown_in(chars)))
    return Split(np.concatenate(ids), np.concatenate(starts) if vocabulary.has_lines else None)
