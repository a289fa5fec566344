"""A stream set aside in a file of a few kilobytes, for a later process to go on with.

It holds the hidden state, the ids that were drawn and not read yet, and where the stream of
random numbers stands: all that the next character depends on, but for the options. The file is
safetensors, with a JSON object of its own among the metadata; nothing in it is ever executed.

Shapes: S parts of the state, L layers, H hidden.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from charrnn.errors import UserError
from charrnn.files import checked_size, write_atomically
from charrnn.inference.jobs import Opening
from charrnn.network import STATE_PARTS, FloatArray
from charrnn.run import ModelCard

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
    from safetensors.numpy import save

    assert saved.opening.state_SL1H is not None
    header = {
        "format_version": FORMAT_VERSION,
        "weights_sha256": card.weights_sha256,
        "unread_ids": list(saved.opening.ids),
        "rng_seed": saved.rng_seed,
        "position": saved.position,
    }
    tensors = {"state": np.ascontiguousarray(saved.opening.state_SL1H)}
    write_atomically(path, save(tensors, metadata={"charrnn_stream": json.dumps(header)}))


def load_stream(path: Path, card: ModelCard) -> SavedStream:
    """Read what `save_stream` wrote, for the same model.

    Raises:
        UserError: The file is missing, damaged, or of another model.
    """
    state_bytes = 4 * STATE_PARTS[card.cell] * card.layers * card.hidden_size
    checked_size(path, path.parent, limit=state_bytes + HEADER_LIMIT_BYTES)
    header, state_SL1H = _read(path, card)
    if header.get("weights_sha256") != card.weights_sha256:
        raise UserError(
            f"{path} is the state of another model",
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


def _read(path: Path, card: ModelCard) -> tuple[Mapping[str, Any], FloatArray]:
    from safetensors import SafetensorError, safe_open

    shape = [STATE_PARTS[card.cell], card.layers, 1, card.hidden_size]
    try:
        with safe_open(path, framework="numpy") as stored:
            header = json.loads((stored.metadata() or {})["charrnn_stream"])
            view = stored.get_slice("state")
            if view.get_dtype() != "F32" or len(view.get_shape()) != len(shape):
                _refuse(path, "it holds no hidden state")
            if list(view.get_shape()) != shape:
                raise UserError(f"{path} is the state of a network of another size")
            state_SL1H = stored.get_tensor("state")
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        _refuse(path, str(error))
    if not isinstance(header, dict) or header.get("format_version") != FORMAT_VERSION:
        _refuse(path, f"it is not of format version {FORMAT_VERSION}")
    if not np.isfinite(state_SL1H).all():
        _refuse(path, "its numbers are not finite")
    return header, state_SL1H


def _whole(value: object, limit: int, path: Path) -> int:
    if type(value) is not int or not 0 <= value < limit:
        _refuse(path, f"it has {str(value)[:40]!r} where a whole number below {limit:,} belongs")
    return value


def _refuse(path: Path, what: str) -> NoReturn:
    raise UserError(
        f"{path} is not a state that this charrnn can go on from: {what}",
        hint="--save-state writes one",
    )
