"""What a model loses where its weights are rounded, measured on its own validation text."""

import math
from dataclasses import dataclass, replace

import numpy as np

from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.evaluation.eval_text import EvalText, own_split
from charrnn.evaluation.evaluate import ThreadedNetwork, rows_for, score_text
from charrnn.inference.network import NumpyNetwork
from charrnn.network import Weights
from charrnn.processors import free_threads
from charrnn.run.reader import TrainedModel

MOST_CHARACTERS = 100_000
"""Characters of the validation text that are enough to tell two roundings apart."""


@dataclass(frozen=True, slots=True)
class Losses:
    """The loss of one text in nats per character, under both roundings."""

    before: float
    after: float
    chars: int


def compare_losses(
    model: TrainedModel, weights: Weights, data: DataConfig, progress: Progress = silent
) -> Losses:
    """Measure the loss of a run's validation text with its own weights and with others.

    Args:
        model: The run.
        weights: The other weights, of the same shapes.
        data: The `data` section of its configuration.
        progress: Opens a display.

    Raises:
        UserError: The text cannot be had, or the loss is no number.
    """
    text = _beginning(own_split(model, data, "valid", progress=progress))
    threads = free_threads()
    scores = []
    with progress("measuring the loss", 2 * text.targets, unit="characters") as advance:
        for each in (model.weights, weights):
            network = ThreadedNetwork(NumpyNetwork(each, model.card), threads)
            rows = rows_for(threads)
            scores.append(
                score_text(
                    network, text.ids, text.starts, model.vocabulary, rows=rows, progress=advance
                )
            )
    before, after = scores
    if not math.isfinite(before.loss_nats + after.loss_nats):
        raise UserError("the network's predictions are not finite")
    return Losses(before.loss_nats, after.loss_nats, before.chars)


def _beginning(text: EvalText) -> EvalText:
    """The first characters of a text, or as many whole lines as hold about so many."""
    if text.starts is None:
        return replace(text, ids=text.ids[: MOST_CHARACTERS + 1])
    lines = max(1, int(np.searchsorted(text.starts, MOST_CHARACTERS)))
    starts = text.starts[: lines + 1]
    return replace(text, ids=text.ids[: int(starts[-1])], starts=starts)
