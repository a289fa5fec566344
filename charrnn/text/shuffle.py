"""A new order for the lines of a text that need not fit in memory: 16 bytes a line do."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from charrnn.console import Progress
from charrnn.errors import UserError
from charrnn.text.reading import NEWLINE, Integers, Texts
from charrnn.text.sources import CHUNK_BYTES

LineNumbers = npt.NDArray[np.uint32]

GATHERED_BYTES = 1_000_000
"""About so many bytes are copied at a time."""


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


def shuffled(texts: Texts, lines: int, seed: int, folder: Path, progress: Progress) -> Texts:
    """Copy the text into `folder`, its lines in the order of `seed`; return how the copy is read.

    Args:
        texts: Reads the text in whole lines, none of which is empty.
        lines: How many they are.
        seed: As `random_order` takes it.
        folder: Where two files as large as the text have room.
        progress: Opens a display for each reading and for the copying.

    Raises:
        OSError: The disk is full, for example.
    """
    order = random_order(lines, seed)
    plain, copy = folder / "plain.txt", folder / "shuffled.txt"
    starts = _write_plain(plain, texts, lines)
    many = max(1, GATHERED_BYTES * lines // int(starts[-1]))
    with (
        plain.open("rb") as source,
        copy.open("wb") as target,
        progress("shuffling", int(starts[-1]), unit="bytes") as advance,
    ):
        for first in range(0, lines, many):
            numbers = order[first : first + many].astype(np.int64)
            begins, sizes = starts[numbers], starts[numbers + 1] - starts[numbers]
            files = [source.fileno()] * len(numbers)
            advance(target.write(b"".join(map(os.pread, files, sizes.tolist(), begins.tolist()))))
    plain.unlink()

    def read_copy(description: str) -> Iterator[str]:
        with (
            progress(description, copy.stat().st_size, unit="bytes") as advance,
            copy.open("rb") as file,
        ):
            while part := file.read(CHUNK_BYTES) + file.readline():
                advance(len(part))
                yield part.decode("utf-8", "surrogatepass")

    return read_copy


def _write_plain(path: Path, texts: Texts, lines: int) -> Integers:
    """Write all lines; return at which byte each begins, and at which the last one ends."""
    starts = np.zeros(lines + 1, np.int64)
    line = written = 0
    with path.open("wb") as file:
        for text in texts("copying"):
            part = text.encode("utf-8", "surrogatepass")
            file.write(part)
            ends = np.flatnonzero(np.frombuffer(part, np.uint8) == NEWLINE) + 1
            starts[line + 1 : line + 1 + len(ends)] = ends + written
            line, written = line + len(ends), written + len(part)
    return starts
