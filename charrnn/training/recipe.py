"""How large a network, and how to keep it from learning by heart, when only a time is given.

A larger network learns more from every character it reads, and reads fewer of them in a minute; a
small text is soon read so often that a network knows it by heart. So the size follows from how
often this machine can read this text in this time with a network of each size, and so do the
shares of what is dropped. The numbers were found by search on parts of training texts; see
`docs/training.md` for what they reach.
"""

import itertools
import math
import time
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

from charrnn.config.memory import parameter_count
from charrnn.config.schema import Config
from charrnn.text.corpus import Corpus
from charrnn.training.plan import (
    Pace,
    pace_of,
    resolve,
    times_of_steps,
    with_arithmetic,
    with_train,
)
from charrnn.training.trainer import new_model

SIZES = (64, 96, 128, 192, 256, 384, 512, 640)
"""Hidden units to choose from."""
ENOUGH_EPOCHS = 5.0
"""How often a text should be read, at least, before a larger network is worth its time."""
ENOUGH_CHARACTERS_A_WEIGHT = 8.0
"""Or how much of it, where it is too long to be read often."""
MOST_EPOCHS = 60.0
"""How often it may be read, at most: from there on nothing is gained but confidence."""
LEAST_STEPS = 500
"""Steps that a network needs however short the text; the best weights on the way are kept."""
LARGEST_FACTOR, LARGEST_POWER = 10.5, 0.3
"""The largest network for a text of N characters has about 10.5 N^0.3 units."""
EVALUATIONS = 8
EVALUATED_SHARE = 0.1
"""Of the time, for evaluations, at most; but for the last one."""
PROBE_STEPS = 3


class Regularization(NamedTuple):
    """Shares of what is dropped."""

    dropout: float
    weight_dropout: float


BY_EPOCHS = (
    (12.0, Regularization(0.05, 0.1)),
    (18.0, Regularization(0.1, 0.2)),
    (36.0, Regularization(0.15, 0.3)),
    (math.inf, Regularization(0.15, 0.4)),
)
"""For a text that is read at most so often."""

FEW_EPOCHS = BY_EPOCHS[0][0]
"""Up to so many readings Muon is ahead of AdamW; with more the text is learned by heart."""
BATCH_SIZES = {"adamw": 32, "muon": 64}
"""Muon's products cost the same for every batch, and it learns as much from larger ones."""


def settled(config: Config, named: frozenset[str], corpus: Corpus, seconds: float | None) -> Config:
    """The configuration that is trained with: all that was left open is decided.

    With a time and no size it is the recipe's. Tied weights have the size of the embedding.

    Raises:
        UserError: What is named does not work here, or not one step fits in the time.
    """
    if seconds is not None and leaves_size_open(config, named):
        return with_recipe(config, named, corpus, seconds)
    return resolve(config, corpus, seconds)


def leaves_size_open(config: Config, named: frozenset[str]) -> bool:
    """Whether nobody said how large the network is to be."""
    return "model.hidden_size" not in named and not config.model.tie_weights


def with_recipe(config: Config, named: frozenset[str], corpus: Corpus, seconds: float) -> Config:
    """The configuration with a size, and the steps, for this text, this machine and this time.

    Args:
        config: what is wanted, its size left open.
        named: dotted names of the settings that were given; they stay as they are.
        corpus: what is to be learned.
        seconds: how long to train at most.

    Raises:
        UserError: What is named does not work here, or not one step fits in the time.
    """
    end = time.monotonic() + seconds
    config = _with_optimizer(config, named, corpus, seconds)
    pace = pace_of(config, new_model(config, corpus), corpus, seconds)
    config = _timed(config, named, pace, end - time.monotonic(), corpus)
    epochs = config.train.steps / _steps_an_epoch(config, corpus)
    kept = next(each for most, each in BY_EPOCHS if epochs <= most)
    return _suggested(config, named, "model", **kept._asdict())


def _with_optimizer(
    config: Config, named: frozenset[str], corpus: Corpus, seconds: float
) -> Config:
    """With an optimiser, and the batch and the size that suit it."""
    if "train.optimizer" not in named:
        eager = _with_batch_size(with_train(config, optimizer="muon"), named)
        eager = _sized(eager, corpus, seconds)
        if _epochs_in(eager, corpus, seconds) <= FEW_EPOCHS:
            return eager
    return _sized(_with_batch_size(config, named), corpus, seconds)


def _with_batch_size(config: Config, named: frozenset[str]) -> Config:
    """With the batch that suits the optimiser."""
    return _suggested(config, named, "train", batch_size=BATCH_SIZES[config.train.optimizer])


def _sized(config: Config, corpus: Corpus, seconds: float) -> Config:
    """With the size, and the arithmetic that is the fastest for it."""
    fast = with_arithmetic(config, new_model(config, corpus), corpus, seconds)
    size = _size(fast, corpus, seconds)
    if size == config.model.hidden_size:
        return fast
    sized = _of_size(config, size)
    return with_arithmetic(sized, new_model(sized, corpus), corpus, seconds)


def _of_size(config: Config, size: int) -> Config:
    return replace(config, model=replace(config.model, hidden_size=size))


def _timed(
    config: Config, named: frozenset[str], pace: Pace, seconds: float, corpus: Corpus
) -> Config:
    """With the steps, and how often to evaluate between them."""
    enough = max(LEAST_STEPS, round(MOST_EPOCHS * _steps_an_epoch(config, corpus)))
    if "train.eval_every_steps" in named:
        every = config.train.eval_every_steps
        steps = pace.steps_in(seconds, evaluations=1, eval_every_steps=every)
        return with_train(config, steps=min(steps, enough))
    affordable = int(EVALUATED_SHARE * seconds / pace.evaluation)
    evaluations = max(1, min(EVALUATIONS, affordable))
    steps = min(pace.steps_in(seconds, evaluations=evaluations), enough)
    return with_train(config, steps=steps, eval_every_steps=-(-steps // evaluations))


def _suggested(config: Config, named: frozenset[str], section: str, **settings: Any) -> Config:
    """The configuration with these settings, except those that somebody named."""
    free = {name: value for name, value in settings.items() if f"{section}.{name}" not in named}
    return replace(config, **{section: replace(getattr(config, section), **free)})


def _size(config: Config, corpus: Corpus, seconds: float) -> int:
    """The largest size that has the time to read the text often enough, and enough to read."""
    most = LARGEST_FACTOR * len(corpus.train.ids) ** LARGEST_POWER
    chosen = SIZES[0]
    for size in itertools.takewhile(lambda size: size <= most, SIZES):
        epochs = _epochs_in(_of_size(config, size), corpus, seconds)
        weights = parameter_count(_of_size(config, size).model, len(corpus.vocabulary))
        characters_a_weight = epochs * len(corpus.train.ids) / weights
        if epochs < ENOUGH_EPOCHS and characters_a_weight < ENOUGH_CHARACTERS_A_WEIGHT:
            break
        chosen = size
    return chosen


def _epochs_in(config: Config, corpus: Corpus, seconds: float) -> float:
    """How often the text can be read in a time, by the pace of a few steps."""
    times = times_of_steps(config.train, new_model(config, corpus), corpus)
    next(times)
    seconds_a_step = median(itertools.islice(times, PROBE_STEPS))
    return seconds / seconds_a_step / _steps_an_epoch(config, corpus)


def _steps_an_epoch(config: Config, corpus: Corpus) -> float:
    """Steps in which everything is read once."""
    train, split = config.train, corpus.train
    if split.starts is not None:
        return (len(split.starts) - 1) / train.batch_size
    return len(split.ids) / (train.batch_size * train.sequence_length)
