"""The run directory, read.

A run may come from a stranger. Every size is checked against the card before anything is
allocated, nothing is executed, and what is wrong is named.
"""

import hashlib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn.ensemble import matrix_outside_blocks
from charrnn.errors import UserError
from charrnn.files import checked_size, read_checked, read_json_object
from charrnn.messages import format_path, quote, reason
from charrnn.network import FloatArray
from charrnn.run.model_card import ModelCard, read_card
from charrnn.run.paths import (
    CARD_FILE,
    COPY_HINT,
    LAST_FOLDER,
    NEXT_WEIGHTS_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
)
from charrnn.tensors import HEADER_LIMIT_BYTES, BadTensorsError, Tensors, parse_tensors
from charrnn.text.vocabulary import Vocabulary
from charrnn.validation import damaged


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A run that is ready to be used: card, vocabulary and weights, all checked."""

    path: Path
    card: ModelCard
    vocabulary: Vocabulary
    weights: Mapping[str, FloatArray]


def read_model(path: Path) -> TrainedModel:
    """Read a run's vocabulary and best weights, checking everything before allocating anything.

    Raises:
        UserError: Something is missing, damaged, contradictory or from a later version.
    """
    try:
        return _read_model(path)
    except UserError:  # perhaps because a training has put better weights in place meanwhile
        return _read_model(path)


def _read_model(path: Path) -> TrainedModel:
    card = read_card(path)
    vocabulary = read_vocabulary(path)
    if len(vocabulary) != card.vocabulary_size:
        raise UserError(
            f"{format_path(path / VOCABULARY_FILE)} has {len(vocabulary):,} entries, "
            f"{CARD_FILE} says {card.vocabulary_size:,}",
            hint="these files are not from the same run",
        )
    if (vocabulary.bos_id is not None) != (card.mode == "lines"):
        raise UserError(
            f"{format_path(path / VOCABULARY_FILE)} does not fit the mode {card.mode!r}"
        )
    file, content = whole_weights(path, card)
    weights = _parse_weights(content, card, source=format_path(file))
    return TrainedModel(path=path, card=card, vocabulary=vocabulary, weights=weights)


def check_entries(path: Path) -> None:
    """Refuse to go on in a run directory that holds anything but plain files and folders inside.

    What training writes could go through a link to a file of yours elsewhere, and a pipe would
    keep it waiting for ever.

    Raises:
        UserError: Naming the first such thing.
    """
    for entry in [*path.iterdir(), *path.glob(f"{LAST_FOLDER}/*")]:
        if not entry.is_dir() or entry.is_symlink():
            checked_size(entry, path, limit=sys.maxsize)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a run's vocabulary.

    Raises:
        UserError: It is missing, damaged or from a later version.
    """
    file = path / VOCABULARY_FILE
    return Vocabulary.from_json(read_json_object(file, path), source=format_path(file))


def whole_weights(path: Path, card: ModelCard) -> tuple[Path, bytes]:
    """Find the file of weights whose checksum the card names; return it and its content.

    A save that was cut off between its two renames leaves the card's weights under the name
    of the next ones; they are whole, and as good.

    Raises:
        UserError: There is no such file, or this machine could not hold it.
    """
    limit = HEADER_LIMIT_BYTES + 4 * sum(map(math.prod, card.shapes().values()))
    file = path / WEIGHTS_FILE
    for candidate in (file, path / NEXT_WEIGHTS_FILE):
        if candidate.exists():
            content = read_checked(candidate, path, limit=limit)
            if hashlib.sha256(content).hexdigest() == card.weights_sha256:
                return candidate, content
    if not file.exists():
        raise UserError(f"{format_path(file)} is missing", hint=COPY_HINT)
    raise damaged(
        format_path(file), f"it is not the file that {CARD_FILE} describes", hint=COPY_HINT
    )


def _parse_weights(content: bytes, card: ModelCard, *, source: str) -> Tensors:
    """The weights in a file: all those of the card's network, no others, and float32."""
    try:
        weights = parse_tensors(content)
    except BadTensorsError as error:
        raise damaged(source, reason(error), hint=COPY_HINT) from error
    expected = {name: (shape, np.dtype(np.float32)) for name, shape in card.shapes().items()}
    found = {name: (weight.shape, weight.dtype) for name, weight in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            what = f"the weight {quote(name)} is not as {CARD_FILE} describes it"
            raise damaged(source, what, hint=COPY_HINT)
    if (odd := matrix_outside_blocks(weights, card.ensemble_size, card.cell)) is not None:
        what = f"{quote(odd)} is not of {card.ensemble_size} networks, as {CARD_FILE} has it"
        raise damaged(source, what, hint=COPY_HINT)
    return weights
