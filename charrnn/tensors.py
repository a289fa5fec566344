"""safetensors, read into memory and then looked at: never mapped, nothing in it believed.

A mapped file that somebody cuts short ends the process with SIGBUS, and can change between a
check and a use. Bytes that were read stay what they were.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = dict[str, npt.NDArray[Any]]

HEADER_LENGTH_BYTES = 8


class BadTensorsError(ValueError):
    """Bytes that are no safetensors file, or not a whole one."""


def parse_tensors(content: bytes) -> Tensors:
    """Every array in a safetensors file, by name.

    Raises:
        BadTensorsError: Its header is damaged, lies about sizes, or overlaps.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadTensorsError(str(error)) from error


def parse_metadata(content: bytes) -> dict[str, str]:
    """The texts that a safetensors file carries beside its arrays.

    Raises:
        BadTensorsError: The header cannot be read.
    """
    end = HEADER_LENGTH_BYTES + int.from_bytes(content[:HEADER_LENGTH_BYTES], "little")
    try:
        metadata = json.loads(content[HEADER_LENGTH_BYTES:end]).get("__metadata__", {})
    except (ValueError, AttributeError, RecursionError) as error:
        raise BadTensorsError(str(error)) from error
    if not isinstance(metadata, dict):
        raise BadTensorsError("its metadata is no object")
    return metadata


def dump_tensors(tensors: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str]) -> bytes:
    """Arrays and texts as one safetensors file."""
    from safetensors.numpy import save

    return save(
        {name: np.asarray(array, order="C") for name, array in tensors.items()}, metadata or None
    )
