"""safetensors, read into memory and then looked at: never mapped, nothing in it believed.

A mapped file that is cut short ends the process with SIGBUS, and can change between a check and a
use. Bytes that were read stay what they were.

A described file has, beside its arrays, a JSON object and a digest of both, which tells damage
from what was written.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from charrnn.messages import reason
from charrnn.validation import damaged

Tensors = dict[str, npt.NDArray[Any]]

HEADER_LENGTH_BYTES = 8
HEADER_LIMIT_BYTES = 1024 * 1024
"""What comes before the arrays in a file at the most."""
DESCRIPTION, DIGEST = "description", "sha256"


class BadTensorsError(ValueError):
    """Bytes that are no safetensors file, or not a whole one."""


class DescribedTensors(NamedTuple):
    """Arrays, and what they are."""

    tensors: Tensors
    description: dict[str, Any]


def parse_tensors(content: bytes) -> Tensors:
    """Read every array in a safetensors file, by name.

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
    """Read the texts that a safetensors file carries beside its arrays.

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
    """Write arrays and texts as one safetensors file."""
    from safetensors.numpy import save

    return save(
        {name: np.asarray(array, order="C") for name, array in tensors.items()}, metadata or None
    )


def dump_described(
    tensors: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]
) -> bytes:
    """Write arrays, a JSON object and their digest as one safetensors file."""
    text = json.dumps(description, allow_nan=False)
    return dump_tensors(tensors, {DESCRIPTION: text, DIGEST: _digest(tensors, text)})


def parse_described(content: bytes, *, source: str, hint: str = "") -> DescribedTensors:
    """Read what `dump_described` wrote.

    Args:
        content: The whole file.
        source: What messages call it.
        hint: What to do if it is damaged.

    Raises:
        UserError: It is not, to the last bit, what was written.
    """
    try:
        tensors, metadata = parse_tensors(content), parse_metadata(content)
        text = metadata[DESCRIPTION]
        if metadata[DIGEST] != _digest(tensors, text):
            raise BadTensorsError("its content is not what its digest says")
        return DescribedTensors(tensors, msgspec.json.decode(text, type=dict[str, Any]))
    except KeyError as error:
        raise damaged(source, f"it has no {error.args[0]}", hint=hint) from error
    except (ValueError, TypeError, AttributeError, RecursionError, msgspec.DecodeError) as error:
        raise damaged(source, reason(error), hint=hint) from error


def _digest(tensors: Mapping[str, npt.NDArray[Any]], text: str) -> str:
    """The SHA-256 of a text and of every array: its name, type, shape and content."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
