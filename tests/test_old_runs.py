"""Runs and prepared corpora of version 0.1.0 can be used and trained further by this one.

`tests/data/old_runs/` was written by 0.1.0: two runs that were stopped after 120 steps, and the
prepared corpus of one of them. The figures are what 0.1.0 printed for them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from charrnn.cli.app import run as charrnn

ROOT = Path(__file__).parent.parent
LOSSES = {
    "stream-lstm": (2.3202166168260776, 1434),
    "lines-gru": (3.0965904833877853, 1676),
}
LOSSES_AFTER_160_STEPS = {
    "stream-lstm": 2.2712596409241024,
    "lines-gru": 3.0823333281179033,
}
TEXT = 'The cat suie aadtt \no ssao.ansa.iTat ."h. a: s "t wt.dOy.a ad\nWaw shre..\nat\n endsanysws'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the runs beside the texts that they were trained on."""
    shutil.copytree(ROOT / "tests/data/old_runs", tmp_path / "here")
    shutil.copy(ROOT / "data/names.txt", tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def result(capfd: pytest.CaptureFixture[str], *command: str) -> dict[str, Any]:
    """Run a command that must succeed; returns its JSON object."""
    code = charrnn([*command, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    parsed: dict[str, Any] = json.loads(out)
    return parsed


def test_the_same_seed_gives_the_text_that_the_old_version_wrote(
    capfd: pytest.CaptureFixture[str],
) -> None:
    seed = ["--seed", "The cat", "--length", "80", "--rng-seed", "7"]
    assert charrnn(["generate", "--run", "stream-lstm", *seed]) == 0
    assert capfd.readouterr().out == TEXT


def test_lines_are_generated_by_an_old_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert charrnn(["generate", "--run", "lines-gru", "--samples", "3", "--rng-seed", "7"]) == 0
    assert capfd.readouterr().out.count("\n") == 3


@pytest.mark.parametrize("run", LOSSES)
def test_an_old_run_has_the_loss_that_the_old_version_measured(
    run: str, capfd: pytest.CaptureFixture[str]
) -> None:
    loss, chars = LOSSES[run]
    scored = result(capfd, "eval", "--run", run)
    assert scored["chars"] == chars
    assert scored["loss_nats"] == pytest.approx(loss, abs=1e-4)


def test_an_old_prepared_corpus_serves_without_its_text(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "story.txt").unlink()
    assert result(capfd, "eval", "--run", "stream-lstm")["chars"] == LOSSES["stream-lstm"][1]


@pytest.mark.parametrize("run", LOSSES_AFTER_160_STEPS)
def test_an_old_training_goes_on_and_ends_where_the_old_version_would_have_ended(
    run: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = result(capfd, "train", "--resume", "--out", run, "--set", "train.steps=160")
    assert ended["step"] == 160
    assert ended["valid_loss_nats"] == pytest.approx(LOSSES_AFTER_160_STEPS[run], abs=1e-3)
