"""`model.json`: what a run's weights are, and the names and shapes that follow from it.

A card may come from a stranger: nothing in it is believed beyond what a network can have.
"""

import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from charrnn.errors import UserError
from charrnn.files import check_format_version, read_json_object
from charrnn.messages import format_path, format_value
from charrnn.network import GATES
from charrnn.run.paths import CARD_FILE, CONFIG_FILE, START_HINT

FORMAT_VERSION = 1

LARGEST = {
    "vocabulary_size": 0x110010,
    "embedding_size": 65_536,
    "hidden_size": 65_536,
    "layers": 64,
}
"""Sizes beyond which no card is believed."""

SHA256 = re.compile("[0-9a-f]{64}")
LONGEST_VERSION = 100

CARD_LIMIT_BYTES = 1024 * 1024
FLOAT32_BYTES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What the weights are: `model.json`."""

    format_version: int
    charrnn_version: str
    cell: Literal["lstm", "gru", "rnn"]
    input: Literal["embedding", "onehot"]
    embedding_size: int
    hidden_size: int
    layers: int
    tie_weights: bool
    mode: Literal["stream", "lines"]
    vocabulary_size: int
    corpus_sha256: str
    step: int
    valid_loss_nats: float
    weights_sha256: str

    @property
    def gate_rows(self) -> int:
        """G, the rows of each recurrent matrix: 4H, 3H or H."""
        return GATES[self.cell] * self.hidden_size

    @property
    def input_size(self) -> int:
        """Columns of the first layer's input matrix: E, or V when the input is one-hot."""
        return self.vocabulary_size if self.input == "onehot" else self.embedding_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every weight, as torch's nn.LSTM, nn.GRU and nn.RNN name them."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.input == "embedding":
            shapes["embedding.weight"] = (self.vocabulary_size, self.embedding_size)
        for layer in range(self.layers):
            columns = self.input_size if layer == 0 else self.hidden_size
            shapes[f"rnn.weight_ih_l{layer}"] = (self.gate_rows, columns)
            shapes[f"rnn.weight_hh_l{layer}"] = (self.gate_rows, self.hidden_size)
            shapes[f"rnn.bias_ih_l{layer}"] = (self.gate_rows,)
            shapes[f"rnn.bias_hh_l{layer}"] = (self.gate_rows,)
        if not self.tie_weights:
            shapes["output.weight"] = (self.vocabulary_size, self.hidden_size)
        shapes["output.bias"] = (self.vocabulary_size,)
        return shapes

    @property
    def weights_bytes(self) -> int:
        """What all weights together take."""
        return sum(FLOAT32_BYTES * math.prod(shape) for shape in self.shapes().values())

    def to_json(self) -> dict[str, Any]:
        """The card as `model.json` holds it."""
        return asdict(self)


def read_card(path: Path) -> ModelCard:
    """Read and check `model.json`.

    Raises:
        UserError: It is missing, damaged or from a later version.
    """
    if not path.is_dir():
        raise UserError(f"there is no run directory {format_path(path)}", hint=START_HINT)
    file = path / CARD_FILE
    if not file.exists():
        raise UserError(
            f"{format_path(path)} holds no model yet: {CARD_FILE} is missing",
            hint="training writes it at its first evaluation; "
            f"`charrnn train --resume --out {format_path(path)}` continues a run that was stopped"
            if (path / CONFIG_FILE).exists()
            else "a run directory has a config.yaml; is this the folder above it?",
        )
    data = read_json_object(file, path, limit=CARD_LIMIT_BYTES)
    check_format_version(
        data, file, reads=FORMAT_VERSION, hint="a newer charrnn may have written it"
    )
    return _checked_card(data, file)


def _checked_card(data: dict[str, Any], file: Path) -> ModelCard:
    expected = {field.name: field.type for field in fields(ModelCard)}
    if missing := expected.keys() - data.keys():
        raise _damaged(file, f"{min(missing)} is missing")
    for name, kind in expected.items():
        if not _is_of_kind(data[name], kind):
            raise _damaged(file, f"{name} is {format_value(data[name])}")
    card = ModelCard(**{name: data[name] for name in expected})
    if odd := _odd_field(card):
        raise _damaged(file, f"{odd} is {format_value(getattr(card, odd))}")
    for name, most in LARGEST.items():
        if not 1 <= getattr(card, name) <= most:
            raise _damaged(
                file, f"{name} is {format_value(getattr(card, name))}, not 1 to {most:,}"
            )
    if card.tie_weights and (card.input != "embedding" or card.embedding_size != card.hidden_size):
        raise _damaged(file, "tie_weights does not fit the sizes")
    return card


def _odd_field(card: ModelCard) -> str | None:
    """The name of a field whose value is of the right kind, and cannot be all the same."""
    is_right = {
        "charrnn_version": len(card.charrnn_version) <= LONGEST_VERSION,
        "corpus_sha256": SHA256.fullmatch(card.corpus_sha256),
        "step": 0 <= card.step < 2**63,
        "valid_loss_nats": 0 <= card.valid_loss_nats < 2**63,
        "weights_sha256": SHA256.fullmatch(card.weights_sha256),
    }
    return next((name for name, right in is_right.items() if not right), None)


def _damaged(file: Path, what: str) -> UserError:
    return UserError(
        f"{format_path(file)} is damaged: {what}", hint="copy the whole run directory again"
    )


def _is_of_kind(value: object, kind: Any) -> bool:
    if choices := get_args(kind):
        return value in choices
    return type(value) is kind or (kind is float and type(value) is int)
