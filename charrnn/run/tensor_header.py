"""What a safetensors file says of itself, held against what it must hold, before the rest is read.

A file begins with the length of its header (8 bytes, little-endian), then comes the header: a JSON
object that gives each array's type, shape and place in the bytes that follow. A file of terabytes
takes no longer to refuse than an empty one.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charrnn.run.model_card import FLOAT32_BYTES
from charrnn.tensors import HEADER_LENGTH_BYTES

HEADER_LIMIT_BYTES = 1024 * 1024

Shapes = Mapping[str, tuple[int, ...]]


class HeaderError(ValueError):
    """A header that does not describe the arrays that were expected, each in its place."""


def check_header(file: Path, shapes: Shapes) -> None:
    """Make sure that a file holds float32 arrays of these shapes, and not a byte more.

    Raises:
        HeaderError: It does not; with the first thing that is wrong.
        OSError: It cannot be read.
    """
    header, end = _read_header(file)
    header.pop("__metadata__", None)
    if odd := header.keys() ^ shapes.keys():
        raise HeaderError(f"the weight {min(odd)} is {_missing_or_not(min(odd), shapes)} expected")
    begin = 0
    for name in sorted(header, key=lambda name: _place(header[name])):
        begin = _checked_end(name, header[name], shapes[name], begin)
    size = file.stat().st_size
    if end + begin != size:
        raise HeaderError(f"it has {size:,} bytes, its header describes {end + begin:,}")


def _read_header(file: Path) -> tuple[dict[str, Any], int]:
    """The header, and where in the file it ends."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(HEADER_LENGTH_BYTES), "little")
        end = HEADER_LENGTH_BYTES + length
        if length > HEADER_LIMIT_BYTES or end > os.fstat(stream.fileno()).st_size:
            raise HeaderError("its header is cut off, or far too long")
        text = stream.read(length)
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise HeaderError("its header is no JSON object")
    return header, end


def _place(entry: object) -> tuple[int, int]:
    """Where an array's bytes begin and end, counted from the header's end."""
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or [type(each) for each in offsets] != [int, int]:
        raise HeaderError("its header does not say where the weights stand")
    return offsets[0], offsets[1]


def _checked_end(name: str, entry: Mapping[str, Any], shape: tuple[int, ...], begin: int) -> int:
    """Where an array ends that must begin where the one before it has ended."""
    if entry.get("dtype") != "F32" or entry.get("shape") != list(shape):
        raise HeaderError(
            f"{name} is {entry.get('dtype')} {entry.get('shape')}, not F32 {list(shape)}"
        )
    end = begin + FLOAT32_BYTES * math.prod(shape)
    if _place(entry) != (begin, end):
        raise HeaderError(f"{name} stands at another place than bytes {begin:,} to {end:,}")
    return end


def _missing_or_not(name: str, shapes: Shapes) -> str:
    return "missing, and" if name in shapes else "there, and not"
