"""The run directory as training writes it: whole at every moment, by one process at a time."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.config.schema import Config
from charrnn.errors import UserError
from charrnn.run.checkpoint_files import Checkpoint
from charrnn.run.paths import (
    CONFIG_FILE,
    LAST_FOLDER,
    LOCK_FILE,
    METRICS_FILE,
    NEXT_WEIGHTS_FILE,
)
from charrnn.run.reader import read_model
from charrnn.run.writer import RunWriter
from charrnn.text.vocabulary import Vocabulary
from tests.models import begin_run, cut_off_between_renames, write_run

KILLED = """
import os, signal, sys
from pathlib import Path
from charrnn.run.writer import RunWriter

writer = RunWriter.reopen(Path(sys.argv[1]))
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", hidden_size=4, embedding_size=3)


def test_the_second_training_is_refused_until_the_first_lets_go(run: Path) -> None:
    first = RunWriter.reopen(run)
    with pytest.raises(UserError, match="another training is at work"):
        RunWriter.reopen(run)
    first.close()
    RunWriter.reopen(run).close()


def test_a_killed_training_leaves_no_lock(run: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(run)], stdout=subprocess.PIPE, check=False
    )
    assert process.stdout == b"locked\n"
    assert process.returncode == -9
    RunWriter.reopen(run).close()


def test_two_saves_cut_off_one_after_the_other_lose_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is cut off when its weights are beside the old ones and its card is not."""
    model = read_model(run)
    better = cut_off_between_renames(run, model)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with RunWriter.reopen(run) as writer:
        monkeypatch.setattr("charrnn.run.writer.write_json_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            writer.save_best(dict(model.weights), replace(model.card, step=3))

    found = read_model(run)
    assert found.card.step == 2
    np.testing.assert_array_equal(found.weights["output.bias"], better["output.bias"])


def test_reopening_removes_what_kills_in_the_middle_of_writing_have_left(run: Path) -> None:
    with RunWriter.reopen(run) as writer:
        writer.save_last(Checkpoint({}, {}), step=0)
    before = sorted(run.rglob("*"))
    (run / f".{NEXT_WEIGHTS_FILE}.x7.partial").write_bytes(b"part")
    (run / "last/.state.safetensors.k2.partial").write_bytes(b"part")
    with RunWriter.reopen(run):
        assert sorted(run.rglob("*")) == before


def test_a_run_that_could_not_be_begun_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary, path = Vocabulary.from_characters("ab", lines=False), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("charrnn.run.writer.write_json_atomically", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            RunWriter.claim(path, vocabulary)
    assert not (path / CONFIG_FILE).exists()
    begin_run(path, Config(), vocabulary).close()


def _as_link_out(file: Path, outside: Path) -> None:
    outside.write_text("mine")
    file.symlink_to(outside)


def _as_dangling_link(file: Path, outside: Path) -> None:
    file.symlink_to(outside)


def _as_fifo(file: Path, _outside: Path) -> None:
    os.mkfifo(file)


def _as_folder_elsewhere(file: Path, outside: Path) -> None:
    outside.mkdir()
    file.symlink_to(outside)


@pytest.mark.parametrize("name", [METRICS_FILE, LAST_FOLDER, CONFIG_FILE, LOCK_FILE, "anything"])
@pytest.mark.parametrize("put", [_as_link_out, _as_dangling_link, _as_fifo, _as_folder_elsewhere])
def test_nothing_is_written_through_a_link_that_came_with_a_run(
    run: Path, tmp_path: Path, name: str, put: Callable[[Path, Path], None]
) -> None:
    file, outside = run / name, tmp_path / "outside"
    file.unlink(missing_ok=True)
    put(file, outside)
    with pytest.raises(UserError, match=name):
        RunWriter.reopen(run)
    if outside.is_file():
        assert outside.read_text() == "mine"
    else:
        assert not outside.exists() or not list(outside.iterdir())
