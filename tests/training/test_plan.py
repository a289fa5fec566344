"""What is measured before a training begins, as far as it does not depend on the machine."""

from pathlib import Path

import pytest

from charrnn.config.reader import dump_config, read_run_config
from charrnn.config.schema import Config, ModelConfig, TrainConfig
from charrnn.training.plan import resolve
from tests.corpora import stream_corpus


def test_a_time_without_end_plans_steps_that_the_run_can_be_resumed_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.training.plan.STEPS_PROBE_SECONDS", 0.01)
    corpus = stream_corpus(tmp_path)
    train = TrainConfig(threads=1, precision="float32", batch_size=4, sequence_length=16)
    config = Config(model=ModelConfig(hidden_size=8), train=train)

    resolved = resolve(config, corpus, seconds=1e15)

    (tmp_path / "config.yaml").write_text(dump_config(resolved))
    assert read_run_config(tmp_path / "config.yaml") == resolved
