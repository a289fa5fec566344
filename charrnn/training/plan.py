"""What a configuration leaves open, decided by measuring this machine for about a second.

`precision: auto` times both arithmetics on the very network and takes the faster one that
works. A time budget becomes a number of steps, so that the schedule always ends. Both are
written to the run's `config.yaml`: the same configuration then gives the same training.
"""

import copy
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from charrnn.config import Config
from charrnn.errors import UserError
from charrnn.network import Network
from charrnn.text.corpus import Corpus
from charrnn.training.batches import Batch, Batches
from charrnn.training.engine import TorchNetwork
from charrnn.training.learner import Learner
from charrnn.training.model import CharRNN

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WORTHWHILE_GAIN = 1.05
PROBE_SECONDS = 1.5
SAFETY = 0.98
"""Share of the measured budget that is planned for; saves and the last lines take the rest."""


def resolve_precision(config: Config, model: CharRNN, corpus: Corpus) -> Config:
    """The configuration with `precision` float32 or bfloat16.

    Raises:
        UserError: bfloat16 was asked for and this machine cannot.
    """
    wanted = config.train.precision
    if wanted == "float32":
        return config
    probes = {name: _probe(config, model, corpus, name) for name in PRECISIONS}
    if _works(probes["bfloat16"]):
        faster = wanted == "bfloat16" or _gain(probes) > WORTHWHILE_GAIN
        return _with(config, precision="bfloat16" if faster else "float32")
    if wanted == "bfloat16":
        raise UserError(
            "train.precision is bfloat16, which does not work here with this network",
            hint="precision: auto takes what works",
        )
    return _with(config, precision="float32")


def resolve_steps(config: Config, model: CharRNN, corpus: Corpus, *, seconds: float) -> Config:
    """The configuration with as many steps as fit in the seconds, evaluations included.

    Raises:
        UserError: Not one step fits.
    """
    step = median(_timed(_probe(config, model, corpus, config.train.precision), PROBE_SECONDS))
    evaluation = _evaluation_seconds(model, corpus)
    per_step = step + evaluation / config.train.eval_every_steps
    steps = int((seconds * SAFETY - evaluation) / per_step)
    if steps < 1:
        raise UserError(
            f"the time is too short: a step takes {step:.2f} s, an evaluation {evaluation:.1f} s",
            hint="give more --minutes, or choose a smaller network",
        )
    return _with(config, steps=steps)


def _with(config: Config, **changes: object) -> Config:
    return replace(config, train=replace(config.train, **changes))  # type: ignore[arg-type]


def _probe(config: Config, model: CharRNN, corpus: Corpus, precision: str) -> Iterator[None]:
    """Steps of a copy of the model, which leave the model and every random state alone."""
    twin = copy.deepcopy(model)
    learner = Learner(twin, config.train, PRECISIONS[precision])
    batches = Batches(corpus.train, corpus.vocabulary, config.train)
    for batch in itertools.chain.from_iterable(batches.epoch(n) for n in itertools.count()):
        with torch.random.fork_rng():
            learner.step(batch, _fresh_state(twin, batch), learning_rate=0.0)
        yield


def _fresh_state(model: CharRNN, batch: Batch) -> torch.Tensor:
    return model.initial_state(len(batch.ids_BT))


def _works(probe: Iterator[None]) -> bool:
    try:
        next(probe)
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _gain(probes: dict[str, Iterator[None]]) -> float:
    """How many times faster bfloat16 is, the two taking turns so that noise meets both."""
    for probe in probes.values():
        next(probe)
    times: dict[str, list[float]] = {name: [] for name in probes}
    end = time.perf_counter() + PROBE_SECONDS / 2
    while time.perf_counter() < end or len(times["bfloat16"]) < 3:
        for name, probe in probes.items():
            times[name] += itertools.islice(_step_seconds(probe), 1)
    return median(times["float32"]) / median(times["bfloat16"])


def _timed(probe: Iterator[None], seconds: float) -> list[float]:
    next(probe)
    end = time.perf_counter() + seconds
    within = itertools.takewhile(lambda _: time.perf_counter() < end, _step_seconds(probe))
    return list(within) or [seconds]


def _step_seconds(probe: Iterator[None]) -> Iterator[float]:
    while True:
        begin = time.perf_counter()
        next(probe)
        yield time.perf_counter() - begin


def _evaluation_seconds(model: CharRNN, corpus: Corpus) -> float:
    """An estimate from one block of the shape that evaluation uses."""
    network: Network = TorchNetwork(model)
    rows, length = 64, 64
    ids_BT = np.zeros((rows, length), dtype=np.int64)
    state = network.initial_state(rows)
    network.advance(ids_BT, state)
    begin = time.perf_counter()
    network.advance(ids_BT, state)
    return (time.perf_counter() - begin) * 1.5 * len(corpus.valid.ids) / (rows * length)
