"""A new order for the lines of a text that need not fit in memory: 16 bytes a line do."""

import os
from collections.abc import Iterator
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.text.corpus import SplitName
from charrnn.text.reading import Integers, TextReader, encode
from charrnn.text.vocabulary import IdArray, Vocabulary

LineNumbers = npt.NDArray[np.uint32]

GATHERED_CHARACTERS = 1_000_000
"""About so many characters are copied at a time."""


def random_order(lines: int, seed: int) -> LineNumbers:
    """Return the numbers of all lines in the order that `seed` gives them.

    NumPy promises that PCG64's raw output never changes, which it does not for its own shuffles;
    so this order, and with it the split, is the same with every version. A key is 32 random bits
    above the line's own 32-bit number, which makes the sort work in place.

    Raises:
        UserError: There are 2^32 lines or more.
    """
    if lines >= 2**32:
        raise UserError(
            f"{lines:,} lines are too many to shuffle",
            hint="shuffle the text beforehand, and set data.shuffle=false",
        )
    keys = np.random.PCG64(seed).random_raw(lines)
    keys &= np.uint64(0xFFFFFFFF00000000)
    keys |= np.arange(lines, dtype=np.uint64)
    keys.sort()
    return keys.astype(np.uint32)


def lines_by_split(
    texts: Iterator[str], order: LineNumbers, train_lines: int
) -> Iterator[tuple[SplitName, str]]:
    """Yield the lines of each part that are for training, and those that are not, unended."""
    is_train = np.zeros(len(order), np.bool_)
    is_train[order[:train_lines]] = True
    first = 0
    for text in texts:
        lines = [line for line in text.split("\n") if line]
        selected = is_train[first : first + len(lines)]
        yield "train", "".join(compress(lines, selected))
        yield "valid", "".join(compress(lines, ~selected))
        first += len(lines)


def shuffled_ids(
    reader: TextReader, order: LineNumbers, train_lines: int, vocabulary: Vocabulary, path: Path
) -> Iterator[tuple[SplitName, IdArray, Integers]]:
    """Yield the lines in a new order, many at a time: split, ids, and where each ends in them.

    The ids are first written in the text's own order to `path`, which is removed at the end.

    Raises:
        OSError: The disk is full, for example.
    """
    starts = _write_unshuffled(path, reader, len(order), vocabulary)
    splits: dict[SplitName, LineNumbers] = {
        "train": order[:train_lines],
        "valid": order[train_lines:],
    }
    average = max(1, int(starts[-1]) // len(order))
    many = max(1, GATHERED_CHARACTERS // average)
    with (
        path.open("rb") as file,
        reader.progress("shuffling", int(starts[-1]), unit="characters") as advance,
    ):
        for split, numbers in splits.items():
            for first in range(0, len(numbers), many):
                lines = numbers[first : first + many].astype(np.int64)
                ids = _gathered(file.fileno(), starts, lines, vocabulary.id_type)
                yield split, ids, np.cumsum(starts[lines + 1] - starts[lines])
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
            file.write(ids.data)
            starts[line + 1 : line + 1 + len(ends)] = ends + written
            line, written = line + len(ends), written + len(ids)
    return starts


def _gathered(
    descriptor: int, starts: Integers, lines: Integers, dtype: np.dtype[np.unsignedinteger]
) -> IdArray:
    """Read the ids of the lines with these numbers, one after the other."""
    begins, sizes = starts[lines], starts[lines + 1] - starts[lines]
    pieces = map(
        os.pread,
        [descriptor] * len(lines),
        (sizes * dtype.itemsize).tolist(),
        (begins * dtype.itemsize).tolist(),
    )
    return np.frombuffer(b"".join(pieces), dtype)
