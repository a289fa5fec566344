"""The passes over a text that is being prepared, each from its beginning.

1. Count the units (characters, or lines in lines mode), which decides where the split is.
2. Count the characters of each split. Those of the training part are the vocabulary.
3. Write the ids. A shuffled text is first written in its own order, then gathered line by line.

Memory does not grow with the text, except for 16 bytes a line if the lines are shuffled.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import IO

import numpy as np

from charrnn.errors import UserError
from charrnn.text.array_file import new_array_file
from charrnn.text.corpus import START_TYPE
from charrnn.text.manifest import (
    FEWEST_UNITS,
    SPLITS,
    SplitName,
    SplitRecord,
    SplitRecords,
    TextOptions,
    ids_file,
    starts_file,
)
from charrnn.text.reading import NEWLINE, Integers, TextReader, encode
from charrnn.text.shuffle import LineNumbers, gathered, random_order
from charrnn.text.vocabulary import (
    CODE_POINTS,
    IdArray,
    Vocabulary,
    code_points_of,
    is_surrogate,
)


@dataclass(frozen=True)
class Division:
    """How the units of a text, its characters or lines, are divided between the splits."""

    train_units: int
    valid_units: int
    empty_lines: int
    """Lines mode: lines that are no units, because nothing stands in them."""
    order: LineNumbers | None
    """Shuffled: the numbers of all lines in their new order; those for training come first."""


def divide(reader: TextReader) -> Division:
    """Count the units of the text and decide which are for training.

    Raises:
        UserError: There are too few for two splits.
    """
    units = newlines = 0
    for text in reader.texts("reading"):
        units += reader.units(text)
        newlines += text.count("\n")
    train = int(units * (1 - reader.options.valid_fraction))
    if min(train, units - train) < FEWEST_UNITS[reader.options.mode]:
        raise _too_short(reader, train, units - train)
    seed = reader.options.shuffle_seed
    return Division(
        train_units=train,
        valid_units=units - train,
        empty_lines=newlines - units if reader.options.mode == "lines" else 0,
        order=None if seed is None else random_order(units, seed),
    )


def _too_short(reader: TextReader, train: int, valid: int) -> UserError:
    name = ", ".join(reader.sources.names)
    if reader.sources.size == 0:
        return UserError(f"{name} is empty", hint="there is nothing to learn from")
    unit = "lines" if reader.options.mode == "lines" else "characters"
    return UserError(
        f"{name} is too short: it has {train} {unit} for training and {valid} for validation",
        hint="use a longer text, or another data.valid_fraction",
    )


def count_characters(reader: TextReader, division: Division) -> dict[SplitName, Integers]:
    """Return for each split how often it has every code point; lines are counted without ends."""
    texts = reader.texts("counting")
    parts = (
        _in_order(reader, texts, division.train_units)
        if division.order is None
        else _by_line(texts, division.order, division.train_units)
    )
    counts = {split: np.zeros(CODE_POINTS, np.int64) for split in SPLITS}
    for split, text in parts:
        found = np.bincount(code_points_of(text))
        counts[split][: len(found)] += found
    if reader.options.mode == "lines":
        for count in counts.values():
            count[NEWLINE] = 0
    return counts


def _in_order(
    reader: TextReader, texts: Iterator[str], train_units: int
) -> Iterator[tuple[SplitName, str]]:
    """Yield each part with its split, the one that the split falls in cut in two."""
    left = train_units
    for text in texts:
        units = reader.units(text)
        if units <= left:
            yield "train", text
        elif left == 0:
            yield "valid", text
        else:
            place = reader.end_of(text, left)
            yield "train", text[:place]
            yield "valid", text[place:]
        left = max(left - units, 0)


def _by_line(
    texts: Iterator[str], order: LineNumbers, train_lines: int
) -> Iterator[tuple[SplitName, str]]:
    """Yield the lines of each part that are for training, and those that are not."""
    is_train = np.zeros(len(order), np.bool_)
    is_train[order[:train_lines]] = True
    first = 0
    for text in texts:
        lines = [line for line in text.split("\n") if line]
        selected = is_train[first : first + len(lines)]
        yield "train", "".join(compress(lines, selected))
        yield "valid", "".join(compress(lines, ~selected))
        first += len(lines)


def frequent_characters(counts: Integers, options: TextOptions) -> Vocabulary:
    """Return the vocabulary of a training part in which characters are so frequent.

    Raises:
        UserError: No character is frequent enough, or one is half of a surrogate pair.
    """
    points = np.flatnonzero(counts >= options.min_count).tolist()
    if not points:
        raise UserError(
            f"no character is seen {options.min_count:,} times in the training part",
            hint="lower data.min_count",
        )
    if halves := [point for point in points if is_surrogate(point)]:
        raise UserError(
            f"the text holds U+{halves[0]:04X}, half of a pair and no character",
            hint=f"{options.encoding} may be the wrong data.encoding",
        )
    return Vocabulary.from_characters(map(chr, points), lines=options.mode == "lines")


def split_records(
    counts: dict[SplitName, Integers], division: Division, vocabulary: Vocabulary
) -> SplitRecords:
    """Return the sizes of both splits."""
    known = [ord(char) for char in vocabulary.characters[len(vocabulary.specials) :]]

    def record(count: Integers, units: int) -> SplitRecord:
        characters = int(count.sum())
        return SplitRecord(
            ids=characters,
            lines=units if vocabulary.has_lines else None,
            unknown=characters - int(count[known].sum()),
        )

    return SplitRecords(
        train=record(counts["train"], division.train_units),
        valid=record(counts["valid"], division.valid_units),
    )


def write_splits(
    folder: Path,
    reader: TextReader,
    division: Division,
    sizes: SplitRecords,
    vocabulary: Vocabulary,
) -> None:
    """Write the ids, and in lines mode where lines start.

    Raises:
        OSError: The disk is full, for example.
    """
    with ExitStack() as stack:
        files = {
            split: _SplitFiles(stack, folder, split, sizes[split], vocabulary) for split in SPLITS
        }
        if division.order is None:
            texts = reader.texts("encoding")
            for split, text in _in_order(reader, texts, division.train_units):
                files[split].write(*encode(text, vocabulary))
        else:
            _write_shuffled(files, folder / "unshuffled", reader, division.order, vocabulary)


class _SplitFiles:
    """The files of one split, open for writing until `stack` closes them."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        split: SplitName,
        size: SplitRecord,
        vocabulary: Vocabulary,
    ) -> None:
        self.lines = size.lines
        self._written = 0
        self._ids = stack.enter_context(
            new_array_file(folder / ids_file(split), vocabulary.id_type, size.ids)
        )
        self._starts: IO[bytes] | None = None
        if size.lines is not None:
            self._starts = stack.enter_context(
                new_array_file(folder / starts_file(split), START_TYPE, size.lines + 1)
            )
            self._starts.write(np.zeros(1, START_TYPE).data)

    def write(self, ids: IdArray, ends: Integers | None) -> None:
        """Write the next ids; `ends` says after how many of them each line ends."""
        self._ids.write(ids.data)
        if self._starts is not None and ends is not None:
            self._starts.write((ends + self._written).astype(START_TYPE).data)
        self._written += len(ids)


def _write_shuffled(
    files: dict[SplitName, _SplitFiles],
    path: Path,
    reader: TextReader,
    order: LineNumbers,
    vocabulary: Vocabulary,
) -> None:
    """Write the ids in the text's own order to `path`, then copy line by line in the new one."""
    starts = _write_unshuffled(path, reader, len(order), vocabulary)
    lines = {"train": order[: files["train"].lines], "valid": order[files["train"].lines :]}
    with (
        path.open("rb") as file,
        reader.progress("shuffling", int(starts[-1]), unit="characters") as advance,
    ):
        for split in SPLITS:
            for ids, ends in gathered(file, starts, lines[split], vocabulary.id_type):
                files[split].write(ids, ends)
                advance(len(ids))
    path.unlink()


def _write_unshuffled(
    path: Path, reader: TextReader, lines: int, vocabulary: Vocabulary
) -> Integers:
    """Write the ids of all lines; return where each begins, and where the last one ends."""
    starts = np.zeros(lines + 1, np.int64)
    line = written = 0
    with path.open("wb") as file:
        for text in reader.texts("encoding"):
            ids, ends = encode(text, vocabulary)
            assert ends is not None
            file.write(ids.data)
            starts[line + 1 : line + 1 + len(ends)] = ends + written
            line, written = line + len(ends), written + len(ids)
    return starts
