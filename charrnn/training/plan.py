"""What a configuration leaves open, decided by measuring this machine for a second or two.

How many parts of a batch to compute side by side, in which arithmetic, and how many steps fit in
a time: all are tried on copies of the very network and written to the run's `config.yaml`. The
same resolved configuration then gives the same training.
"""

import copy
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np

from charrnn.config.schema import Config, TrainConfig
from charrnn.errors import UserError
from charrnn.text.corpus import Corpus
from charrnn.training.batches import Batches
from charrnn.training.kernels import compiled_kernels
from charrnn.training.model import CharRNN
from charrnn.training.step import TrainingStep, required_kernels
from charrnn.training.threads import threads_of_torch
from charrnn.training.torch_network import TorchNetwork
from charrnn.training.trainer import new_model

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
STEPS_PROBE_SECONDS = 2.0
SAFETY = 0.97
"""Share of a time budget that is planned for; saves and the unforeseen take the rest."""
MOST_STEPS = 1_000_000_000
"""What `train.steps` may be at most, so that the run's own configuration can be read again."""
EVALUATION_ROWS, EVALUATION_ROWS_A_THREAD, EVALUATION_COLUMNS = 32, 16, 64


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


def resolve(config: Config, corpus: Corpus, seconds: float | None) -> Config:
    """The configuration with what it leaves open decided, and `steps` too if a time is given.

    Raises:
        UserError: What is asked for does not work here, or not one step fits in the time.
    """
    begin = time.monotonic()
    model = new_model(config, corpus)
    config = with_arithmetic(config, model, corpus, seconds)
    if seconds is None:
        return config
    pace = pace_of(config, model, corpus, seconds)
    spent = time.monotonic() - begin
    every = config.train.eval_every_steps
    steps = pace.steps_in(seconds - spent, evaluations=1, eval_every_steps=every)
    return with_train(config, steps=steps)


def with_train(config: Config, **changes: Any) -> Config:
    """The configuration with these settings of section `train`."""
    return replace(config, train=replace(config.train, **changes))


def _fastest_threads(config: Config, model: CharRNN, corpus: Corpus) -> int:
    """All cores, or half of them, a quarter, ... where that is clearly faster.

    What else the machine is doing now may be over in a moment; when in doubt it is all of them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    most = min(cores or 1, config.train.batch_size)
    choices = [most >> halvings for halvings in range(most.bit_length())]
    if model.device.type == "cuda" or len(choices) == 1:
        return 1
    plain = replace(config.train, precision="float32", kernel="torch")
    probes = {
        count: times_of_steps(replace(plain, threads=count), model, corpus) for count in choices
    }
    for _ in range(LOOKS):
        times = _seconds(probes, of=min)
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


def with_arithmetic(
    config: Config, model: CharRNN, corpus: Corpus, seconds: float | None
) -> Config:
    """The configuration with the fastest threads, kernel and precision of those that it allows.

    Raises:
        UserError: What is asked for does not work here.
    """
    threads = config.train.threads or _fastest_threads(config, model, corpus)
    config = with_train(config, threads=threads)
    kernels = _kernels_to_try(config, model, is_long=_is_long(config, model, seconds))
    precisions = _allowed(config.train.precision, ("float32", "bfloat16"))
    choices = list(itertools.product(kernels, precisions))
    if len(choices) > 1 or config.train.precision == "bfloat16":
        choices = _fast_enough(choices, config, model, corpus)
    kernel, precision = choices[0]
    return with_train(config, kernel=kernel, precision=precision)


def _fast_enough(
    choices: list[tuple[str, str]], config: Config, model: CharRNN, corpus: Corpus
) -> list[tuple[str, str]]:
    """Those kernels and precisions that work and are about as fast as the fastest, in order."""
    probes = {
        (kernel, precision): times_of_steps(
            with_train(config, kernel=kernel, precision=precision).train, model, corpus
        )
        for kernel, precision in choices
    }
    failures = {choice: _failure(probe) for choice, probe in probes.items()}
    working = {choice: probes[choice] for choice, failure in failures.items() if failure is None}
    if not working:
        failure = failures[choices[0]]
        if failure and config.train.precision != "bfloat16":
            raise failure
        raise UserError(
            "train.precision is bfloat16, which does not work here with this network",
            hint="precision: auto takes what works",
        )
    if len(working) == 1:
        return list(working)
    times = _seconds(working, of=median)
    fastest = min(times.values())
    return [
        choice for choice in choices if times.get(choice, math.inf) <= WORTHWHILE_GAIN * fastest
    ]


def _kernels_to_try(config: Config, model: CharRNN, *, is_long: bool) -> tuple[str, ...]:
    if model.device.type == "cuda":
        return ("torch",)
    if config.train.kernel == "native":
        required_kernels()
    elif config.train.kernel == "auto" and not (is_long and compiled_kernels()):
        return ("torch",)
    return _allowed(config.train.kernel, ("torch", "native"))


def _allowed(wanted: str, all_there_are: tuple[str, ...]) -> tuple[str, ...]:
    return all_there_are if wanted == "auto" else (wanted,)


def pace_of(config: Config, model: CharRNN, corpus: Corpus, seconds: float) -> Pace:
    """How fast this machine trains this network now; takes a tenth of the seconds at most."""
    probe = times_of_steps(config.train, model, corpus)
    next(probe)
    end = time.perf_counter() + min(STEPS_PROBE_SECONDS, seconds / 10)
    times = [next(probe)]
    while time.perf_counter() < end:
        times.append(next(probe))
    evaluation = _evaluation_seconds(model, corpus, config.train)
    return Pace(sum(times) / len(times), evaluation)


def times_of_steps(config: TrainConfig, model: CharRNN, corpus: Corpus) -> Iterator[float]:
    """The seconds of steps that a copy of the model takes; the model itself learns nothing."""
    twin = copy.deepcopy(model)
    learner = TrainingStep(twin, config)
    batches = Batches(corpus.train, corpus.vocabulary, config)
    for batch in itertools.chain.from_iterable(map(batches.epoch, itertools.count())):
        begin = time.perf_counter()
        with threads_of_torch(1):
            learner.step(0, batch, twin.initial_state(len(batch.ids_BT)), rate=0.0)
        yield time.perf_counter() - begin


def _failure(probe: Iterator[float]) -> RuntimeError | None:
    """What a first step ends with if it does not work here."""
    try:
        next(probe)
    except RuntimeError as error:  # NotImplementedError is one
        return error
    return None


def _seconds(
    probes: Mapping[Name, Iterator[float]], *, of: Callable[[list[float]], float]
) -> dict[Name, float]:
    """The median, or the least, of a few steps of each, in turns so that noise meets all alike."""
    for probe in probes.values():
        next(probe)
    rounds = [{name: next(probe) for name, probe in probes.items()} for _ in range(ROUNDS)]
    return {name: of([times[name] for times in rounds]) for name in probes}


def _evaluation_seconds(model: CharRNN, corpus: Corpus, config: TrainConfig) -> float:
    """An estimate from one block of the shape that evaluation reads."""
    network = TorchNetwork(model)
    threads = config.threads or 1
    rows = max(EVALUATION_ROWS // threads, EVALUATION_ROWS_A_THREAD)
    ids_BT = np.zeros((rows, EVALUATION_COLUMNS), dtype=np.int64)
    state = network.initial_state(len(ids_BT))
    with threads_of_torch(1):
        network.advance(ids_BT, state)
        begin = time.perf_counter()
        network.advance(ids_BT, state)
        seconds = time.perf_counter() - begin
    return seconds * 1.5 * len(corpus.valid.ids) / (ids_BT.size * threads)
