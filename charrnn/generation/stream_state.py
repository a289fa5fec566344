"""A stream set aside in a file of a few kilobytes, for a later process to go on with.

It holds the hidden state, the ids that were drawn and not read yet, and where the stream of
random numbers stands: all that the next character depends on, but for the options. The file is
safetensors, with a JSON object of its own among the metadata; nothing in it is ever executed.

Shapes: S parts of the state, L layers, H hidden.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from charrnn.errors import UserError
from charrnn.files import read_checked, write_atomically
from charrnn.generation.jobs import Opening
from charrnn.messages import format_path, format_value, reason
from charrnn.network import STATE_PARTS, FloatArray
from charrnn.run.model_card import ModelCard
from charrnn.tensors import dump_tensors, parse_metadata, parse_tensors

FORMAT_VERSION = 1
HEADER_LIMIT_BYTES = 64 * 1024
MOST_UNREAD = 1024
MOST_DRAWN = 2**53


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedStream:
    """Where a stream stands."""

    opening: Opening
    rng_seed: int
    position: int
    """How many random numbers have been used."""


def save_stream(path: Path, saved: SavedStream, card: ModelCard) -> None:
    """Write a stream's state, whole or not at all.

    Raises:
        RunFailedError: The file cannot be written.
    """
    assert saved.opening.state_SL1H is not None
    header = {
        "format_version": FORMAT_VERSION,
        "weights_sha256": card.weights_sha256,
        "unread_ids": list(saved.opening.ids),
        "rng_seed": saved.rng_seed,
        "position": saved.position,
    }
    state_SL1H, stream = saved.opening.state_SL1H, json.dumps(header)
    metadata = {"charrnn_stream": stream, "sha256": _digest(stream, state_SL1H)}
    write_atomically(path, dump_tensors({"state": state_SL1H}, metadata))


def load_stream(path: Path, card: ModelCard) -> SavedStream:
    """Read what `save_stream` wrote, for the same model.

    Raises:
        UserError: The file is missing, damaged, or of another model.
    """
    state_bytes = 4 * STATE_PARTS[card.cell] * card.layers * card.hidden_size
    content = read_checked(path, path.parent, limit=state_bytes + HEADER_LIMIT_BYTES)
    header, state_SL1H = _parsed(content, path, card)
    if header.get("weights_sha256") != card.weights_sha256:
        raise UserError(
            f"{format_path(path)} is the state of another model",
            hint="name the run that it was saved with by --run; training it on makes another model",
        )
    ids = header.get("unread_ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_UNREAD:
        _refuse(path, "it does not say what is to be read next")
    return SavedStream(
        opening=Opening([_whole(each, card.vocabulary_size, path) for each in ids], state_SL1H),
        rng_seed=_whole(header.get("rng_seed"), 2**63, path),
        position=_whole(header.get("position"), MOST_DRAWN, path),
    )


def _parsed(content: bytes, path: Path, card: ModelCard) -> tuple[Mapping[str, Any], FloatArray]:
    shape = (STATE_PARTS[card.cell], card.layers, 1, card.hidden_size)
    try:
        state_SL1H = parse_tensors(content)["state"]
        metadata = parse_metadata(content)
        stream, digest = metadata["charrnn_stream"], metadata["sha256"]
        header = json.loads(stream)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        _refuse(path, reason(error))
    if state_SL1H.dtype != np.float32 or state_SL1H.ndim != len(shape):
        _refuse(path, "it holds no hidden state")
    if state_SL1H.shape != shape:
        raise UserError(f"{format_path(path)} is the state of a network of another size")
    if not isinstance(header, dict) or header.get("format_version") != FORMAT_VERSION:
        _refuse(path, f"it is not of format version {FORMAT_VERSION}")
    if digest != _digest(stream, state_SL1H):
        _refuse(path, "its content is not what its digest says")
    if not np.isfinite(state_SL1H).all():
        _refuse(path, "its numbers are not finite")
    return header, state_SL1H


def _whole(value: object, limit: int, path: Path) -> int:
    if type(value) is not int or not 0 <= value < limit:
        _refuse(path, f"it has {format_value(value)} where a whole number below {limit:,} belongs")
    return value


def _digest(stream: str, state_SL1H: FloatArray) -> str:
    """What tells damage from a state: of all that the file says."""
    digest = hashlib.sha256(stream.encode())
    digest.update(np.ascontiguousarray(state_SL1H).data)
    return digest.hexdigest()


def _refuse(path: Path, what: str) -> NoReturn:
    raise UserError(
        f"{format_path(path)} is not a state that this charrnn can go on from: {what}",
        hint="--save-state writes one",
    )
