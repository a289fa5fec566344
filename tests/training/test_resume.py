"""What a configuration may change when a training goes on."""

from pathlib import Path

import pytest

from charrnn.config.load import dump_config
from charrnn.config.schema import Config, ModelConfig, TrainConfig
from charrnn.errors import UserError
from charrnn.training.resume import changed_config


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose size nobody named, as `--minutes` begins one."""
    train = TrainConfig(precision="float32", threads=1, batch_size=32, weight_decay=0.05)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(
        dump_config(Config(model=ModelConfig(hidden_size=96, dropout=0.15), train=train))
    )
    return run


def test_what_a_file_leaves_out_stays_as_the_run_has_it(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {steps: 50}\n")

    config, changes = changed_config(run, file, ["train.clip_norm=2"])

    assert (config.model.hidden_size, config.model.dropout) == (96, 0.15)
    assert (config.train.batch_size, config.train.weight_decay) == (32, 0.05)
    assert changes == ["train.steps: 3000 -> 50", "train.clip_norm: 1.0 -> 2.0"]


def test_another_size_in_a_file_is_refused(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: {hidden_size: 384}\n")

    with pytest.raises(UserError, match="96 -> 384"):
        changed_config(run, file, [])
