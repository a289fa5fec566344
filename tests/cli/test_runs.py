"""`charrnn runs`: which runs there are, and how far each has come."""

import json
import math
import os
import pty
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.config.load import dump_config, read_run_config
from charrnn.run.checkpoint_files import Checkpoint
from charrnn.run.writer import RunWriter
from tests.cli.process import COMMAND, ROOT, charrnn, succeed, succeed_json
from tests.models import write_run


def runs_in(folder: Path, *arguments: object) -> dict[str, dict[str, object]]:
    answer = succeed_json("runs", folder, *arguments)
    return {Path(str(each["run"])).name: each for each in answer["runs"]}


def log(run: Path, *losses: float | None, steps: int = 100) -> None:
    """Write a line of the metrics every `steps` steps, a minute apart."""
    lines = [
        {"step": steps * number, "seconds": 60.0 * number, "train_loss_nats": 1.0}
        | ({} if loss is None else {"valid_loss_nats": loss})
        for number, loss in enumerate(losses, start=1)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def set_train(run: Path, **settings: Any) -> None:
    config = read_run_config(run / "config.yaml")
    changed = replace(config, train=replace(config.train, **settings))
    (run / "config.yaml").write_text(dump_config(changed))


def test_a_trained_run_is_listed_with_what_its_files_say(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question. " * 40)
    sets = "data.source=text.txt", "model.hidden_size=8", "train.steps=4", "train.threads=1"
    options = [option for setting in sets for option in ("--set", setting)]
    trained = json.loads(
        succeed("train", "--json", "--quiet", "--out", "runs/a", *options, cwd=tmp_path)
    )
    (run,) = succeed_json("runs", cwd=tmp_path)["runs"]
    assert run["run"] == "runs/a"
    assert (run["cell"], run["layers"], run["hidden_size"]) == ("lstm", 1, 8)
    assert (run["source"], run["mode"]) == ("text.txt", "stream")
    assert (run["step"], run["steps"], run["state"]) == (4, 4, "done")
    assert run["valid_loss_nats"] == trained["valid_loss_nats"]
    assert run["bits_per_char"] == pytest.approx(trained["valid_loss_nats"] / math.log(2))


def test_the_lowest_loss_comes_first_then_runs_without_one_then_those_of_bytes(
    tmp_path: Path,
) -> None:
    for name, loss in [("a", 2.0), ("b", 1.0), ("c", 3.0)]:
        run = write_run(tmp_path / name)
        card = json.loads((run / "model.json").read_text())
        (run / "model.json").write_text(json.dumps(card | {"valid_loss_nats": loss}))
    (write_run(tmp_path / "begun") / "model.json").unlink()
    of_bytes = write_run(tmp_path / "a run of bytes")
    config = read_run_config(of_bytes / "config.yaml")
    changed = replace(config, data=replace(config.data, unit="byte"))
    (of_bytes / "config.yaml").write_text(dump_config(changed))
    assert list(runs_in(tmp_path)) == ["b", "a", "c", "begun", "a run of bytes"]
    assert runs_in(tmp_path)["begun"]["valid_loss_nats"] is None


@pytest.mark.parametrize(
    ("losses", "settings", "state"),
    [
        ([2.0, 1.0], {"steps": 200}, "done"),
        ([2.0, 1.0], {"steps": 201}, "stopped"),
        ([2.0, 1.0, 1.5, 1.5], {"steps": 900, "patience": 2}, "done"),
        ([2.0, 1.0, 1.5, None], {"steps": 900, "patience": 2}, "stopped"),
        ([], {"steps": 1}, "stopped"),
    ],
)
def test_a_run_is_done_when_steps_or_patience_are_over(
    losses: list[float], settings: dict[str, object], state: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run")
    log(run, *losses)
    set_train(run, **settings)
    listed = runs_in(tmp_path)["run"]
    assert listed["state"] == state
    assert (listed["step"], listed["minutes"]) == (100 * len(losses), len(losses))


def test_a_run_that_a_process_works_in_is_training(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with RunWriter.reopen(run):
        assert runs_in(tmp_path)["run"]["state"] == "training"
    assert runs_in(tmp_path)["run"]["state"] == "stopped"


def test_a_run_directory_lists_itself(tmp_path: Path) -> None:
    assert list(runs_in(write_run(tmp_path / "run"))) == ["run"]


def test_a_damaged_run_is_named_and_the_others_are_listed(tmp_path: Path) -> None:
    write_run(tmp_path / "good")
    (write_run(tmp_path / "bad") / "model.json").write_text("{")
    done = charrnn("runs", tmp_path)
    assert done.returncode == 0
    assert "good" in done.stdout
    assert "bad" in done.stderr
    assert "bad" not in done.stdout


def test_a_pipe_gets_every_name_whole_and_no_escape_codes(tmp_path: Path) -> None:
    name = "n" * 150
    write_run(tmp_path / name)
    write_run(tmp_path / "red\x1b[31m")
    said = succeed("runs", tmp_path)
    assert name in said
    assert "\x1b" not in said
    assert r"red\x1b[31m" in said


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    log(run, 2.0, 1.0)
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 300, "sec')
    assert runs_in(tmp_path)["run"]["step"] == 200


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_without_runs_is_refused(is_there: bool, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    if is_there:
        folder.mkdir()
    done = charrnn("runs", folder)
    assert done.returncode == 2
    assert "hint: " in done.stderr


def test_the_curves_of_all_runs_are_drawn_in_one_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("first", "second"):
        log(write_run(tmp_path / name), 2.0, 1.5, 1.2)
    write_run(tmp_path / "begun")
    (tmp_path / "curves.svg").write_text("mine")
    done = charrnn("runs", tmp_path, "--plot", tmp_path / "curves.svg")
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    succeed("runs", tmp_path, "--plot", tmp_path / "curves.svg", "--force")
    svg = (tmp_path / "curves.svg").read_text()
    assert svg.startswith("<?xml")
    assert all(f"{tmp_path / name}" in svg for name in ("first", "second"))
    assert "begun" not in svg


def test_a_picture_of_another_kind_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    done = charrnn("runs", tmp_path / "missing", "--plot", tmp_path / "curves.gif")
    assert done.returncode == 2
    assert ".svg" in done.stderr


def test_a_stopped_run_stands_where_its_last_save_stands(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    log(run, 2.0)
    with RunWriter.reopen(run) as writer:
        description = {"progress": {"step": 130, "seconds": 80.0}}
        writer.save_last(Checkpoint({"w": np.zeros(3, np.float32)}, description), step=130)
    listed = runs_in(tmp_path)["run"]
    assert (listed["step"], listed["minutes"]) == (130, 1.33)


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_shows_whole_names(columns: int, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a-long-name-of-a-run")
    reader, terminal = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    done = subprocess.run([*COMMAND, "runs"], cwd=tmp_path, stdout=terminal, env=env, check=True)
    assert done.returncode == 0
    os.close(terminal)
    shown = os.read(reader, 65_536).decode()
    os.close(reader)
    (line,) = (line for line in shown.splitlines() if "runs/" in line)
    assert line.split()[0] == "runs/a-long-name-of-a-run"
    assert "stopped" in line
