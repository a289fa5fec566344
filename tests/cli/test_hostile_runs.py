"""A run directory from a stranger, through the door: refused by name by every command, as JSON too.

What `tests/test_run.py` shows of the readers holds for the commands: one message, one hint, exit
code 2, nothing allocated, nothing executed, nothing that could act on a terminal.
"""

import json
import os
import shutil
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from charrnn.cli.app import run as charrnn
from charrnn.run import CARD_FILE, CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from tests.models import write_run

STATE = "last/state.safetensors"
TEXT = "the quick brown fox jumps over the lazy dog.\n" * 20
CONFIG = (
    "data: {source: text.txt}\n"
    "model: {hidden_size: 4, embedding_size: 3}\n"
    "train: {steps: 3, eval_every_steps: 1, precision: float32, threads: 1, batch_size: 2}\n"
)
MOST_ALLOCATED = 64 << 20

EVAL = ("eval", "--run", "run")
EVAL_TEXT = ("eval", "--run", "run", "text.txt")
GENERATE = ("generate", "--run", "run", "--length", "3")
RESUME = ("train", "--resume", "--out", "run", "--set", "train.steps=4")
ALL = (EVAL, EVAL_TEXT, GENERATE, RESUME)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, two runs that were trained on it, and what was prepared."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT)
    (folder / "config.yaml").write_text(CONFIG)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for name, size in ("run", 4), ("other", 5):
            sizes = ["--set", f"model.hidden_size={size}"]
            assert charrnn(["train", "--config", "config.yaml", "--out", name, "-q", *sizes]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def in_folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    yield
    assert not Path("executed").exists()


Failure = Callable[[tuple[str, ...]], dict[str, Any]]


@pytest.fixture
def failure(capsys: pytest.CaptureFixture[str]) -> Failure:
    """Run a command that must fail; returns what `--json` says of it."""

    def fail(command: tuple[str, ...]) -> dict[str, Any]:
        capsys.readouterr()
        tracemalloc.start()
        code = charrnn([*command, "--json"])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        out, err = capsys.readouterr()
        assert most < MOST_ALLOCATED
        assert "Traceback" not in err
        assert err.replace("\n", "").isprintable()
        error: dict[str, Any] = json.loads(out)["error"]
        assert error["exit_code"] == code
        assert "fault of charrnn" not in error["hint"]
        assert len(error["message"]) < 2000
        return error

    return fail


def edit(name: str, **changes: Any) -> None:
    path = Path("run") / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def with_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def terabytes(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 42)


def link_out(path: Path) -> None:
    path.rename("outside")
    path.symlink_to(Path("outside").resolve())


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def nested(path: Path) -> None:
    path.write_text("[" * 10_000)


DAMAGES = (missing, empty, cut_off, noise, terabytes, link_out, fifo, folder, nested)
NEEDED = {
    CARD_FILE: (EVAL, GENERATE),
    WEIGHTS_FILE: (EVAL, GENERATE),
    VOCABULARY_FILE: ALL,
    CONFIG_FILE: ALL,
    STATE: (RESUME,),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NEEDED)
def test_a_damaged_file_is_named_by_every_command_that_needs_it(
    name: str, damage: Callable[[Path], None], failure: Failure
) -> None:
    damage(Path("run") / name)
    for command in NEEDED[name]:
        if name == CONFIG_FILE and damage in {empty, cut_off} and command != RESUME:
            continue  # what a configuration does not say is the default
        error = failure(command)
        assert error["exit_code"] == 2, error
        assert name in error["message"] or name == CONFIG_FILE


@pytest.mark.parametrize("name", [CARD_FILE, VOCABULARY_FILE, WEIGHTS_FILE, STATE, CONFIG_FILE])
def test_a_file_from_another_run_is_refused(name: str, failure: Failure) -> None:
    other = write_run(Path("stranger"), characters="\nxyz") / name
    if name in {STATE, CONFIG_FILE}:
        other = Path("other") / name
    shutil.copy(other, Path("run") / name)
    for command in NEEDED[name] if name != CONFIG_FILE else (RESUME,):
        assert failure(command)["exit_code"] == 2
