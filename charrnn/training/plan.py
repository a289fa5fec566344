"""What a configuration leaves open, decided by measuring this machine for a second or two.

How many parts of a batch to compute side by side, in which arithmetic, and how many steps fit in
a time: all are tried on copies of the very network and written to the run's `config.yaml`. The
same resolved configuration then gives the same training.
"""

import copy
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import TypeVar

import numpy as np

from charrnn.config.schema import Config, TrainConfig
from charrnn.errors import UserError
from charrnn.text.corpus import Corpus
from charrnn.training.batches import Batches
from charrnn.training.engine import TorchNetwork
from charrnn.training.learner import Learner
from charrnn.training.model import CharRNN
from charrnn.training.threads import threads_of_torch

Name = TypeVar("Name", int, str)

WORTHWHILE_GAIN = 1.1
"""How many times faster fewer threads, or bfloat16 with its rounding, must be to be chosen."""
ROUNDS = 5
STEPS_PROBE_SECONDS = 2.0
SAFETY = 0.97
"""Share of a time budget that is planned for; saves and the unforeseen take the rest."""
MOST_STEPS = 1_000_000_000
"""What `train.steps` may be at most, so that the run's own configuration can be read again."""
EVALUATION_ROWS, EVALUATION_COLUMNS = 32, 64


def resolve(config: Config, model: CharRNN, corpus: Corpus, seconds: float | None) -> Config:
    """The configuration with `threads` and `precision` decided, and `steps` if a time is given.

    Raises:
        UserError: bfloat16 is asked for and does not work here, or not one step fits in the time.
    """
    begin = time.monotonic()
    config = _with(config, threads=config.train.threads or _fastest_threads(config, model, corpus))
    config = _with(config, precision=_precision(config, model, corpus))
    if seconds is None:
        return config
    spent = time.monotonic() - begin
    return _with(config, steps=_steps_within(seconds - spent, config, model, corpus))


def _with(config: Config, **changes: object) -> Config:
    return replace(config, train=replace(config.train, **changes))  # type: ignore[arg-type]


def _fastest_threads(config: Config, model: CharRNN, corpus: Corpus) -> int:
    """All cores, or half of them, a quarter, ... where that is clearly faster.

    What else the machine is doing now may be over in a minute; when in doubt it is all of them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    most = min(cores or 1, config.train.batch_size)
    choices = [most >> halvings for halvings in range(most.bit_length())]
    if model.device.type == "cuda" or len(choices) == 1:
        return 1
    probes = {
        count: _probe(replace(config.train, threads=count, precision="float32"), model, corpus)
        for count in choices
    }
    times = _median_seconds(probes)
    return next(count for count in choices if times[count] <= WORTHWHILE_GAIN * min(times.values()))


def _precision(config: Config, model: CharRNN, corpus: Corpus) -> str:
    wanted = config.train.precision
    if wanted == "float32":
        return wanted
    probes = {
        name: _probe(replace(config.train, precision=name), model, corpus)
        for name in ("float32", "bfloat16")
    }
    if not _works(probes["bfloat16"]):
        if wanted == "bfloat16":
            raise UserError(
                "train.precision is bfloat16, which does not work here with this network",
                hint="precision: auto takes what works",
            )
        return "float32"
    if wanted == "bfloat16":
        return wanted
    times = _median_seconds(probes)
    gain = times["float32"] / times["bfloat16"]
    return "bfloat16" if gain > WORTHWHILE_GAIN else "float32"


def _steps_within(seconds: float, config: Config, model: CharRNN, corpus: Corpus) -> int:
    probe = _probe(config.train, model, corpus)
    next(probe)
    end = time.perf_counter() + min(STEPS_PROBE_SECONDS, seconds / 10)
    times = [next(probe)]
    while time.perf_counter() < end:
        times.append(next(probe))
    evaluation = _evaluation_seconds(model, corpus, config.train)
    per_step = sum(times) / len(times) + evaluation / config.train.eval_every_steps
    steps = int(((seconds - sum(times)) * SAFETY - evaluation) / per_step)
    if steps < 1:
        raise UserError(
            f"the time is too short: a step takes {median(times):.2g} s, "
            f"an evaluation {evaluation:.2g} s",
            hint="give more --minutes, or choose a smaller network",
        )
    return min(steps, MOST_STEPS)


def _probe(config: TrainConfig, model: CharRNN, corpus: Corpus) -> Iterator[float]:
    """The seconds of steps that a copy of the model takes; the model itself learns nothing."""
    twin = copy.deepcopy(model)
    learner = Learner(twin, config)
    batches = Batches(corpus.train, corpus.vocabulary, config)
    for batch in itertools.chain.from_iterable(map(batches.epoch, itertools.count())):
        begin = time.perf_counter()
        with threads_of_torch(1):
            learner.step(0, batch, twin.initial_state(len(batch.ids_BT)), rate=0.0)
        yield time.perf_counter() - begin


def _works(probe: Iterator[float]) -> bool:
    try:
        next(probe)
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _median_seconds(probes: Mapping[Name, Iterator[float]]) -> dict[Name, float]:
    """The median of a few steps of each, taking turns so that noise meets all alike."""
    for probe in probes.values():
        next(probe)
    rounds = [{name: next(probe) for name, probe in probes.items()} for _ in range(ROUNDS)]
    return {name: median(times[name] for times in rounds) for name in probes}


def _evaluation_seconds(model: CharRNN, corpus: Corpus, config: TrainConfig) -> float:
    """An estimate from one block of the shape that evaluation reads."""
    network = TorchNetwork(model)
    threads = config.threads or 1
    ids_BT = np.zeros((EVALUATION_ROWS // threads or 1, EVALUATION_COLUMNS), dtype=np.int64)
    state = network.initial_state(len(ids_BT))
    with threads_of_torch(1):
        network.advance(ids_BT, state)
        begin = time.perf_counter()
        network.advance(ids_BT, state)
        seconds = time.perf_counter() - begin
    return seconds * 1.5 * len(corpus.valid.ids) / (ids_BT.size * threads)
