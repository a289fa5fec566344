"""The text of sources: as parts, which prepare reads twice, and as ids in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.text.corpus import START_TYPE, Split, TextOptions
from charrnn.text.decoding import composed, joined, numbered
from charrnn.text.examples import examples_of
from charrnn.text.sources import Sources, open_sources
from charrnn.text.vocabulary import Vocabulary, bytes_as_characters

Integers = npt.NDArray[np.int64]


class Part(NamedTuple):
    """A part of a text: characters of a stream, or whole examples."""

    file: int
    """The number of the source that it is from."""
    chars: str
    """The characters; without what stands between examples."""
    lengths: Integers | None
    """How many of them each example has, none where nothing stands; None for a stream."""


@dataclass(frozen=True)
class TextReader:
    """Reads a text as often as needed, decoded and normalised as the options say."""

    sources: Sources
    options: TextOptions
    progress: Progress = silent

    def parts(
        self, description: str, watch: Callable[[Iterable[str]], Iterable[str]] = iter
    ) -> Iterator[Part]:
        """Yield the text in parts of any size.

        Args:
            description: What the display shows.
            watch: Sees each file's text go by.

        Raises:
            UserError: A source cannot be read or decoded.
        """
        with self.progress(description, self.sources.size, unit="bytes") as advance:
            codec, errors = self.options.codec, self.options.errors
            files = (watch(source.text(codec, errors, advance)) for source in self.sources.sources)
            yield from parts_of(files, self.options)


def parts_of(files: Iterable[Iterable[str]], options: TextOptions) -> Iterator[Part]:
    """Yield decoded files, normalised, as parts of a stream or as whole examples."""
    if options.normalize == "nfc":
        files = map(composed, files)
    is_exact = options.unit == "byte"
    if options.mode == "stream":
        texts = numbered(files) if is_exact else joined(files)
        yield from (Part(file, text, None) for file, text in texts)
        return
    separator = bytes_as_characters(options.separator) if is_exact else options.separator
    for file, texts_of_file in enumerate(files):
        for examples in examples_of(texts_of_file, separator, is_exact=is_exact):
            yield _part_of_examples(file, examples, options.cut_at)


def _part_of_examples(file: int, examples: list[str], cut_at: int | None) -> Part:
    kept = examples if cut_at is None else [example[:cut_at] for example in examples]
    return Part(file, "".join(kept), np.fromiter(map(len, kept), np.int64, len(kept)))


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
        data: How the model's own text was read: encoding, errors, normalisation, separator.
        vocabulary: The model's; it also says whether the text is taken as examples.
        unknown: Called with the characters of each part that became `<unk>`.
        warn: Called if files of a folder are left out, with their names.
        progress: Opens a display for the reading.

    Raises:
        UserError: A source cannot be read or decoded.
        RunFailedError: The network or the disk failed.
    """
    options = options_for(data, vocabulary)
    ids, lengths = bytearray(), [np.zeros(1, START_TYPE)]
    with open_sources(names, data=data, progress=progress) as sources:
        if warn is not None and sources.left_out:
            warn(sources.left_out_in_words)
        for part in TextReader(sources, options, progress).parts("reading"):
            ids += vocabulary.encode(part.chars).data
            if part.lengths is not None:
                lengths.append(part.lengths[part.lengths > 0].astype(START_TYPE))
            if unknown is not None and vocabulary.unit == "character":
                unknown("".join(char for _, char in vocabulary.unknown_in(part.chars)))
    starts = np.cumsum(np.concatenate(lengths), dtype=START_TYPE)
    whole = np.frombuffer(ids, vocabulary.id_type)
    return Split(whole, starts if vocabulary.has_lines else None)


def options_for(data: DataConfig, vocabulary: Vocabulary) -> TextOptions:
    """Return how any text is read for a run: as its own was, but whole and in its order."""
    divided = "lines" if data.mode == "stream" else data.mode
    mode = divided if vocabulary.has_lines else "stream"
    return TextOptions.from_config(replace(data, mode=mode, shuffle=False, truncate=False))
