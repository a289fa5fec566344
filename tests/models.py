"""Small models for tests: weights out of a seeded generator, and run directories made of them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from charrnn.config.schema import Config, DataConfig, GenerateConfig, ModelConfig
from charrnn.ensemble import joined
from charrnn.network import FloatArray
from charrnn.run.model_card import FORMAT_VERSION, ModelCard, TextFormat
from charrnn.run.paths import NEXT_WEIGHTS_FILE, WEIGHTS_FILE
from charrnn.run.reader import TrainedModel
from charrnn.run.writer import RunWriter
from charrnn.text.prepare import prepare
from charrnn.text.vocabulary import Vocabulary

DEFAULT_CARD = ModelCard(
    format_version=FORMAT_VERSION,
    charrnn_version="0",
    cell="lstm",
    input="embedding",
    embedding_size=8,
    hidden_size=16,
    layers=1,
    tie_weights=False,
    mode="stream",
    vocabulary_size=30,
    corpus_sha256="0" * 64,
    step=1,
    valid_loss_nats=1.0,
    weights_sha256="0" * 64,
    text=TextFormat(encoding="utf-8", normalize="none"),
)
LETTERS = "\n abcdefghijklmnopqrstuvwxyz."


def random_weights(card: ModelCard, seed: int = 0, scale: float = 0.5) -> dict[str, FloatArray]:
    """Normally distributed weights with every name and shape that the card asks for."""
    if card.ensemble_size > 1:
        of_one = replace(
            card,
            hidden_size=card.hidden_size // card.ensemble_size,
            embedding_size=card.embedding_size // card.ensemble_size,
            ensemble_size=1,
        )
        networks = [random_weights(of_one, seed + k, scale) for k in range(card.ensemble_size)]
        return joined(networks, card.cell)
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, scale, shape).astype(np.float32)
        for name, shape in card.shapes().items()
    }


def random_ids(card: ModelCard, *shape: int, seed: int = 0) -> npt.NDArray[np.intp]:
    """Ids that the network knows."""
    return np.random.default_rng(seed).integers(0, card.vocabulary_size, shape)


def begin_run(path: Path, config: Config, vocabulary: Vocabulary) -> RunWriter:
    """Begin a run in a folder that is new or empty."""
    writer = RunWriter.claim(path, vocabulary)
    writer.write_config(config)
    return writer


def write_run(
    path: Path,
    *,
    characters: Iterable[str] = LETTERS,
    lines: bool = False,
    weights_seed: int = 0,
    weights_scale: float = 0.5,
    generate: GenerateConfig | None = None,
    **sizes: Any,
) -> Path:
    """Make a run directory of a model that was never trained; `sizes` are fields of its card.

    In lines mode, what separates them is left out of the characters. Returns the path.
    """
    left_out = sizes.get("separator", "\n") if lines else ""
    known = [char for char in characters if char != left_out]
    vocabulary = Vocabulary.from_characters(known, lines=lines)
    card = replace(
        DEFAULT_CARD,
        mode="lines" if lines else "stream",
        vocabulary_size=len(vocabulary),
        **sizes,
    )
    config = Config(
        data=DataConfig(mode=card.mode),
        model=ModelConfig(
            cell=card.cell,
            input=card.input,
            embedding_size=card.embedding_size,
            hidden_size=card.hidden_size,
            layers=card.layers,
            tie_weights=card.tie_weights,
        ),
        generate=generate or GenerateConfig(),
    )
    with begin_run(path, config, vocabulary) as writer:
        writer.save_best(random_weights(card, weights_seed, weights_scale), card)
    return path


def cut_off_between_renames(run: Path, model: TrainedModel) -> dict[str, FloatArray]:
    """Leave a run as a kill does in the middle of saving better weights, of step 2; those."""
    better = {name: weight + 1 for name, weight in model.weights.items()}
    with RunWriter.reopen(run) as writer:
        writer.save_best(better, replace(model.card, step=2))
    (run / WEIGHTS_FILE).rename(run / NEXT_WEIGHTS_FILE)
    save_file(dict(model.weights), run / WEIGHTS_FILE)
    return better


def write_corpus_run(path: Path, data: DataConfig, *, scale: float = 0.2, **sizes: Any) -> Path:
    """Make a run directory of a model that was never trained, on a corpus that is prepared for it.

    `sizes` are fields of its card, as those of `weights` are weights in place of random ones.
    """
    weights = sizes.pop("weights", {})
    corpus = prepare(data).corpus
    card = replace(
        DEFAULT_CARD,
        mode="lines" if corpus.vocabulary.has_lines else "stream",
        vocabulary_size=len(corpus.vocabulary),
        corpus_sha256=corpus.manifest.corpus_sha256,
        **sizes,
    )
    model = ModelConfig(cell=card.cell, hidden_size=card.hidden_size, layers=card.layers)
    with begin_run(path, Config(data=data, model=model), corpus.vocabulary) as writer:
        writer.save_best({**random_weights(card, scale=scale), **weights}, card)
    return path
