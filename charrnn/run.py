"""The run directory, read: the only thing that training leaves and inference needs.

    runs/NAME/
      config.yaml          the resolved configuration
      vocabulary.json      the characters in id order
      model.safetensors    the best weights by validation loss, float32
      model.json           what they are: the ModelCard, with their checksum
      metrics.jsonl        one object a line
      last/                what --resume needs

A run may come from a stranger. Every size is checked against the card before anything is
allocated, nothing is executed, and what is wrong is named. `run_writer` writes what this reads.
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from charrnn.config.memory import physical_bytes
from charrnn.errors import UserError
from charrnn.files import checked_size, read_checked, read_json_object
from charrnn.network import GATES, FloatArray
from charrnn.tensor_file import BadTensorsError, Tensors, parse_tensors
from charrnn.tensor_header import HeaderError, check_header
from charrnn.text.vocabulary import Vocabulary
from charrnn.wording import byte_size, quoted, reason, shown, shown_path

FORMAT_VERSION = 1
RUNS_FOLDER = Path("runs")

CONFIG_FILE = "config.yaml"
VOCABULARY_FILE = "vocabulary.json"
WEIGHTS_FILE = "model.safetensors"
NEXT_WEIGHTS_FILE = "model.safetensors.next"
CARD_FILE = "model.json"
METRICS_FILE = "metrics.jsonl"
LAST_FOLDER = "last"

LARGEST = {
    "vocabulary_size": 0x110010,
    "embedding_size": 65_536,
    "hidden_size": 65_536,
    "layers": 64,
}
"""Sizes beyond which no card is believed."""

SHA256 = re.compile("[0-9a-f]{64}")
LONGEST_VERSION = 100

SAFETENSORS_HEADER_LIMIT = 1024 * 1024
CARD_LIMIT_BYTES = 1024 * 1024
CHARACTER_LIMIT_BYTES = 24
"""What a character takes in `vocabulary.json` at the most, however it is written and indented."""
FLOAT32_BYTES = 4

START_HINT = "`charrnn train --config configs/quickstart.yaml` makes a run"


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
        return sum(FLOAT32_BYTES * _count(shape) for shape in self.shapes().values())

    def to_json(self) -> dict[str, Any]:
        """The card as `model.json` holds it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A run that is ready to be used: card, vocabulary and weights, all checked."""

    path: Path
    card: ModelCard
    vocabulary: Vocabulary
    weights: Mapping[str, FloatArray]


def resolve_run(option: str | None) -> Path:
    """The run that a command means: the one named, or else the run trained last under `runs/`.

    Raises:
        UserError: There is no such run.
    """
    if option is not None:
        if not option:
            raise UserError(
                "the name of the run directory is empty",
                hint="give --run (or CHARRNN_RUN) a folder, or leave it out for the newest run",
            )
        path = Path(option)
        if not path.is_dir():
            raise UserError(f"there is no run directory {shown_path(path)}", hint=START_HINT)
        return path
    runs = [card.parent for card in RUNS_FOLDER.glob(f"*/{CARD_FILE}")]
    if not runs:
        raise UserError(f"there is no trained run under {RUNS_FOLDER}/", hint=START_HINT)
    return max(runs, key=lambda run: ((run / CARD_FILE).stat().st_mtime_ns, run.name))


def read_model(path: Path) -> TrainedModel:
    """Read a run's vocabulary and best weights, checking everything before allocating anything.

    Raises:
        UserError: Something is missing, damaged, contradictory or from a later version.
    """
    before = _stamps(path)
    try:
        return _read_model(path)
    except UserError:
        if _stamps(path) == before:
            raise
        return _read_model(path)  # a training has put better weights in place meanwhile


def _stamps(path: Path) -> list[tuple[int, ...] | None]:
    """What changes when a training saves."""
    return [_stamp(path / name) for name in (CARD_FILE, WEIGHTS_FILE, NEXT_WEIGHTS_FILE)]


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_model(path: Path) -> TrainedModel:
    card = read_card(path)
    _check_weights_header(path, card)
    vocabulary = read_vocabulary(path, most=card.vocabulary_size)
    if len(vocabulary) != card.vocabulary_size:
        raise UserError(
            f"{shown_path(path / VOCABULARY_FILE)} has {len(vocabulary):,} entries, "
            f"{CARD_FILE} says {card.vocabulary_size:,}",
            hint="these files are not from the same run",
        )
    if (vocabulary.bos_id is not None) != (card.mode == "lines"):
        raise UserError(f"{shown_path(path / VOCABULARY_FILE)} does not fit the mode {card.mode!r}")
    weights = _parsed(whole_weights(path, card), card)
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


def read_vocabulary(path: Path, *, most: int = LARGEST["vocabulary_size"]) -> Vocabulary:
    """Read a run's vocabulary, which has at most so many entries.

    Raises:
        UserError: It is missing, damaged or from a later version.
    """
    file = path / VOCABULARY_FILE
    limit = CARD_LIMIT_BYTES + CHARACTER_LIMIT_BYTES * most
    data = read_json_object(file, path, limit=limit)
    return Vocabulary.from_json(data, source=shown_path(file))


def read_card(path: Path) -> ModelCard:
    """Read and check `model.json`.

    Raises:
        UserError: It is missing, damaged or from a later version.
    """
    if not path.is_dir():
        raise UserError(f"there is no run directory {shown_path(path)}", hint=START_HINT)
    file = path / CARD_FILE
    if not file.exists():
        raise UserError(
            f"{shown_path(path)} holds no model yet: {CARD_FILE} is missing",
            hint="training writes it at its first evaluation; "
            f"`charrnn train --resume --out {shown_path(path)}` goes on with a run that was stopped"
            if (path / CONFIG_FILE).exists()
            else "a run directory has a config.yaml; is this the folder above it?",
        )
    data = read_json_object(file, path, limit=CARD_LIMIT_BYTES)
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{shown_path(file)} has format version {shown(version)}; "
            f"this charrnn reads {FORMAT_VERSION}",
            hint="a newer charrnn may have written it",
        )
    return _checked_card(data, file)


def _checked_card(data: dict[str, Any], file: Path) -> ModelCard:
    expected = {field.name: field.type for field in fields(ModelCard)}
    if missing := expected.keys() - data.keys():
        raise _damaged(file, f"{min(missing)} is missing")
    for name, kind in expected.items():
        if not _is_of_kind(data[name], kind):
            raise _damaged(file, f"{name} is {shown(data[name])}")
    card = ModelCard(**{name: data[name] for name in expected})
    if odd := _odd_field(card):
        raise _damaged(file, f"{odd} is {shown(getattr(card, odd))}")
    for name, most in LARGEST.items():
        if not 1 <= getattr(card, name) <= most:
            raise _damaged(file, f"{name} is {shown(getattr(card, name))}, not 1 to {most:,}")
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
        f"{shown_path(file)} is damaged: {what}", hint="copy the whole run directory again"
    )


def _check_weights_header(path: Path, card: ModelCard) -> None:
    """Refuse weights that are not what the card says before reading more than their header."""
    file = path / WEIGHTS_FILE
    if not file.exists():
        return  # and who looks for the weights will say so, or find the next ones
    checked_size(file, path, limit=card.weights_bytes + SAFETENSORS_HEADER_LIMIT)
    try:
        check_header(file, card.shapes())
    except (HeaderError, OSError) as error:
        raise UserError(
            f"{shown_path(file)} is damaged, or not what {CARD_FILE} describes: {reason(error)}",
            hint="copy the whole run directory again",
        ) from error


def _is_of_kind(value: object, kind: Any) -> bool:
    if choices := get_args(kind):
        return value in choices
    return type(value) is kind or (kind is float and type(value) is int)


class WeightsFile(NamedTuple):
    """A file of weights and what was read from it."""

    path: Path
    content: bytes


def whole_weights(path: Path, card: ModelCard) -> WeightsFile:
    """The weights whose checksum the card names, read in one go.

    A save that was cut off between its two renames leaves the card's weights under the name
    of the next ones; they are whole, and as good.

    Raises:
        UserError: There is no such file, or this machine could not hold it.
    """
    expected = card.weights_bytes
    file = path / WEIGHTS_FILE
    for candidate in (file, path / NEXT_WEIGHTS_FILE):
        if not candidate.exists():
            continue
        limit = expected + SAFETENSORS_HEADER_LIMIT
        if checked_size(candidate, path, limit=limit) <= expected:
            continue
        _check_fits(candidate, expected)
        content = read_checked(candidate, path, limit=limit)
        if hashlib.sha256(content).hexdigest() == card.weights_sha256:
            return WeightsFile(candidate, content)
    if not file.exists():
        raise UserError(f"{shown_path(file)} is missing", hint="copy the whole run directory")
    raise UserError(
        f"{shown_path(file)} is damaged, or not the file that {CARD_FILE} describes",
        hint="copy the run directory again, or train it again",
    )


def _check_fits(file: Path, size: int) -> None:
    available = physical_bytes()
    if available is not None and size > available:
        raise UserError(
            f"{shown_path(file)} takes {size:,} bytes ({byte_size(size)}) of memory or more, "
            f"this machine has {byte_size(available)}"
        )


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _parsed(file: WeightsFile, card: ModelCard) -> Tensors:
    try:
        weights = parse_tensors(file.content)
    except BadTensorsError as error:
        raise UserError(f"{shown_path(file.path)} is damaged: {reason(error)}") from error
    _check_tensors(weights, card.shapes(), file.path)
    return weights


def _check_tensors(weights: Tensors, shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    if weights.keys() != shapes.keys():
        odd = min(weights.keys() ^ shapes.keys())
        raise UserError(f"{shown_path(file)} does not fit {CARD_FILE}: the weight {quoted(odd)}")
    for name, shape in shapes.items():
        weight = weights[name]
        if weight.shape != shape or weight.dtype != np.float32:
            raise UserError(
                f"{shown_path(file)} does not fit {CARD_FILE}: {name} is "
                f"{weight.dtype} {list(weight.shape)}, not float32 {list(shape)}"
            )
