"""A stream saved to a file of a few kilobytes, for a later process to go on with.

It holds the hidden state, the ids that were drawn and not read yet, and the position in the
stream of random numbers: all that the next character depends on, but for the options. The file is
a described safetensors file (`charrnn/tensors.py`); nothing in it is ever executed.

Shapes: S parts of the state, L layers, H hidden.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from charrnn.errors import UserError
from charrnn.files import read_checked, write_atomically
from charrnn.generation.seeds import Prefix
from charrnn.messages import format_path
from charrnn.network import STATE_PARTS
from charrnn.run.model_card import ModelCard
from charrnn.tensors import dump_described, parse_described
from charrnn.validation import damaged, record_from_json

FORMAT_VERSION: Literal[2] = 2
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
class _Description:
    """What a file says beside the hidden state."""

    format_version: Literal[2]
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
    description = _Description(
        format_version=FORMAT_VERSION,
        weights_sha256=card.weights_sha256,
        unread_ids=list(saved.prefix.ids),
        rng_seed=saved.rng_seed,
        position=saved.position,
    )
    write_atomically(path, dump_described({"state": state_SL1H}, asdict(description)))


def load_stream(path: Path, card: ModelCard) -> SavedStream:
    """Read what `save_stream` wrote, for the same model.

    Raises:
        UserError: The file is missing, damaged, or of another model.
    """
    shape = (STATE_PARTS[card.cell], card.layers, 1, card.hidden_size)
    content = read_checked(path, path.parent, limit=4 * int(np.prod(shape)) + HEADER_LIMIT_BYTES)
    source = format_path(path)
    tensors, found = parse_described(content, source=source, hint=HINT)
    description = record_from_json(_Description, found, source=source, hint=HINT)
    if description.weights_sha256 != card.weights_sha256:
        raise UserError(
            f"{source} is the state of another model",
            hint="it goes on with the run that it was saved with; training that one on makes "
            "another model of it",
        )
    if max(description.unread_ids) >= card.vocabulary_size:
        raise damaged(source, "it names an id that the model does not have", hint=HINT)
    state_SL1H = tensors.get("state", np.zeros(0))
    is_float32 = state_SL1H.dtype == np.float32
    if not is_float32 or state_SL1H.shape != shape or not np.isfinite(state_SL1H).all():
        raise damaged(source, "it holds no hidden state of this model", hint=HINT)
    prefix = Prefix(description.unread_ids, state_SL1H)
    return SavedStream(prefix=prefix, rng_seed=description.rng_seed, position=description.position)
