"""What a configuration leaves open, decided by timing this machine for a second or two.

How many parts of a batch to compute side by side, in which arithmetic, and how many steps fit in
a time: all are tried on copies of the very network and written to the run's `config.yaml`. The
same resolved configuration then gives the same training.
"""

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np

from charrnn.config.schema import Config, TrainConfig
from charrnn.errors import UserError
from charrnn.evaluation.evaluate import rows_for
from charrnn.evaluation.scoring import columns_at_once
from charrnn.machine import processor_count
from charrnn.text.corpus import Corpus
from charrnn.training import kernels
from charrnn.training.batches import Batch, Batches
from charrnn.training.model import CharRNN, new_model
from charrnn.training.step import TrainingStep, torch_threads
from charrnn.training.torch_network import TorchNetwork

Name = TypeVar("Name", int, tuple[str, str])

WORTHWHILE_GAIN = 1.1
"""How many times faster fewer threads, bfloat16 with its rounding, or kernels that have to be made
must be to be chosen."""
ROUNDS = 5
LOOKS = 3
"""How often in a row fewer threads must be found faster to be chosen."""
LONG_SECONDS = 20.0
LONG_OPERATIONS = 2e12
OPERATIONS_PER_WEIGHT = 6
"""Of a weight, for each character: a multiplication and an addition, forward, and twice back."""
PROBE_SECONDS = 2.0
SAFETY = 0.97
"""Share of a time budget that is planned for; saves and the unforeseen take the rest."""
MOST_STEPS = 1_000_000_000
"""What `train.steps` may be at most, so that the run's own configuration can be read again."""
CORRECTIONS = 1.5
"""Stateful evaluation reads about so many times the text, to make its rows continue each other."""


class Pace(NamedTuple):
    """How long what a training does takes, in seconds."""

    step: float
    evaluation: float

    def steps_in(
        self, seconds: float, *, evaluations: int, eval_every_steps: float = math.inf
    ) -> int:
        """Steps that fit in a time with so many evaluations, and one more every so many steps.

        Raises:
            UserError: Not one.
        """
        free = seconds * SAFETY - evaluations * self.evaluation
        steps = int(free / (self.step + self.evaluation / eval_every_steps))
        if steps < 1:
            raise UserError(
                f"the time is too short: a step takes {self.step:.2g} s, "
                f"an evaluation {self.evaluation:.2g} s",
                hint="give more --minutes, or choose a smaller network or data.valid_fraction",
            )
        return min(steps, MOST_STEPS)


def resolve(
    config: Config, corpus: Corpus, seconds: float | None, *, probe_seconds: float = PROBE_SECONDS
) -> Config:
    """Decide what the configuration leaves open, and `steps` too if a time is given.

    Args:
        config: what is wanted.
        corpus: what is to be learned.
        seconds: how long to train at most.
        probe_seconds: how long to time steps at most, where a time is given.

    Raises:
        UserError: What is asked for does not work here, or not one step fits in the time.
    """
    begin = time.monotonic()
    model = new_model(config, corpus)
    config = choose_arithmetic(config, model, corpus, seconds)
    if seconds is None:
        return config
    pace = measure_pace(config, model, corpus, min(probe_seconds, seconds / 10))
    spent = time.monotonic() - begin
    every = config.train.eval_every_steps
    steps = pace.steps_in(seconds - spent, evaluations=1, eval_every_steps=every)
    return with_train(config, steps=steps)


def with_train(config: Config, **changes: Any) -> Config:
    """The configuration with these settings of section `train`."""
    return replace(config, train=replace(config.train, **changes))


def choose_arithmetic(
    config: Config, model: CharRNN, corpus: Corpus, seconds: float | None
) -> Config:
    """Choose the fastest threads, kernel and precision of those that the configuration allows.

    Raises:
        UserError: What is asked for does not work here.
    """
    threads = config.train.threads or _choose_threads(config, model, corpus)
    config = with_train(config, threads=threads)
    kernel_names = _kernels_to_try(config, model, is_long=_is_long(config, model, seconds))
    precisions = _allowed(config.train.precision, ("float32", "bfloat16"))
    choices = {
        (kernel, precision): with_train(config, kernel=kernel, precision=precision)
        for kernel, precision in itertools.product(kernel_names, precisions)
    }
    if len(choices) > 1 or config.train.precision == "bfloat16":
        choices = _working(choices, model, corpus)
    return next(iter(choices.values())) if len(choices) == 1 else _fastest(choices, model, corpus)


def _choose_threads(config: Config, model: CharRNN, corpus: Corpus) -> int:
    """All cores, or half of them, a quarter, ... where that is clearly faster.

    Another program that is busy now may end in a moment; when in doubt it is all of them.
    """
    most = min(processor_count(), config.train.batch_size)
    choices = [most >> halvings for halvings in range(most.bit_length())]
    if model.device.type == "cuda" or len(choices) == 1:
        return 1
    plain = replace(config.train, precision="float32", kernel="torch")
    probes = {count: time_steps(replace(plain, threads=count), model, corpus) for count in choices}
    for _ in range(LOOKS):
        times = _time_in_turns(probes, of=min)
        best = min(times.values())
        chosen = next(count for count in choices if times[count] <= WORTHWHILE_GAIN * best)
        if chosen == most:
            break
    return chosen


def _is_long(config: Config, model: CharRNN, seconds: float | None) -> bool:
    """Whether a training takes so long that making kernels for it can be worth their time."""
    if seconds is not None:
        return seconds >= LONG_SECONDS
    train = config.train
    characters = train.steps * train.batch_size * train.sequence_length
    weights = sum(parameter.numel() for parameter in model.parameters())
    return characters * weights * OPERATIONS_PER_WEIGHT >= LONG_OPERATIONS


def _kernels_to_try(config: Config, model: CharRNN, *, is_long: bool) -> tuple[str, ...]:
    if model.device.type == "cuda":
        return ("torch",)
    if config.train.kernel == "native":
        kernels.check_available()
    elif config.train.kernel == "auto" and not (is_long and kernels.available()):
        return ("torch",)
    return _allowed(config.train.kernel, ("torch", "native"))


def _allowed(wanted: str, all_there_are: tuple[str, ...]) -> tuple[str, ...]:
    return all_there_are if wanted == "auto" else (wanted,)


Choices = dict[tuple[str, str], Config]
"""What there is to choose from, by kernel and precision, the simplest first."""


def _working(choices: Choices, model: CharRNN, corpus: Corpus) -> Choices:
    """Those with which a step works on this processor.

    Raises:
        UserError: None does, and it was bfloat16 that was asked for.
        RuntimeError: None does otherwise.
    """
    configs = [config.train for config in choices.values()]
    batch = next(Batches(corpus.train, corpus.vocabulary, configs[0]).epoch(0))
    failures = [try_step(config, model, batch) for config in configs]
    working = {
        choice: config
        for (choice, config), failure in zip(choices.items(), failures, strict=True)
        if failure is None
    }
    if working:
        return working
    if failures[0] is not None and configs[0].precision != "bfloat16":
        raise failures[0]
    raise UserError(
        "train.precision is bfloat16, which does not work here with this network",
        hint="precision: auto takes what works",
    )


def _fastest(choices: Choices, model: CharRNN, corpus: Corpus) -> Config:
    """The first that is about as fast as the fastest."""
    probes = {choice: time_steps(config.train, model, corpus) for choice, config in choices.items()}
    times = _time_in_turns(probes, of=median)
    fastest = min(times.values())
    chosen = next(each for each in choices if times[each] <= WORTHWHILE_GAIN * fastest)
    return choices[chosen]


def try_step(config: TrainConfig, model: CharRNN, batch: Batch) -> RuntimeError | None:
    """Take a step with a copy of the model; returns what it ends with if it does not work here.

    Not every processor has torch's bfloat16 layers, for example.
    """
    twin = copy.deepcopy(model)
    try:
        with torch_threads(1):
            state = twin.initial_state(len(batch.ids_BT))
            TrainingStep(twin, config).step(0, batch, state, rate=0.0)
    except RuntimeError as error:  # NotImplementedError is one
        return error
    return None


def time_steps(config: TrainConfig, model: CharRNN, corpus: Corpus) -> Iterator[float]:
    """Time step after step of a copy of the model, in seconds; the model itself learns nothing."""
    twin = copy.deepcopy(model)
    step = TrainingStep(twin, config)
    batches = Batches(corpus.train, corpus.vocabulary, config)
    for batch in itertools.chain.from_iterable(map(batches.epoch, itertools.count())):
        begin = time.perf_counter()
        with torch_threads(1):
            step.step(0, batch, twin.initial_state(len(batch.ids_BT)), rate=0.0)
        yield time.perf_counter() - begin


def _time_in_turns(
    probes: Mapping[Name, Iterator[float]], *, of: Callable[[list[float]], float]
) -> dict[Name, float]:
    """The median, or the least, of a few steps of each, in turns so that noise meets all alike."""
    for probe in probes.values():
        next(probe)
    rounds = [{name: next(probe) for name, probe in probes.items()} for _ in range(ROUNDS)]
    return {name: of([times[name] for times in rounds]) for name in probes}


def measure_pace(
    config: Config, model: CharRNN, corpus: Corpus, probe_seconds: float = PROBE_SECONDS
) -> Pace:
    """Measure for so many seconds how fast this machine trains this network now."""
    probe = time_steps(config.train, model, corpus)
    next(probe)
    end = time.perf_counter() + probe_seconds
    times = [next(probe)]
    while time.perf_counter() < end:
        times.append(next(probe))
    evaluation = _time_evaluation(model, corpus, config.train.threads or 1)
    return Pace(sum(times) / len(times), evaluation)


def _time_evaluation(model: CharRNN, corpus: Corpus, threads: int) -> float:
    """An estimate in seconds, from one block of the shape that evaluation reads in a thread."""
    network, rows = TorchNetwork(model), rows_for(threads)
    shape = (rows // threads, columns_at_once(network, rows))
    ids_BT = np.zeros(shape, dtype=np.int64)
    state = network.initial_state(len(ids_BT))
    with torch_threads(1):
        network.advance(ids_BT, state)
        begin = time.perf_counter()
        network.advance(ids_BT, state)
        seconds = time.perf_counter() - begin
    return seconds * CORRECTIONS * len(corpus.valid.ids) / (ids_BT.size * threads)
