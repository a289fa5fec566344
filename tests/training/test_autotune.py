"""What is measured before a training begins, as far as it does not depend on the machine."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from charrnn.config.load import dump_config, read_run_config
from charrnn.config.schema import Config, ModelConfig, TrainConfig
from charrnn.training import autotune
from charrnn.training.autotune import choose_arithmetic, resolve
from charrnn.training.model import new_model
from tests.corpora import stream_corpus


def test_a_time_without_end_plans_steps_that_the_run_can_be_resumed_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "PROBE_SECONDS", 0.01)
    corpus = stream_corpus(tmp_path)
    train = TrainConfig(threads=1, precision="float32", batch_size=4, sequence_length=16)
    config = Config(model=ModelConfig(hidden_size=8), train=train)

    resolved = resolve(config, corpus, seconds=1e15)

    (tmp_path / "config.yaml").write_text(dump_config(resolved))
    assert read_run_config(tmp_path / "config.yaml") == resolved


@pytest.mark.parametrize(("busy_steps", "threads"), [(6, 2), (1000, 1)])
def test_a_busy_moment_does_not_decide_on_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy_steps: int, threads: int
) -> None:
    """Two threads take half the time of one, but five times as long while the machine is busy."""

    def time_steps(config: TrainConfig, *_: object) -> Iterator[float]:
        if config.threads == 1:
            return itertools.repeat(1.0)
        return itertools.chain(itertools.repeat(5.0, busy_steps), itertools.repeat(0.5))

    monkeypatch.setattr(autotune, "time_steps", time_steps)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1}, raising=False)
    corpus = stream_corpus(tmp_path)
    config = Config(train=TrainConfig(precision="float32", kernel="torch"))

    decided = choose_arithmetic(config, new_model(config, corpus), corpus, None)

    assert decided.train.threads == threads
