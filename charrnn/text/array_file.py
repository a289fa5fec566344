"""One-dimensional .npy files: written part by part, read into memory.

A memory-mapped file that outgrows the disk, or that is cut short while in use, kills the process
with SIGBUS; a plain write or read that fails is an error that can be reported. So a file is read,
unless that would take a large part of the memory; only then it is mapped. Its header and size must
be, byte for byte, those of the array that is expected; nothing in it is parsed.
"""

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from charrnn.errors import UserError
from charrnn.files import checked_size
from charrnn.machine import fits_in_memory
from charrnn.messages import format_path, reason

Array = npt.NDArray[np.unsignedinteger[Any]]
Integers = npt.NDArray[np.integer[Any]]

PREPARE_HINT = "prepare the text again"

LARGEST_SHARE_READ = 0.25
"""The share of this machine's memory beyond which an array is mapped instead of read."""


def write_array(path: Path, dtype: npt.DTypeLike, length: int, parts: Iterable[Integers]) -> None:
    """Write `length` values, which come in parts, to a .npy file, and see to it that it is on disk.

    Raises:
        OSError: The disk is full, for example.
    """
    with path.open("wb") as file:
        file.write(_header(dtype, length))
        for part in parts:
            file.write(part.astype(dtype, copy=False).data)
        file.flush()
        os.fsync(file.fileno())


def check_array(path: Path, dtype: npt.DTypeLike, length: int) -> None:
    """Check by header and size that a .npy file holds `length` values of `dtype`.

    Raises:
        UserError: It does not, is missing, or is a link out of its folder.
    """
    header, kind = _header(dtype, length), np.dtype(dtype)
    try:
        size = checked_size(path, path.parent, limit=sys.maxsize)
        with path.open("rb") as file:
            found = file.read(len(header))
    except OSError as error:
        raise _unreadable(path, reason(error)) from error
    if found != header or size != len(header) + length * kind.itemsize:
        raise _unreadable(path, f"it does not hold {length:,} values of type {kind}")


def load_array(path: Path, dtype: npt.DTypeLike, length: int) -> Array:
    """Read a .npy file that must hold `length` values of `dtype`; map it if it is huge.

    Either way the array cannot be written to.

    Raises:
        UserError: As `check_array`, or it cannot be read.
    """
    check_array(path, dtype, length)
    kind, offset = np.dtype(dtype), len(_header(dtype, length))
    try:
        if not fits_in_memory(length * kind.itemsize, share=LARGEST_SHARE_READ):
            return np.memmap(path, kind, "r", offset, (length,))
        values: Array = np.fromfile(path, kind, offset=offset)
    except OSError as error:
        raise _unreadable(path, reason(error)) from error
    if len(values) != length:
        raise _unreadable(path, f"it does not hold {length:,} values of type {kind}")
    values.flags.writeable = False
    return values


def _header(dtype: npt.DTypeLike, length: int) -> bytes:
    header = io.BytesIO()
    description = npy.dtype_to_descr(np.dtype(dtype))
    npy.write_array_header_1_0(
        header, {"descr": description, "fortran_order": False, "shape": (length,)}
    )
    return header.getvalue()


def _unreadable(path: Path, what: str) -> UserError:
    return UserError(f"cannot read {format_path(path)}: {what}", hint=PREPARE_HINT)
