"""A new order for the lines of a text that need not fit in memory."""

import os
from collections.abc import Iterator
from typing import IO

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.text.reading import Integers
from charrnn.text.vocabulary import IdArray

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


def gathered(
    file: IO[bytes], starts: Integers, numbers: LineNumbers, dtype: np.dtype[np.unsignedinteger]
) -> Iterator[tuple[IdArray, Integers]]:
    """Yield the lines with these numbers, many at a time: ids, and where each ends in them."""
    average = max(1, int(starts[-1]) // (len(starts) - 1))
    many = max(1, GATHERED_CHARACTERS // average)
    for first in range(0, len(numbers), many):
        lines = numbers[first : first + many].astype(np.int64)
        begins, ends = starts[lines], starts[lines + 1]
        sizes, places = (ends - begins) * dtype.itemsize, begins * dtype.itemsize
        content = b"".join(
            map(os.pread, [file.fileno()] * len(lines), sizes.tolist(), places.tolist())
        )
        yield np.frombuffer(content, dtype), np.cumsum(ends - begins)
