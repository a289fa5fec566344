"""How large a network, and how to keep it from overfitting, when only a time is given.

A larger network learns more from every character it reads, and reads fewer of them in a minute; a
small text is soon read so often that a network overfits it. So the size follows from how often
this machine can read this text in this time with a network of each size; and the dropout rates
follow from that and from how many weights there are for each character. The numbers were found by
search on parts of training texts; see `docs/training.md` for what they reach.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

from charrnn.config.memory import parameter_count
from charrnn.config.schema import WIDEST, Config
from charrnn.text.corpus import Corpus, Split
from charrnn.training.autotune import Autotuner, with_train
from charrnn.training.batches import steps_an_epoch

SIZES = (64, 96, 128, 192, 256, 384, 512, 640)
"""Hidden units to choose from."""
FIRST_SIZE = 192
"""What the arithmetic is chosen for before the size is known."""
STEPS_TO_CHOOSE_AGAIN = 40
"""What it takes to choose the arithmetic again for the size that is."""
LARGEST_FACTOR, LARGEST_POWER = 10.5, 0.3
"""The largest network for a text of N characters has about 10.5 N^0.3 units."""


class Enough(NamedTuple):
    """What each network should read at least, before it is worth its time: one of the two."""

    epochs: float
    characters_a_weight: float
    """Which is less where a text is too long to be read often."""


ENOUGH = {1: Enough(5.0, 4.0), 2: Enough(5.0, 8.0), 4: Enough(10.0, 16.0)}
"""For so many networks side by side, which are all the numbers to choose from."""


class Regularization(NamedTuple):
    """Dropout rates."""

    dropout: float
    weight_dropout: float


BY_EXPOSURE = (
    (1.0, Regularization(0.0, 0.0)),
    (6.0, Regularization(0.0, 0.05)),
    (15.0, Regularization(0.05, 0.1)),
    (45.0, Regularization(0.1, 0.2)),
    (135.0, Regularization(0.15, 0.3)),
    (math.inf, Regularization(0.15, 0.4)),
)
"""For a network that has at most so many weights for each character of the text, times how often it
reads the text."""
MOST_EPOCHS = {"muon": 36.0, "adamw": 60.0}
"""How often a text may be read, at most: beyond this a network only overfits it."""
LEAST_STEPS = 500
"""Steps that a network needs however short the text; the best weights on the way are kept."""
RESTLESS = {"final_learning_rate_fraction": 0.3, "average_fraction": 0.2}
"""A learning rate that stays high, and the mean of what is learned with it."""
LOGIT_SCALE = 0.95
"""Gains 0.002 to 0.005 nats where a network is too sure of itself, and costs 0.002 where not."""
OF_OPTIMIZER: dict[str, dict[str, Any]] = {
    "muon": {"batch_size": 64, "adamw_rate_factor": 4.0},
    "adamw": {"batch_size": 32, "learning_rate": 0.004, "adamw_rate_factor": 1.0},
}
"""Muon's products cost the same for every batch; it learns as much from larger ones, and wants a
higher rate, and AdamW beside it one still higher: embedding and output have to keep up."""
MUON_RATES = {"lstm": 0.0075, "gru": 0.005, "rnn": 0.005}
"""The learning rate of each cell with Muon."""
FEWEST_BATCHES = 2000
"""How many batches all readings of a text should make, at least, if Muon is to have more than 64
lines in a batch."""
MOST_PADDING = 4
"""How many times as many places as a batch of streams a larger batch of lines may have, with what
pads them to the longest."""


def is_size_open(config: Config, named: frozenset[str]) -> bool:
    """Whether the size of the network was left open; tied weights have that of the embedding."""
    return "model.hidden_size" not in named and not config.model.tie_weights


def with_optimizer(config: Config, named: frozenset[str], optimizer: str, corpus: Corpus) -> Config:
    """The configuration with this optimiser unless one is named, and what suits the one it has."""
    config = with_defaults(config, named, "train", optimizer=optimizer)
    settings = OF_OPTIMIZER[config.train.optimizer]
    if config.train.optimizer == "muon":
        settings = settings | _muon_settings(config, corpus)
    return with_defaults(config, named, "train", **settings)


def _muon_settings(config: Config, corpus: Corpus) -> dict[str, Any]:
    """What suits Muon for this cell and this text."""
    settings: dict[str, Any] = {"learning_rate": MUON_RATES[config.model.cell]}
    if corpus.train.starts is not None:
        settings["batch_size"] = _lines_a_batch(corpus.train, config.train.sequence_length)
    return settings


def choose_size(config: Config, named: frozenset[str], tuner: Autotuner, seconds: float) -> Config:
    """Choose a size, with the optimiser, the batch, the rate and the arithmetic that suit it.

    Args:
        config: what is wanted, its size left open.
        named: dotted names of the settings that were given; they stay as they are.
        tuner: times steps on the text.
        seconds: how long to train.

    Raises:
        UserError: What is named does not work here.
    """
    first = _with_model(with_optimizer(config, named, "muon", tuner.corpus), hidden_size=FIRST_SIZE)
    wanted = config.train
    fast = with_train(tuner.choose_arithmetic(first), parts=wanted.parts)
    fitted = _fit_size(fast, named, tuner, seconds)
    if "train.optimizer" not in named and _is_too_short_for_muon(fitted, tuner, seconds):
        fitted = _fit_size(
            with_optimizer(fast, named, "adamw", tuner.corpus), named, tuner, seconds
        )
    if fitted.model == fast.model or tuner.steps_to_time(fitted) < STEPS_TO_CHOOSE_AGAIN:
        return tuner.with_parts(fitted)
    still_open = with_train(
        fitted,
        threads=wanted.threads,
        parts=wanted.parts,
        kernel=wanted.kernel,
        precision=wanted.precision,
    )
    return tuner.choose_arithmetic(still_open)


def choose_regularization(
    config: Config, named: frozenset[str], corpus: Corpus, epochs: float
) -> Config:
    """Choose what keeps a network from overfitting a text that is read so often.

    Settings that were given stay as they are.
    """
    weights = _weights_of_one(config, corpus)
    exposure = epochs * weights / len(corpus.train.ids)
    rates = next(rates for most, rates in BY_EXPOSURE if exposure <= most)
    config = with_defaults(config, named, "model", **rates._asdict())
    config = with_defaults(config, named, "train", logit_scale=LOGIT_SCALE)
    if named.isdisjoint(f"train.{name}" for name in RESTLESS):  # one is nothing without the other
        config = with_train(config, **RESTLESS)
    return config


def with_defaults(config: Config, named: frozenset[str], section: str, **settings: Any) -> Config:
    """The configuration with these settings, except those that were named."""
    free = {name: value for name, value in settings.items() if f"{section}.{name}" not in named}
    return replace(config, **{section: replace(getattr(config, section), **free)})


def _lines_a_batch(split: Split, sequence_length: int) -> int:
    """As many lines as have the characters of a batch of streams: a power of two, 64 or more."""
    fewest: int = OF_OPTIMIZER["muon"]["batch_size"]
    assert split.starts is not None
    lines, characters = len(split.starts) - 1, len(split.ids)
    worthwhile = fewest * sequence_length * lines / max(characters, 1)
    affordable = MOST_EPOCHS["muon"] * lines / FEWEST_BATCHES
    padded = MOST_PADDING * fewest * sequence_length / split.longest_line
    return 1 << int(math.log2(max(fewest, min(worthwhile, affordable, padded))))


def _with_model(config: Config, **sizes: Any) -> Config:
    return replace(config, model=replace(config.model, **sizes))


def _fit_size(config: Config, named: frozenset[str], tuner: Autotuner, seconds: float) -> Config:
    """Choose the largest network that has the time for the text, or several that have it together.

    Two that are not much smaller than the text deserves are better than one that is larger, and
    four are better than two where there is the time for twice as many readings.
    """
    limit = float(LARGEST_FACTOR * len(tuner.corpus.train.ids) ** LARGEST_POWER)
    sizes = [size for size in SIZES[1:] if size <= limit]
    chosen = _largest(config, sizes, tuner, seconds) or _with_model(config, hidden_size=SIZES[0])
    if "model.ensemble_size" in named or max(ENOUGH) * config.model.embedding_size > WIDEST:
        return chosen
    sizes = [size for size in sizes if size >= limit / 2]
    for networks in sorted(ENOUGH)[1:]:
        largest = _largest(_with_model(config, ensemble_size=networks), sizes, tuner, seconds)
        if largest is None:
            break
        chosen = largest
    return chosen


def _largest(config: Config, sizes: list[int], tuner: Autotuner, seconds: float) -> Config | None:
    """The largest size that has the time to read enough."""
    largest = None
    for size in sizes:
        sized = _with_model(config, hidden_size=size)
        if not _has_time(sized, tuner, seconds):
            break
        largest = sized
    return largest


def _has_time(config: Config, tuner: Autotuner, seconds: float) -> bool:
    """Whether there is the time for each network to read enough; several also take enough steps."""
    train = tuner.corpus.train
    networks = config.model.ensemble_size
    steps = _steps(config, tuner, seconds)
    if networks > 1 and steps < LEAST_STEPS:
        return False
    epochs = steps / steps_an_epoch(config.train, train)
    enough = ENOUGH.get(networks, ENOUGH[1])
    characters = enough.characters_a_weight * _weights_of_one(config, tuner.corpus)
    return epochs >= enough.epochs or epochs * len(train.ids) >= characters


def _weights_of_one(config: Config, corpus: Corpus) -> int:
    """How many weights each network has."""
    of_one = replace(config.model, ensemble_size=1)
    return parameter_count(of_one, len(corpus.vocabulary))


def _is_too_short_for_muon(config: Config, tuner: Autotuner, seconds: float) -> bool:
    """Whether there is the time to read the text more often than Muon may, and still few steps."""
    most = MOST_EPOCHS["muon"] * steps_an_epoch(config.train, tuner.corpus.train)
    return most < LEAST_STEPS and most < _steps(config, tuner, seconds)


def _steps(config: Config, tuner: Autotuner, seconds: float) -> float:
    """How many steps can be taken in a time."""
    return seconds / tuner.step_seconds(config)
