"""What is measured before a training begins, as far as it does not depend on the machine."""

import itertools
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.config.schema import Config, TrainConfig
from charrnn.text.corpus import Corpus
from charrnn.training import autotune, kernels
from charrnn.training.autotune import OPERATIONS_A_SECOND, Autotuner, operations_a_step, resolve
from charrnn.training.process_group import ProcessGroup
from tests.corpora import stream_corpus

AMPLE = 1e6
"""Seconds."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return stream_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize(("busy_steps", "threads"), [(6, 2), (1000, 1)])
def test_a_busy_moment_does_not_decide_on_the_threads(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, busy_steps: int, threads: int
) -> None:
    """Two threads take half the time of one, but five times as long while the machine is busy."""
    with_two = itertools.chain(itertools.repeat(5.0, busy_steps), itertools.repeat(0.5))

    def time_steps(config: TrainConfig, *_: object) -> Iterator[float]:
        return itertools.repeat(1.0) if config.threads == 1 else with_two

    monkeypatch.setattr(autotune, "time_steps", time_steps)
    monkeypatch.setattr(autotune, "processor_count", lambda: 2)
    config = Config(train=TrainConfig(precision="float32", kernel="torch"))

    decided = Autotuner(corpus, AMPLE).choose_arithmetic(config)

    assert decided.train.threads == threads


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"float32": 3.0, "bfloat16": 2.0, "float16": 1.0}, "float16"),
        ({"float32": 3.0, "bfloat16": 1.0, "float16": 1.05}, "bfloat16"),
        ({"float32": 1.05, "bfloat16": 1.0, "float16": 1.0}, "float32"),
    ],
)
def test_a_gpu_has_three_precisions_to_choose_among(
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[str, float],
    chosen: str,
) -> None:
    monkeypatch.setattr(
        autotune,
        "time_steps",
        lambda config, *_: itertools.repeat(seconds[config.precision]),
    )
    model = SimpleNamespace(device=torch.device("cuda"))
    monkeypatch.setattr(autotune, "new_model", lambda *_: model)

    train = Autotuner(corpus, AMPLE).choose_arithmetic(Config()).train

    assert (train.precision, train.kernel, train.threads) == (chosen, "torch", 1)


def test_what_takes_twice_as_long_is_not_timed_again_and_again(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = Counter[str]()

    def time_steps(config: TrainConfig, *_: object) -> Iterator[float]:
        while True:
            timed[config.precision] += 1
            yield {"float32": 2.0, "bfloat16": 1.0}[config.precision]

    monkeypatch.setattr(autotune, "time_steps", time_steps)
    config = Config(train=TrainConfig(threads=1, kernel="torch"))

    assert Autotuner(corpus, AMPLE).choose_arithmetic(config).train.precision == "bfloat16"
    assert timed["float32"] == 5 < timed["bfloat16"]


def test_the_precision_is_chosen_in_a_time_that_is_not_enough_for_all_threads(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def time_steps(config: TrainConfig, *_: object) -> Iterator[float]:
        nonlocal now
        while True:
            seconds = {"float32": 1.0, "bfloat16": 0.3}[config.precision] / (config.threads or 1)
            now += seconds
            yield seconds

    monkeypatch.setattr(autotune, "time_steps", time_steps)
    monkeypatch.setattr(autotune, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(autotune, "processor_count", lambda: 4)
    config = Config(train=TrainConfig(kernel="torch"))

    train = Autotuner(corpus, seconds=4.0).choose_arithmetic(config).train

    assert (train.precision, train.threads) == ("bfloat16", 4)


@settings(max_examples=15)
@given(budget=st.floats(0.1, 100), slowness=st.floats(0.01, 1.0))
def test_timing_keeps_to_its_budget(corpus: Corpus, budget: float, slowness: float) -> None:
    """On any machine that is not slower than the modest one that is expected."""
    now = 0.0

    def time_steps(config: TrainConfig, *_: object) -> Iterator[float]:
        nonlocal now
        operations = operations_a_step(Config(train=config), corpus)
        while True:
            now += (seconds := slowness * operations / OPERATIONS_A_SECOND)
            yield seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autotune, "time_steps", time_steps)
        patch.setattr(autotune, "time", SimpleNamespace(monotonic=lambda: now))
        patch.setattr(autotune, "processor_count", lambda: 4)
        patch.setattr(kernels, "available", lambda: True)
        patch.setattr(Autotuner, "_works", lambda *_: True)
        tuner = Autotuner(corpus, budget)
        config = tuner.choose_arithmetic(Config())
        tuner.step_seconds(config)

    assert now <= budget


def test_steps_are_timed_after_all_when_there_is_more_time(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "time_steps", lambda *_: itertools.repeat(0.125))
    tuner = Autotuner(corpus, seconds=0.0)
    config = Config(train=TrainConfig(threads=1, parts=1))

    expected = tuner.step_seconds(config)
    tuner.extend(AMPLE)

    assert expected != tuner.step_seconds(config) == 0.125


@pytest.mark.parametrize(("cores", "processes", "threads"), [(6, 1, 6), (6, 2, 2), (3, 4, 1)])
def test_processes_have_threads_whose_parts_they_can_add_up_in_pairs(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, threads: int
) -> None:
    monkeypatch.setattr(autotune, "processor_count", lambda: cores)
    group = ProcessGroup(0, processes, 0, processes)

    train = resolve(Config(), corpus, group, by_rule=True).train

    assert (train.threads, train.parts) == (threads, threads * processes)


def test_what_is_chosen_by_rule_needs_no_clock(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("something was timed")

    monkeypatch.setattr(autotune, "time_steps", fail)
    monkeypatch.setattr(autotune, "processor_count", lambda: 3)

    train = resolve(Config(), corpus, by_rule=True).train

    assert (train.precision, train.kernel, train.threads) == ("float32", "torch", 3)
