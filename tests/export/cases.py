"""Pages of small models, and what NumPy makes of the same text: the reference of JavaScript."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import charrnn
from charrnn.export.html import Precision, html_page, rounded
from charrnn.inference.network import NumpyNetwork
from charrnn.network import FloatArray
from tests.models import write_run

KINDS: list[dict[str, Any]] = [
    {"cell": "lstm", "layers": 1},
    {"cell": "lstm", "layers": 2, "input": "onehot"},
    {"cell": "gru", "layers": 2, "lines": True},
    {"cell": "gru", "layers": 1, "input": "onehot"},
    {"cell": "rnn", "layers": 3, "lines": True},
    {"cell": "gru", "layers": 1, "lines": True, "separator": "\n\n"},
    {"cell": "lstm", "layers": 2, "embedding_size": 16, "tie_weights": True},
    {"cell": "lstm", "layers": 2, "ensemble_size": 2},
    {"cell": "gru", "layers": 2, "input": "onehot", "ensemble_size": 4},
]
"""Every cell, one layer or more, both inputs, tied weights, streams, lines, examples, ensembles."""
SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.8},
    {"temperature": 1.2, "topK": 7},
    {"temperature": 1.0, "topP": 0.8},
    {"temperature": 1.5, "topK": 20, "topP": 0.95, "minP": 0.05},
    {"temperature": 0},
]
NAMES = {"topK": "top_k", "topP": "top_p", "minP": "min_p"}
TEXT = "the quick brown fox. jumps over the lazy dog"
SEEDS = ("abc", "")
LENGTH = 500


@dataclass(frozen=True)
class Case:
    """A model, its page, and the numbers of the NumPy network."""

    model: charrnn.Model
    page: str

    def logits(self, text: str, precision: Precision = "float32") -> FloatArray:
        """The prediction after every character, of a network with the weights of the page."""
        trained = self.model.trained
        weights = {name: rounded(array, precision) for name, array in trained.weights.items()}
        network = NumpyNetwork(weights, trained.card)
        ids = self.model.vocabulary.encode(text).astype(np.intp)
        if self.model.vocabulary.bos_id is not None:
            ids = np.insert(ids, 0, self.model.vocabulary.bos_id)
        logits_BTV, _ = network.advance(ids[None], network.initial_state(1))
        logits_TV: FloatArray = logits_BTV[0]
        return logits_TV

    def text(self, seed: str, settings: dict[str, Any], rng_seed: int) -> str:
        """What `charrnn generate` writes after a seed."""
        named = {NAMES.get(name, name): value for name, value in settings.items()}
        pieces = self.model.generate(seed, rng_seed=rng_seed, length=LENGTH, **named)
        return "".join(pieces)


def make_case(folder: Path, precision: Precision = "float32", **sizes: Any) -> Case:
    """Make a run and its page."""
    model = charrnn.load(write_run(folder, weights_scale=0.3, **sizes))
    page = html_page(model.trained, model.defaults, name="a run", precision=precision)
    return Case(model, page)


def jobs(case: Case) -> list[tuple[str, dict[str, Any], str]]:
    """Seeds and options of generations, as the page takes them, and the texts they must give."""
    return [
        (
            seed,
            {**settings, "rngSeed": str(rng_seed), "length": LENGTH},
            case.text(seed, settings, rng_seed),
        )
        for rng_seed, settings in enumerate(SETTINGS, start=2**40)
        for seed in SEEDS
    ]


def as_json(case: Case) -> str:
    """A case for a test in JavaScript."""
    return json.dumps(
        {
            "page": case.page,
            "text": TEXT,
            "logits": case.logits(TEXT).tolist(),
            "bits": case.model.surprisal(TEXT),
            "jobs": jobs(case),
        }
    )
