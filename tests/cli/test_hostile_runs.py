"""A run directory from an untrusted source: refused by name by every command that needs it.

The readers are tried exhaustively in `tests/run`, `tests/text` and `tests/config`. Here is one case
a file through the commands, and what only they can show: one message, one hint, exit code 2, JSON
on failure, nothing allocated, nothing executed, nothing that could act on a terminal.
"""

import hashlib
import json
import math
import os
import shutil
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from charrnn.cli.app import run as charrnn
from charrnn.run.checkpoint_files import Checkpoint, CheckpointFiles
from charrnn.run.model_card import read_card
from charrnn.run.paths import CARD_FILE, CONFIG_FILE, METRICS_FILE, VOCABULARY_FILE, WEIGHTS_FILE
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
def failure(capfd: pytest.CaptureFixture[str]) -> Failure:
    """Run a command that must fail; returns what `--json` says of it."""

    def fail(command: tuple[str, ...]) -> dict[str, Any]:
        capfd.readouterr()
        tracemalloc.start()
        code = charrnn([*command, "--json"])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        out, err = capfd.readouterr()
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


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def terabytes(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 42)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def nested(path: Path) -> None:
    path.write_text("[" * 10_000)


NEEDED = {
    CARD_FILE: (EVAL, GENERATE),
    WEIGHTS_FILE: (EVAL, GENERATE),
    VOCABULARY_FILE: ALL,
    CONFIG_FILE: (EVAL, RESUME),
    STATE: (RESUME,),
}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (CARD_FILE, nested),
        (WEIGHTS_FILE, cut_off),
        (VOCABULARY_FILE, noise),
        (CONFIG_FILE, fifo),
        (STATE, terabytes),
    ],
)
def test_a_damaged_file_is_named_by_every_command_that_needs_it(
    name: str, damage: Callable[[Path], None], failure: Failure
) -> None:
    damage(Path("run") / name)
    for command in NEEDED[name]:
        error = failure(command)
        assert error["exit_code"] == 2, error
        assert name in error["message"]


@pytest.mark.parametrize("name", [CARD_FILE, VOCABULARY_FILE, WEIGHTS_FILE, STATE, CONFIG_FILE])
def test_a_file_from_another_run_is_refused(name: str, failure: Failure) -> None:
    other = write_run(Path("stranger"), characters="\nxyz") / name
    if name in {STATE, CONFIG_FILE}:
        other = Path("other") / name
    shutil.copy(other, Path("run") / name)
    for command in NEEDED[name] if name != CONFIG_FILE else (RESUME,):
        assert failure(command)["exit_code"] == 2


CARDS: dict[str, dict[str, Any]] = {
    "with a version that is a text": {"format_version": "\x1b[2J\n" * 10_000},
    "of terabytes": {"layers": 64, "hidden_size": 65536},
    "with escapes for a cell": {"cell": "\x1b[31m\u202e"},
}


@pytest.mark.parametrize("changes", CARDS.values(), ids=CARDS.keys())
def test_a_card_that_lies_is_refused(changes: dict[str, Any], failure: Failure) -> None:
    edit(CARD_FILE, **changes)
    for command in NEEDED[CARD_FILE]:
        assert failure(command)["exit_code"] == 2


def _overlap(header: dict[str, Any]) -> None:
    first, second = sorted(header.keys() - {"__metadata__"})[:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]


def _claim_terabytes(header: dict[str, Any]) -> None:
    name = min(header.keys() - {"__metadata__"})
    header[name]["shape"] = [1 << 20, 1 << 20]
    header[name]["data_offsets"] = [0, 1 << 42]


def _rename(header: dict[str, Any]) -> None:
    name = min(header.keys() - {"__metadata__"})
    header["../../\x1b[2J\u202e"] = header.pop(name)


def _grow(header: dict[str, Any]) -> None:
    header["__metadata__"] = {"padding": "x" * (2 << 20)}


def _retype(header: dict[str, Any]) -> None:
    header[min(header.keys() - {"__metadata__"})]["dtype"] = "BF16"


HEADERS = (_overlap, _claim_terabytes, _rename, _grow, _retype)


@pytest.mark.parametrize(
    ("name", "change"), [(WEIGHTS_FILE, _rename), *((STATE, change) for change in HEADERS)]
)
def test_a_header_that_lies_is_refused(
    name: str, change: Callable[[dict[str, Any]], None], failure: Failure
) -> None:
    path = Path("run") / name
    with_header(path, change)
    if name == WEIGHTS_FILE:
        edit(CARD_FILE, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    for command in NEEDED[name]:
        error = failure(command)
        assert error["exit_code"] == 2
        assert name in error["message"]


@pytest.mark.parametrize("name", [WEIGHTS_FILE, STATE])
def test_a_sparse_file_of_terabytes_with_a_fitting_header_is_refused_unread(
    name: str, failure: Failure
) -> None:
    path = Path("run") / name
    with_header(path, _claim_terabytes)
    terabytes(path)
    for command in NEEDED[name]:
        assert name in failure(command)["message"]


def test_a_network_that_this_machine_cannot_hold_is_refused_with_its_bytes(
    failure: Failure,
) -> None:
    card = json.loads((Path("run") / CARD_FILE).read_text())
    edit(CARD_FILE, layers=64, hidden_size=65536)
    shapes = read_card(Path("run")).shapes()
    header, end = {}, 0
    for shape_name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[shape_name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    with (Path("run") / WEIGHTS_FILE).open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(size := 8 + len(encoded) + end)
    error = failure(GENERATE)
    assert f"{size:,} bytes" in error["message"]
    assert card["layers"] == 1


PROGRESS: dict[str, dict[str, Any]] = {
    "a step that never was": {"step": 10**30},
    "a batch beyond all": {"batch": 2**63},
    "a loss that is none": {"best_loss_nats": "\x1b[2J"},
}


@pytest.mark.parametrize("changes", PROGRESS.values(), ids=PROGRESS.keys())
def test_a_place_in_a_training_that_cannot_be_is_refused_or_harmless(
    changes: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    saves = CheckpointFiles(Path("run/last"))
    saved = saves.load()
    assert saved is not None
    progress = {**saved.description["progress"], **changes}
    description = {**saved.description, "progress": progress}
    saves.save(Checkpoint(saved.tensors, description), step=3, keep=0)
    code = charrnn([*RESUME, "--json"])
    out, err = capfd.readouterr()
    assert "fault of charrnn" not in err
    assert "\x1b" not in err + out
    assert code in {0, 2}


CONFIGS = {
    "a tag that makes objects": "data: !!python/object/apply:os.mkdir [executed]\n",
    "an alias bomb": "a: &a [x, x]\nb: &b [*a, *a]\ndata: {source: [*b, *b]}\n",
    "escape codes": 'data: {mode: "\\e[2J\\u202e"}\n',
}


@pytest.mark.parametrize("content", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_hostile_configuration_in_a_run_is_refused(content: str, failure: Failure) -> None:
    (Path("run") / CONFIG_FILE).write_text(content)
    for command in (EVAL, EVAL_TEXT, RESUME):
        error = failure(command)
        assert error["exit_code"] == 2
        assert CONFIG_FILE in error["message"]
    if not content.startswith("data: {mode"):
        edit(CARD_FILE, generate=None)  # as in 0.1.0, where generate has to read its section
        assert failure(GENERATE)["exit_code"] == 2


VOCABULARIES: dict[str, Any] = {
    "of strings": {"characters": ["<pad>", "<unk>", "\x1b[31mred\x1b[0m"]},
    "of a name without end": {"format_version": "\x1b[2J" * 100_000},
}


@pytest.mark.parametrize("changes", VOCABULARIES.values(), ids=VOCABULARIES.keys())
def test_a_vocabulary_that_is_none_is_refused(changes: dict[str, Any], failure: Failure) -> None:
    edit(VOCABULARY_FILE, **changes)
    for command in ALL:
        error = failure(command)
        assert error["exit_code"] == 2
        assert VOCABULARY_FILE in error["message"]


def test_escape_codes_in_a_vocabulary_do_not_reach_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_run(Path("escapes"), characters="\x1b\u202e\x9b\x07a")
    monkeypatch.setattr("os.isatty", lambda _: True)
    assert charrnn(["generate", "--run", "escapes", "--length", "200"]) == 0
    shown = capfd.readouterr().out
    assert r"\x1b" in shown
    assert shown.replace("\n", "").isprintable()


def test_names_of_runs_texts_and_tensors_cannot_act_on_a_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    name = "\x1b[2J\u202e\x9b\x07"
    shutil.copytree("run", name)
    shutil.copy("text.txt", name + ".txt")
    (Path(name) / CARD_FILE).unlink()
    for command in (
        ("eval", "--run", name),
        ("eval", "--run", "run", name),
        ("eval", "--run", "run", name + ".txt"),
        ("generate", "--run", name),
        ("generate", "--run", "run", "--seed-file", name),
        ("train", "--config", name + ".yaml"),
        ("train", "--config", "config.yaml", "--out", name, "--debug"),
        ("prepare", name + ".txt", "--set", f"data.{name}=1"),
        ("prepare", name + ".txt", "--out", "text.txt"),
        (name,),
    ):
        charrnn(list(command))
        out, err = capfd.readouterr()
        assert (out + err).replace("\n", "").isprintable(), command


def test_a_pipe_that_a_run_names_is_not_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    config = Path("run") / CONFIG_FILE
    config.write_text(config.read_text().replace("text.txt", "pipe"))
    os.mkfifo("pipe")
    assert charrnn(list(RESUME)) == 0  # the text is prepared; it is not read again
    assert charrnn(list(EVAL)) == 0
    shutil.rmtree("data")
    assert charrnn(list(EVAL)) == 2
    assert "the pipe pipe" in capfd.readouterr().err


def test_a_file_in_last_is_needed_by_resume_alone(capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("run/last")
    (Path("run") / METRICS_FILE).write_bytes(b"[" * 100_000 + b"\n\xff\n")
    assert charrnn(list(EVAL)) == 0
    assert charrnn(list(GENERATE)) == 0
    capfd.readouterr()
