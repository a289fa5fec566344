"""One-dimensional .npy files: written piece by piece through a plain file, read into memory.

A memory-mapped file that outgrows the disk, or that somebody cuts short, kills the process with
SIGBUS; a plain write or read that fails is an error that can be told. So a file is read, unless
that would take a large part of the memory; only then it is mapped. Either happens only if its
header and size are, byte for byte, those of the array that is expected; nothing in it is parsed.
"""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from charrnn.errors import UserError
from charrnn.files import checked_size
from charrnn.machine import physical_bytes
from charrnn.messages import format_path, reason

Array = npt.NDArray[np.unsignedinteger[Any]]
ArrayOpener = Callable[[Path, npt.DTypeLike, int], Array]
"""Opens a .npy file that must hold so many values of a type."""

LARGEST_SHARE_READ = 0.25
"""The share of this machine's memory beyond which an array is mapped instead of read."""

HINT = "prepare the text again"


class ArrayFile:
    """A .npy file that grows at its end; on the disk when the `with` block ends well."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.length = 0
        self._dtype = np.dtype(dtype)
        self._file = path.open("wb")
        self._file.write(_header(self._dtype, 0))

    def append(self, values: npt.NDArray[np.integer[Any]]) -> None:
        """Write `values` at the end.

        Raises:
            OSError: The disk is full, for example.
        """
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self.length += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        self._file.seek(0)
        self._file.write(_header(self._dtype, self.length))
        self._file.flush()
        os.fsync(self._file.fileno())


def _header(dtype: np.dtype[Any], length: int) -> bytes:
    """The .npy header of an array; NumPy pads it so that it is as long for any length."""
    header = io.BytesIO()
    description = npy.dtype_to_descr(dtype)
    npy.write_array_header_1_0(
        header, {"descr": description, "fortran_order": False, "shape": (length,)}
    )
    return header.getvalue()


def map_array(path: Path, dtype: npt.DTypeLike, length: int) -> Array:
    """Map a .npy file that must hold `length` values of `dtype`, without reading it.

    Raises:
        UserError: It is missing, a link out of its folder, or anything else.
    """
    kind = np.dtype(dtype)
    header = _header(kind, length)
    whole = len(header) + length * kind.itemsize
    try:
        size = checked_size(path, path.parent, limit=sys.maxsize)
        with path.open("rb") as file:
            found = file.read(len(header))
    except UserError as error:
        raise UserError(error.message, hint=HINT) from error
    except OSError as error:
        raise _damaged(path, reason(error)) from error
    if found != header or size != whole:
        raise _damaged(path, f"it does not hold {length:,} values of type {kind}")
    return np.memmap(path, kind, "r", len(header), (length,)) if length else np.empty(0, kind)


def load_array(path: Path, dtype: npt.DTypeLike, length: int) -> Array:
    """Read a .npy file that must hold `length` values of `dtype`; map it if it is huge.

    Either way the array cannot be written to.

    Raises:
        UserError: It is missing, or anything else.
    """
    kind = np.dtype(dtype)
    mapped = map_array(path, kind, length)
    memory = physical_bytes()
    if not length or (memory is not None and mapped.nbytes > LARGEST_SHARE_READ * memory):
        return mapped
    try:
        values: Array = np.fromfile(path, kind, length, offset=len(_header(kind, length)))
    except OSError as error:
        raise _damaged(path, reason(error)) from error
    if len(values) != length:
        raise _damaged(path, f"it does not hold {length:,} values of type {kind}")
    values.flags.writeable = False
    return values


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"cannot read {format_path(path)}: {what}", hint=HINT)
