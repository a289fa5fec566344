"""Models that were never trained, for timing: their weights are drawn as torch begins with them."""

import string
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from charrnn import __version__
from charrnn.config.schema import Config, ModelConfig
from charrnn.network import FloatArray
from charrnn.run.model_card import FORMAT_VERSION, ModelCard
from charrnn.run.writer import RunWriter
from charrnn.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_characters("\n !$&',-.3:;?" + string.ascii_letters, lines=False)
"""The characters of Tiny Shakespeare."""

Cell = Literal["lstm", "gru", "rnn"]

CARD = ModelCard(
    format_version=FORMAT_VERSION,
    charrnn_version=__version__,
    cell="lstm",
    input="embedding",
    embedding_size=64,
    hidden_size=384,
    layers=1,
    tie_weights=False,
    mode="stream",
    vocabulary_size=len(VOCABULARY),
    corpus_sha256="0" * 64,
    step=0,
    valid_loss_nats=1.0,
    weights_sha256="0" * 64,
)


def card_of(size: str) -> ModelCard:
    """The card of a size such as `lstm 2x512`."""
    name, _, sizes = size.partition(" ")
    layers, _, hidden = sizes.partition("x")
    cells: dict[str, Cell] = {"lstm": "lstm", "gru": "gru", "rnn": "rnn"}
    return replace(CARD, cell=cells[name], layers=int(layers), hidden_size=int(hidden))


def random_weights(card: ModelCard) -> dict[str, FloatArray]:
    """Weights drawn evenly from -1/sqrt(H) to 1/sqrt(H)."""
    rng = np.random.default_rng(0)
    limit = card.hidden_size**-0.5
    return {
        name: rng.uniform(-limit, limit, shape).astype(np.float32)
        for name, shape in card.shapes().items()
    }


def write_run(path: Path, card: ModelCard) -> Path:
    """Make a run directory of a random model."""
    config = Config(
        model=ModelConfig(cell=card.cell, hidden_size=card.hidden_size, layers=card.layers)
    )
    with RunWriter.claim(path, VOCABULARY) as writer:
        writer.write_config(config)
        writer.save_best(random_weights(card), card)
    return path
