"""`model.json`: what a run's weights are, and the names and shapes that follow from it.

A card may come from a stranger: nothing in it is believed beyond what a network can have.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from charrnn import __version__
from charrnn.config.schema import Config, GenerateConfig, Width
from charrnn.errors import UserError
from charrnn.files import check_format_version, read_json_object
from charrnn.messages import format_path, shell_word
from charrnn.network import GATES
from charrnn.run.paths import CARD_FILE, CONFIG_FILE, COPY_HINT, START_HINT
from charrnn.validation import damaged, record_from_json

FORMAT_VERSION = 1

MOST_CHARACTERS = 0x110010
"""All of Unicode and the special entries: the largest vocabulary that a card is believed."""

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFormat:
    """How a text was read, which seeds and stop strings are read like."""

    encoding: Annotated[str, Meta(max_length=100)]
    normalize: Literal["none", "nfc"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What the weights are: `model.json`."""

    format_version: int
    charrnn_version: Annotated[str, Meta(max_length=100)]
    cell: Literal["lstm", "gru", "rnn"]
    input: Literal["embedding", "onehot"]
    embedding_size: Width
    hidden_size: Width
    layers: Annotated[int, Meta(ge=1, le=64)]
    tie_weights: bool
    mode: Literal["stream", "lines"]
    vocabulary_size: Annotated[int, Meta(ge=1, le=MOST_CHARACTERS)]
    corpus_sha256: Sha256
    step: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    valid_loss_nats: Annotated[float, Meta(ge=0, lt=2**63)]
    weights_sha256: Sha256
    generate: GenerateConfig | None = None
    """The run's defaults of generation; None in runs of 0.1.0, whose `config.yaml` has them."""
    text: TextFormat | None = None
    """How the text was read; None in earlier runs, whose `config.yaml` says."""
    separator: Annotated[str, Meta(max_length=1000)] = "\n"
    """Mode lines: what stands between two examples of the text; empty if each was a file."""
    ensemble_size: Annotated[int, Meta(ge=1, le=64)] = 1
    """How many networks the weights are of; the sizes are those of all of them together."""

    @classmethod
    def of(
        cls,
        config: Config,
        *,
        vocabulary_size: int,
        corpus_sha256: str,
        step: int,
        valid_loss_nats: float,
    ) -> "ModelCard":
        """Describe weights trained with a configuration; their checksum is known when written."""
        from charrnn.text.examples import LINE, separator_text

        model, data = config.model, config.data
        return cls(
            format_version=FORMAT_VERSION,
            charrnn_version=__version__,
            cell=model.cell,
            input=model.input,
            embedding_size=model.embedding_size
            * (model.ensemble_size if model.input == "embedding" else 1),
            hidden_size=model.hidden_size * model.ensemble_size,
            layers=model.layers,
            tie_weights=model.tie_weights,
            mode="stream" if data.mode == "stream" else "lines",
            vocabulary_size=vocabulary_size,
            corpus_sha256=corpus_sha256,
            step=step,
            valid_loss_nats=valid_loss_nats,
            weights_sha256="",
            generate=config.generate,
            ensemble_size=model.ensemble_size,
            text=TextFormat(encoding=config.data.encoding, normalize=config.data.normalize),
            separator=separator_text(data.separator if data.mode == "examples" else LINE),
        )

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
        columns = self.input_size
        for layer in range(self.layers):
            shapes[f"rnn.weight_ih_l{layer}"] = (self.gate_rows, columns)
            shapes[f"rnn.weight_hh_l{layer}"] = (self.gate_rows, self.hidden_size)
            shapes[f"rnn.bias_ih_l{layer}"] = (self.gate_rows,)
            shapes[f"rnn.bias_hh_l{layer}"] = (self.gate_rows,)
            columns = self.hidden_size
        if not self.tie_weights:
            shapes["output.weight"] = (self.vocabulary_size, self.hidden_size)
        shapes["output.bias"] = (self.vocabulary_size,)
        return shapes


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
            f"`charrnn train --resume --out {shell_word(path)}` goes on if it was stopped"
            if (path / CONFIG_FILE).exists()
            else "a run directory has a config.yaml; is this the folder above it?",
        )
    data = read_json_object(file, path)
    check_format_version(
        data, file, reads=FORMAT_VERSION, hint="a newer charrnn may have written it"
    )
    card = record_from_json(ModelCard, data, source=format_path(file), hint=COPY_HINT)
    if card.tie_weights and (card.input != "embedding" or card.embedding_size != card.hidden_size):
        raise damaged(format_path(file), "tie_weights does not fit the sizes", hint=COPY_HINT)
    embedded = card.embedding_size if card.input == "embedding" else 0
    if card.hidden_size % card.ensemble_size or embedded % card.ensemble_size:
        raise damaged(format_path(file), "ensemble_size does not fit the sizes", hint=COPY_HINT)
    return card
