"""A new order for the lines of a text that does not fit in memory.

The order is a sort by random keys. The lines are gathered into it block by block: each block
reads through all of the text once, picks its lines, and puts them in order in memory. So both
reading and writing run in long stretches, and only 8 bytes a line stay in memory throughout.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError

Ids = npt.NDArray[np.unsignedinteger[Any]]
LineNumbers = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

BLOCK_BYTES = 64 * 1024 * 1024
WINDOW_BYTES = 512 * 1024
MOST_LINES = 2 * 1024 * 1024
"""Lines in a block, however short they are: each takes some forty bytes there."""
LONG_LINE = 4096
"""From this length on, copying a line by itself is no slower than an index for each of its ids."""
LIMIT = 2**32
"""Lines are numbered and measured with 32 bits, since there may be very many of them."""
SHUFFLE_HINT = "shuffle the text beforehand, and set data.shuffle=false"


def random_order(lines: int, seed: int) -> LineNumbers:
    """Return the numbers of all lines in the order that `seed` gives them.

    NumPy promises that PCG64's raw output never changes, which it does not for its own shuffles;
    so this order, and with it the split, is the same with every version. A key is 32 random bits
    above the line's own 32-bit number, which makes the sort work in place.
    """
    if lines >= LIMIT:
        raise UserError(f"{lines:,} lines are too many to shuffle", hint=SHUFFLE_HINT)
    keys = np.random.PCG64(seed).random_raw(lines)
    keys &= np.uint64(0xFFFFFFFF00000000)
    for first in range(0, lines, MOST_LINES):
        part = keys[first : first + MOST_LINES]
        part |= np.arange(first, first + len(part), dtype=np.uint64)
    keys.sort()
    return keys.astype(np.uint32)


def line_lengths(sizes: Places) -> LineNumbers:
    """Return the lengths of lines in the form in which a store keeps them."""
    if sizes.max(initial=0) >= LIMIT:
        raise UserError(f"a line of {sizes.max():,} characters is too long", hint=SHUFFLE_HINT)
    return sizes.astype(np.uint32)


@dataclass(frozen=True)
class LineStore:
    """Lines of ids in a plain file, one after the other with nothing between."""

    path: Path
    dtype: np.dtype[np.unsignedinteger[Any]]
    lengths: LineNumbers

    def gathered(self, order: LineNumbers) -> Iterator[tuple[Ids, Places]]:
        """Yield the lines with these numbers, in this order: ids, and each line's end in them."""
        lines_a_block = self._lines_in(BLOCK_BYTES)
        for first in range(0, len(order), lines_a_block):
            yield from self._block(order[first : first + lines_a_block])

    def _block(self, wanted: LineNumbers) -> Iterator[tuple[Ids, Places]]:
        ascending = np.argsort(wanted)
        ids = np.concatenate([*self._picked(wanted[ascending]), np.empty(0, self.dtype)])
        lengths = self.lengths[wanted[ascending]]
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        place = np.empty_like(ascending)
        place[ascending] = np.arange(len(wanted))
        lines_a_step = self._lines_in(WINDOW_BYTES)
        for first in range(0, len(wanted), lines_a_step):
            rows = place[first : first + lines_a_step]
            yield gather(ids, starts[rows], lengths[rows]), np.cumsum(lengths[rows], dtype=np.int64)

    def _picked(self, ascending: LineNumbers) -> Iterator[Ids]:
        """Yield the ids of these lines, reading the file from its beginning to its end."""
        lines_a_window = self._lines_in(WINDOW_BYTES)
        with self.path.open("rb") as file:
            for first in range(0, len(self.lengths), lines_a_window):
                lengths = self.lengths[first : first + lines_a_window]
                starts = np.cumsum(lengths, dtype=np.int64) - lengths
                ids = np.fromfile(file, self.dtype, int(lengths.sum(dtype=np.int64)))
                bounds = np.searchsorted(
                    ascending, np.array([first, first + len(lengths)], np.uint32)
                )
                rows = ascending[slice(*bounds)] - first
                yield gather(ids, starts[rows], lengths[rows])

    @cached_property
    def _size(self) -> int:
        return int(self.lengths.sum(dtype=np.int64)) * self.dtype.itemsize

    def _lines_in(self, size: int) -> int:
        """Return about how many lines make `size` bytes."""
        return max(1, min(len(self.lengths) * size // max(self._size, 1), MOST_LINES))


def gather(ids: Ids, starts: Places, lengths: LineNumbers) -> Ids:
    """Return the stretches of `ids` that begin at `starts`, one after the other."""
    parts = []
    first = 0
    for long in np.flatnonzero(lengths >= LONG_LINE).tolist():
        parts.append(_gather_short(ids, starts[first:long], lengths[first:long]))
        parts.append(ids[starts[long] : starts[long] + lengths[long]])
        first = long + 1
    parts.append(_gather_short(ids, starts[first:], lengths[first:]))
    return np.concatenate(parts)


def _gather_short(ids: Ids, starts: Places, lengths: LineNumbers) -> Ids:
    ends = np.cumsum(lengths, dtype=np.int64)
    shifts = starts - (ends - lengths)
    places = np.repeat(shifts, lengths)
    places += np.arange(len(places))
    return ids.take(places)
