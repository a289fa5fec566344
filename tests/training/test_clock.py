"""Trainings that are to end in time, on machines whose speed the test decides."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config.load import dump_config, read_run_config
from charrnn.config.schema import Config, ModelConfig, TrainConfig
from charrnn.errors import UserError
from charrnn.training import autotune, clock
from charrnn.training.clock import ENDING_SECONDS, Clock, fit_to_time
from tests.corpora import stream_corpus

SECONDS = 100.0
FIRST_GUESS = 0.1
"""Seconds a step, as measured beforehand."""


class SimulatedTime:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def seconds_of_a_training(paces: Sequence[float], evaluation: float) -> float:
    """How long a training takes whose steps take these seconds, one pace after the other."""
    time = SimulatedTime()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", time)
        kept = Clock(SECONDS, begin=0.0)
        kept.start(FIRST_GUESS, 0.0)
        steps, done, every = int(SECONDS / FIRST_GUESS), 0, 20
        while True:
            costs = {"evaluation": evaluation / every, "ending": evaluation}
            steps = kept.plan(steps, done=done, **costs)
            if done >= steps:
                return time.now + evaluation + ENDING_SECONDS
            if done and done % every == 0:
                time.now += evaluation
            pace = paces[min(int(time.now / SECONDS * len(paces)), len(paces) - 1)]
            time.now += pace
            kept.count_step(pace)
            done += 1


@given(
    st.lists(st.floats(0.02, 0.5), min_size=1, max_size=8),
    st.floats(0.0, 0.5),
)
def test_a_training_ends_in_time_however_fast_the_machine_is_and_becomes(
    paces: list[float], evaluation: float
) -> None:
    taken = seconds_of_a_training(paces, evaluation)
    assert 0.9 * SECONDS <= taken <= 1.05 * SECONDS


def test_a_plan_that_holds_is_not_changed() -> None:
    kept = Clock(SECONDS, begin=0.0)
    with pytest.MonkeyPatch.context() as patch:
        time = SimulatedTime()
        patch.setattr(clock, "time", time)
        kept.start(FIRST_GUESS, 0.0)
        for done in range(900):
            assert kept.plan(995, done=done, evaluation=0.0, ending=0.0) == 995
            time.now += FIRST_GUESS
            kept.count_step(FIRST_GUESS)


def test_a_time_without_end_plans_steps_that_the_run_can_be_resumed_with(tmp_path: Path) -> None:
    corpus = stream_corpus(tmp_path)
    train = TrainConfig(threads=1, precision="float32", batch_size=4, sequence_length=16)
    config = Config(model=ModelConfig(hidden_size=8), train=train)
    named = frozenset({"model.hidden_size"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autotune, "time_steps", lambda *_: itertools.repeat(1e-3))
        resolved = fit_to_time(config, named, corpus, Clock(1e15, begin=0.0))

    (tmp_path / "config.yaml").write_text(dump_config(resolved))
    assert read_run_config(tmp_path / "config.yaml") == resolved


def test_too_short_a_time_is_refused_before_anything_is_timed_and_the_least_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = stream_corpus(tmp_path)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: 3.0))

    def fail(*_: object) -> None:
        raise AssertionError("something was timed")

    monkeypatch.setattr(autotune, "time_steps", fail)
    with pytest.raises(UserError, match=r"0\.05 is too short") as refused:
        fit_to_time(Config(), frozenset(), corpus, Clock(3.0, begin=0.0))
    least = float(refused.value.hint.rpartition(" ")[2])

    monkeypatch.setattr(autotune, "time_steps", lambda *_: itertools.repeat(0.01))
    config = fit_to_time(Config(), frozenset(), corpus, Clock(60 * least, begin=0.0))
    assert config.train.steps >= 1
    assert 0.05 < least < 0.1
