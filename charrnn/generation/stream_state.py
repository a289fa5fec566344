"""A stream saved to a file of a few kilobytes, for a later process to go on with.

It holds the hidden state, the ids that were drawn and not read yet, and the position in the
stream of random numbers: all that the next character depends on, but for the options. The file is
safetensors, with a JSON object of its own among the metadata; nothing in it is ever executed.

Shapes: S parts of the state, L layers, H hidden.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from charrnn.errors import UserError
from charrnn.files import read_checked, write_atomically
from charrnn.generation.seeds import Prefix
from charrnn.messages import format_path, reason
from charrnn.network import STATE_PARTS, FloatArray
from charrnn.run.model_card import ModelCard
from charrnn.tensors import dump_tensors, parse_metadata, parse_tensors
from charrnn.validation import damaged, record_from_json

FORMAT_VERSION = 1
HEADER_LIMIT_BYTES = 64 * 1024
HINT = "save the stream again"


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedStream:
    """Where a stream stands."""

    prefix: Prefix
    rng_seed: int
    position: int
    """How many random numbers have been used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    format_version: Annotated[int, Meta(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    weights_sha256: str
    unread_ids: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=1024)]
    rng_seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    position: Annotated[int, Meta(ge=0, le=2**53 - 1)]


def save_stream(path: Path, saved: SavedStream, card: ModelCard) -> None:
    """Write a stream's state, whole or not at all.

    Raises:
        RunFailedError: The file cannot be written.
    """
    state_SL1H = saved.prefix.state_SL1H
    assert state_SL1H is not None
    header = _Header(
        format_version=FORMAT_VERSION,
        weights_sha256=card.weights_sha256,
        unread_ids=list(saved.prefix.ids),
        rng_seed=saved.rng_seed,
        position=saved.position,
    )
    stream = json.dumps(asdict(header))
    metadata = {"charrnn_stream": stream, "sha256": _digest(stream, state_SL1H)}
    write_atomically(path, dump_tensors({"state": state_SL1H}, metadata))


def load_stream(path: Path, card: ModelCard) -> SavedStream:
    """Read what `save_stream` wrote, for the same model.

    Raises:
        UserError: The file is missing, damaged, or of another model.
    """
    state_bytes = 4 * STATE_PARTS[card.cell] * card.layers * card.hidden_size
    content = read_checked(path, path.parent, limit=state_bytes + HEADER_LIMIT_BYTES)
    source = format_path(path)
    data, state_SL1H = _parse(content, source)
    _check_state(state_SL1H, card, source)
    header = record_from_json(_Header, data, source=source, hint=HINT)
    if header.weights_sha256 != card.weights_sha256:
        raise UserError(
            f"{source} is the state of another model",
            hint="it goes on with the run that it was saved with; training that one on makes "
            "another model of it",
        )
    if max(header.unread_ids) >= card.vocabulary_size:
        raise damaged(source, "it names an id that the model does not have", hint=HINT)
    prefix = Prefix(header.unread_ids, state_SL1H)
    return SavedStream(prefix=prefix, rng_seed=header.rng_seed, position=header.position)


def _parse(content: bytes, source: str) -> tuple[Any, FloatArray]:
    """The JSON object and the state, as they were saved."""
    try:
        state_SL1H = parse_tensors(content)["state"]
        metadata = parse_metadata(content)
        stream, digest = metadata["charrnn_stream"], metadata["sha256"]
        data = json.loads(stream)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(source, f"no stream was saved in it: {reason(error)}", hint=HINT) from error
    if digest != _digest(stream, state_SL1H):
        raise damaged(source, "its content is not what its digest says", hint=HINT)
    return data, state_SL1H


def _check_state(state_SL1H: FloatArray, card: ModelCard, source: str) -> None:
    shape = (STATE_PARTS[card.cell], card.layers, 1, card.hidden_size)
    if state_SL1H.dtype != np.float32 or state_SL1H.ndim != len(shape):
        raise damaged(source, "it holds no hidden state", hint=HINT)
    if state_SL1H.shape != shape:
        raise UserError(f"{source} is the state of a network of another size")
    if not np.isfinite(state_SL1H).all():
        raise damaged(source, "its numbers are not finite", hint=HINT)


def _digest(stream: str, state_SL1H: FloatArray) -> str:
    """The SHA-256 of all that the file says."""
    digest = hashlib.sha256(stream.encode())
    digest.update(np.ascontiguousarray(state_SL1H).data)
    return digest.hexdigest()
