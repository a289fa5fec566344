"""How large a network, and how to keep it from overfitting, when only a time is given.

A larger network learns more from every character it reads, and reads fewer of them in a minute; a
small text is soon read so often that a network overfits it. So the size follows from how often
this machine can read this text in this time with a network of each size, and so do the dropout
rates. The numbers were found by search on parts of training texts; see `docs/training.md` for what
they reach.
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
from charrnn.training.autotune import (
    Pace,
    choose_arithmetic,
    measure_pace,
    time_steps,
    with_train,
)
from charrnn.training.model import new_model

SIZES = (64, 96, 128, 192, 256, 384, 512, 640)
"""Hidden units to choose from."""
ENOUGH_EPOCHS = 5.0
"""How often a text should be read, at least, before a larger network is worth its time."""
ENOUGH_CHARACTERS_A_WEIGHT = 8.0
"""Or how much of it, where it is too long to be read often."""
MOST_EPOCHS = 60.0
"""How often it may be read, at most: beyond this it only overfits."""
LEAST_STEPS = 500
"""Steps that a network needs however short the text; the best weights on the way are kept."""
LARGEST_FACTOR, LARGEST_POWER = 10.5, 0.3
"""The largest network for a text of N characters has about 10.5 N^0.3 units."""
EVALUATIONS = 8
EVALUATED_SHARE = 0.1
"""Of the time, for evaluations, at most; but for the last one."""
STEPS_TO_TIME = 3


class Regularization(NamedTuple):
    """Dropout rates."""

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
"""Up to so many epochs Muon is ahead of AdamW; above this it overfits."""
BATCH_SIZES = {"adamw": 32, "muon": 64}
"""Muon's products cost the same for every batch, and it learns as much from larger ones."""


def is_size_open(config: Config, named: frozenset[str]) -> bool:
    """Whether the size of the network was left open; tied weights have that of the embedding."""
    return "model.hidden_size" not in named and not config.model.tie_weights


def choose_size(config: Config, named: frozenset[str], corpus: Corpus, seconds: float) -> Config:
    """Choose a size, and with it all else, for this text, this machine and this time.

    Args:
        config: what is wanted, its size left open.
        named: dotted names of the settings that were given; they stay as they are.
        corpus: what is to be learned.
        seconds: how long to train at most.

    Raises:
        UserError: What is named does not work here, or not one step fits in the time.
    """
    end = time.monotonic() + seconds
    config = _choose_optimizer(config, named, corpus, seconds)
    pace = measure_pace(config, new_model(config, corpus), corpus, seconds)
    config = _choose_steps(config, named, pace, end - time.monotonic(), corpus)
    epochs = config.train.steps / _steps_an_epoch(config, corpus)
    rates = next(rates for most, rates in BY_EPOCHS if epochs <= most)
    return _with_defaults(config, named, "model", **rates._asdict())


def _choose_optimizer(
    config: Config, named: frozenset[str], corpus: Corpus, seconds: float
) -> Config:
    """Choose an optimiser, and the batch, the size and the arithmetic that suit it."""
    if "train.optimizer" not in named:
        with_muon = _fit_size(with_train(config, optimizer="muon"), named, corpus, seconds)
        if _measure_epochs(with_muon, corpus, seconds) <= FEW_EPOCHS:
            return with_muon
    return _fit_size(config, named, corpus, seconds)


def _fit_size(config: Config, named: frozenset[str], corpus: Corpus, seconds: float) -> Config:
    """Choose the batch that suits the optimiser, the size, and the fastest arithmetic for it."""
    batch_size = BATCH_SIZES[config.train.optimizer]
    config = _with_defaults(config, named, "train", batch_size=batch_size)
    fast = choose_arithmetic(config, new_model(config, corpus), corpus, seconds)
    size = _largest_size(fast, corpus, seconds)
    if size == config.model.hidden_size:
        return fast
    sized = _with_size(config, size)
    return choose_arithmetic(sized, new_model(sized, corpus), corpus, seconds)


def _with_size(config: Config, size: int) -> Config:
    return replace(config, model=replace(config.model, hidden_size=size))


def _choose_steps(
    config: Config, named: frozenset[str], pace: Pace, seconds: float, corpus: Corpus
) -> Config:
    """Choose the steps, and how often to evaluate between them."""
    enough = max(LEAST_STEPS, round(MOST_EPOCHS * _steps_an_epoch(config, corpus)))
    if "train.eval_every_steps" in named:
        every = config.train.eval_every_steps
        steps = pace.steps_in(seconds, evaluations=1, eval_every_steps=every)
        return with_train(config, steps=min(steps, enough))
    affordable = int(EVALUATED_SHARE * seconds / pace.evaluation)
    evaluations = max(1, min(EVALUATIONS, affordable))
    steps = min(pace.steps_in(seconds, evaluations=evaluations), enough)
    return with_train(config, steps=steps, eval_every_steps=-(-steps // evaluations))


def _with_defaults(config: Config, named: frozenset[str], section: str, **settings: Any) -> Config:
    """The configuration with these settings, except those that were named."""
    free = {name: value for name, value in settings.items() if f"{section}.{name}" not in named}
    return replace(config, **{section: replace(getattr(config, section), **free)})


def _largest_size(config: Config, corpus: Corpus, seconds: float) -> int:
    """The largest size that has the time to read the text often enough, and enough to read."""
    characters = len(corpus.train.ids)
    most = LARGEST_FACTOR * characters**LARGEST_POWER
    chosen = SIZES[0]
    for size in itertools.takewhile(lambda size: size <= most, SIZES):
        sized = _with_size(config, size)
        epochs = _measure_epochs(sized, corpus, seconds)
        enough = ENOUGH_CHARACTERS_A_WEIGHT * parameter_count(sized.model, len(corpus.vocabulary))
        if epochs < ENOUGH_EPOCHS and epochs * characters < enough:
            break
        chosen = size
    return chosen


def _measure_epochs(config: Config, corpus: Corpus, seconds: float) -> float:
    """Measure how often the text can be read in a time, by the pace of a few steps."""
    times = time_steps(config.train, new_model(config, corpus), corpus)
    next(times)
    seconds_a_step = median(itertools.islice(times, STEPS_TO_TIME))
    return seconds / seconds_a_step / _steps_an_epoch(config, corpus)


def _steps_an_epoch(config: Config, corpus: Corpus) -> float:
    """Steps in which everything is read once."""
    train, split = config.train, corpus.train
    if split.starts is not None:
        return (len(split.starts) - 1) / train.batch_size
    return len(split.ids) / (train.batch_size * train.sequence_length)
