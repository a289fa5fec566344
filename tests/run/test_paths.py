"""Which run directory a command means."""

import os
from pathlib import Path

import pytest

from charrnn.errors import UserError
from charrnn.run.paths import CARD_FILE, free_run_path, last_begun_run, resolve_run
from tests.models import write_run


def test_the_run_that_is_meant_is_the_one_trained_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no trained run"):
        resolve_run(None)
    for age, name in enumerate(["second", "first"]):
        write_run(Path("runs") / name)

        os.utime(Path("runs") / name / CARD_FILE, (1000 - age, 1000 - age))
    Path("runs/empty").mkdir()
    assert resolve_run(None) == Path("runs/second")
    assert resolve_run("runs/first") == Path("runs/first")
    with pytest.raises(UserError, match="runs/third"):
        resolve_run("runs/third")
    assert free_run_path("first") == Path("runs/first-2")


def test_the_run_to_resume_is_found_whatever_signs_its_name_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs") / "a[1]*")
    write_run(Path("runs") / "a[1]*b")
    assert last_begun_run("a[1]*") == Path("runs/a[1]*")
