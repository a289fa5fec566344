"""What a configuration leaves open, decided by timing this machine for a second or two.

How many parts of a batch to compute side by side, in which arithmetic, and how many steps fit in
a time: all are tried on copies of the very network and written to the run's `config.yaml`. The
same resolved configuration then gives the same training.
"""

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from charrnn.config.schema import Config, TrainConfig
from charrnn.errors import UserError
from charrnn.evaluation.evaluate import rows_for
from charrnn.evaluation.scoring import columns_at_once
from charrnn.machine import processor_count
from charrnn.text.corpus import Corpus
from charrnn.training import kernels
from charrnn.training.batches import Batches
from charrnn.training.model import CharRNN, TorchNetwork, new_model
from charrnn.training.step import TrainingStep, torch_threads

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
PROBE_SHARE = 0.1
"""How long to time steps at most, in seconds and as a share of the time there is."""
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


def resolve(config: Config, corpus: Corpus, seconds: float | None) -> Config:
    """Decide what the configuration leaves open, and `steps` too if a time is given.

    Args:
        config: what is wanted.
        corpus: what is to be learned.
        seconds: how long to train at most.

    Raises:
        UserError: What is asked for does not work here, or not one step fits in the time.
    """
    begin = time.monotonic()
    model = new_model(config, corpus)
    config = choose_arithmetic(config, model, corpus, seconds)
    if seconds is None:
        return config
    pace = measure_pace(config, model, corpus, seconds)
    left = seconds - (time.monotonic() - begin)
    every = config.train.eval_every_steps
    return with_train(config, steps=pace.steps_in(left, evaluations=1, eval_every_steps=every))


def with_train(config: Config, **changes: Any) -> Config:
    """The configuration with these settings of section `train`."""
    return replace(config, train=replace(config.train, **changes))


def choose_arithmetic(
    config: Config, model: CharRNN, corpus: Corpus, seconds: float | None
) -> Config:
    """Choose the fastest threads, kernel and precision of those that the configuration allows.

    The simplest that is about as fast as the fastest is chosen. Not every processor has torch's
    bfloat16 layers: whether they work is seen from a step.

    Raises:
        UserError: What is asked for does not work here.
    """
    threads = config.train.threads or _choose_threads(config, model, corpus)
    kernel_names = _kernels_to_try(config, model, seconds)
    wanted = config.train.precision
    precisions = ("float32", "bfloat16") if wanted == "auto" else (wanted,)
    choices = [
        with_train(config, threads=threads, kernel=kernel, precision=precision)
        for kernel, precision in itertools.product(kernel_names, precisions)
    ]
    if len(choices) == 1 and wanted != "bfloat16":
        return choices[0]
    probes = [_steps_or_never(each.train, model, corpus) for each in choices]
    times = _time_in_turns(probes, median)
    if wanted == "bfloat16" and min(times) == math.inf:
        raise UserError(
            "train.precision is bfloat16, which does not work here with this network",
            hint="precision: auto takes what works",
        )
    return choices[_first_fast(times)]


def _choose_threads(config: Config, model: CharRNN, corpus: Corpus) -> int:
    """All cores, or half of them, a quarter, ... where that is clearly faster.

    Another program that is busy now may end in a moment; when in doubt it is all of them.
    """
    most = min(processor_count(), config.train.batch_size)
    if model.device.type == "cuda" or most == 1:
        return 1
    choices = [most >> halvings for halvings in range(most.bit_length())]
    plain = replace(config.train, precision="float32", kernel="torch")
    probes = [time_steps(replace(plain, threads=count), model, corpus) for count in choices]
    for _ in range(LOOKS):
        chosen = choices[_first_fast(_time_in_turns(probes, min))]
        if chosen == most:
            break
    return chosen


def _kernels_to_try(config: Config, model: CharRNN, seconds: float | None) -> tuple[str, ...]:
    """The kernels that may be used, ours only where a training is so long that they are worth it.

    Raises:
        UserError: Ours are asked for, and cannot be had.
    """
    train = config.train
    if model.device.type == "cuda":
        return ("torch",)
    if train.kernel == "native":
        kernels.check_available()
    if train.kernel != "auto":
        return (train.kernel,)
    weights = sum(parameter.numel() for parameter in model.parameters())
    characters = train.steps * train.batch_size * train.sequence_length
    is_long = characters * weights * OPERATIONS_PER_WEIGHT >= LONG_OPERATIONS
    if seconds is not None:
        is_long = seconds >= LONG_SECONDS
    return ("torch", "native") if is_long and kernels.available() else ("torch",)


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


def _steps_or_never(config: TrainConfig, model: CharRNN, corpus: Corpus) -> Iterator[float]:
    """The same, or infinite times where a step fails: what torch cannot compute here."""
    try:
        yield from time_steps(config, model, corpus)
    except RuntimeError:  # NotImplementedError is one
        yield from itertools.repeat(math.inf)


def _time_in_turns(
    probes: Sequence[Iterator[float]], summary: Callable[[Sequence[float]], float]
) -> list[float]:
    """The median, or the least, of a few steps of each, in turns so that noise meets all alike."""
    _warm_up, *rounds = [[next(probe) for probe in probes] for _ in range(1 + ROUNDS)]
    return [summary(times) for times in zip(*rounds, strict=True)]


def _first_fast(times: Sequence[float]) -> int:
    """Which is the first that is about as fast as the fastest."""
    return next(i for i, each in enumerate(times) if each <= WORTHWHILE_GAIN * min(times))


def measure_pace(config: Config, model: CharRNN, corpus: Corpus, seconds: float) -> Pace:
    """Measure how fast this machine trains this network now, for a small part of the time."""
    probe = time_steps(config.train, model, corpus)
    next(probe)
    end = time.perf_counter() + min(PROBE_SECONDS, PROBE_SHARE * seconds)
    times = [next(probe)]
    while time.perf_counter() < end:
        times.append(next(probe))
    return Pace(fmean(times), _time_evaluation(model, corpus, config.train.threads or 1))


def _time_evaluation(model: CharRNN, corpus: Corpus, threads: int) -> float:
    """An estimate in seconds, from one block of the shape that evaluation reads in a thread."""
    network, rows = TorchNetwork(model), rows_for(threads)
    ids_BT = np.zeros((rows // threads, columns_at_once(network, rows)), dtype=np.int64)
    state = network.initial_state(len(ids_BT))
    with torch_threads(1):
        network.advance(ids_BT, state)
        begin = time.perf_counter()
        network.advance(ids_BT, state)
        seconds = time.perf_counter() - begin
    return seconds * CORRECTIONS * len(corpus.valid.ids) / (ids_BT.size * threads)
