"""Disks that are full or read-only, files that vanish or shrink, memory that there is not.

Real file systems are used where this process may mount them (a small tmpfs). Every fault ends in
a message, the exit code that fits, and everything that was there before.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn.files
from charrnn.cli.app import run
from charrnn.cli.failures import as_user_error
from charrnn.config.memory import estimated_bytes
from charrnn.config.schema import Config, DataConfig, ModelConfig, TrainConfig
from charrnn.errors import ExitCode, UserError
from charrnn.run.paths import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from charrnn.run.reader import read_model
from charrnn.text.array_file import load_array
from charrnn.text.corpus import open_corpus
from tests.corpora import lines_corpus, prose, stream_corpus
from tests.models import write_run
from tests.text.server import running
from tests.training.test_trainer import everything_learned

SMALL = (
    "--set=model.hidden_size=64",
    "--set=model.embedding_size=8",
    "--set=train.steps=12",
    "--set=train.threads=1",
    "--set=train.precision=float32",
    "--set=train.batch_size=4",
    "--set=train.sequence_length=16",
    "--set=train.save_every_steps=5",
    "--set=train.log_every_steps=3",
    "--set=data.source=sea.txt",
)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sea.txt").write_text(prose(2000))
    return tmp_path


class Disk:
    """A small file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(path)]
    if (
        shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def train(*arguments: object) -> int:
    return run(["train", *map(str, arguments)])


def said(capfd: Capture) -> str:
    return capfd.readouterr().err


def files_of(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*"))


def test_a_full_disk_keeps_the_last_save_and_with_space_again_all_goes_on(
    disk: Disk, capfd: Capture
) -> None:
    """The first save has room, the one with the optimiser's moments beside it has not."""
    assert train(*SMALL, "--out=whole") == ExitCode.DONE
    disk.remount("size=300k")
    target = disk.path / "run"

    assert train(*SMALL, f"--out={target}") == ExitCode.FAILED

    assert "No space left" in said(capfd)
    assert files_of(target) == [
        ".lock", CONFIG_FILE, "last", "last/state.safetensors", "metrics.jsonl", "vocabulary.json",
    ]  # fmt: skip
    disk.remount("size=64m")
    assert train("--resume", f"--out={target}") == ExitCode.DONE
    assert everything_learned(target) == everything_learned(Path("whole"))


def test_a_disk_that_has_no_room_for_a_run_at_all_is_left_as_it_was(
    disk: Disk, capfd: Capture
) -> None:
    disk.remount("size=16k")
    assert train(*SMALL, f"--out={disk.path}/run") == ExitCode.FAILED
    assert "cannot write" in said(capfd)
    disk.remount("size=64m")
    assert train(*SMALL, f"--out={disk.path}/run") == ExitCode.DONE


def test_a_read_only_run_can_be_used_and_says_why_it_cannot_be_trained(
    disk: Disk, capfd: Capture
) -> None:
    target = disk.path / "run"
    assert train(*SMALL, f"--out={target}") == ExitCode.DONE
    before = everything_learned(target)
    disk.remount("ro")
    for arguments in (
        ["train", "--resume", f"--out={target}", "--set=train.steps=20"],
        ["train", *SMALL, f"--out={target}", "--overwrite"],
        ["train", *SMALL, f"--out={disk.path}/other"],
        ["prepare", "sea.txt", f"--out={disk.path}/corpus"],
        ["generate", f"--run={target}", "--length=3", f"--save-state={disk.path}/state"],
    ):
        said(capfd)
        assert run(arguments) == ExitCode.FAILED, arguments
        assert "Read-only" in said(capfd)
    assert run(["generate", f"--run={target}", "--length=3", "--seed=the"]) == ExitCode.DONE
    assert run(["eval", f"--run={target}"]) == ExitCode.DONE
    assert everything_learned(target) == before


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    disk.remount("ro")
    monkeypatch.setenv("CHARRNN_CACHE", str(disk.path / "cache"))
    with running() as server:
        assert run(["prepare", server.url("text")]) == ExitCode.FAILED
    told = said(capfd)
    assert "cannot use the cache" in told
    assert "CHARRNN_CACHE" in told


@pytest.mark.parametrize("make", [stream_corpus, lines_corpus])
def test_a_corpus_that_vanishes_or_shrinks_while_it_is_in_use_is_no_matter(
    tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    corpus = make(tmp_path)
    expected = corpus.train.ids.copy()
    opened = open_corpus(corpus.path)
    in_use = opened.train
    assert opened.valid.ids.size
    for file in corpus.path.glob("*.npy"):
        with file.open("r+b") as stream:
            stream.truncate(10)
    np.testing.assert_array_equal(in_use.ids, expected)
    with pytest.raises(UserError, match="cannot read"):
        open_corpus(corpus.path)


def test_only_an_array_beyond_a_share_of_the_memory_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(1000, dtype=np.uint16)
    np.save(tmp_path / "a.npy", values)
    assert not isinstance(load_array(tmp_path / "a.npy", np.uint16, 1000), np.memmap)
    monkeypatch.setattr("charrnn.machine.physical_bytes", lambda: 7999)
    mapped = load_array(tmp_path / "a.npy", np.uint16, 1000)
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, values)


def test_weights_that_shrink_between_being_checked_and_read_are_damaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_run(tmp_path / "run")
    checked_size = charrnn.files.checked_size

    def shrinking(path: Path, folder: Path, *, limit: int) -> int:
        size = checked_size(path, folder, limit=limit)
        if path.name == WEIGHTS_FILE:
            with path.open("r+b") as stream:
                stream.truncate(size // 2)
        return size

    monkeypatch.setattr("charrnn.files.checked_size", shrinking)
    with pytest.raises(UserError, match="damaged"):
        read_model(target)


def test_weights_in_use_do_not_depend_on_their_file(tmp_path: Path) -> None:
    model = read_model(write_run(tmp_path / "run"))
    with (tmp_path / "run" / WEIGHTS_FILE).open("r+b") as stream:
        stream.truncate(0)
    assert all(np.isfinite(weight).all() for weight in model.weights.values())


@pytest.mark.parametrize(
    "sizes",
    [
        ["model.hidden_size=65536", "model.layers=64"],
        ["train.batch_size=65536", "train.sequence_length=65536"],
        ["model.embedding_size=65536", "model.tie_weights=true", "model.hidden_size=65536"],
    ],
)
@pytest.mark.parametrize("command", ["train", "prepare"])
def test_an_absurd_configuration_is_refused_with_its_bytes_before_anything_is_made(
    capfd: Capture, sizes: list[str], command: str
) -> None:
    settings = [f"--set={size}" for size in sizes]
    assert run([command, "--set=data.source=sea.txt", *settings]) == ExitCode.WRONG_INPUT
    assert "bytes" in said(capfd)
    assert files_of(Path()) == ["sea.txt"]


def test_a_line_too_long_for_the_memory_is_refused_with_its_bytes(
    capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of a batch is padded to the longest, which only the text can tell."""
    Path("lines.txt").write_text("a short one\n" * 50 + "x" * 50_000 + "\n" + "b\n" * 20)
    monkeypatch.setattr("charrnn.machine.physical_bytes", lambda: 10**9)
    settings = ["--set=data.source=lines.txt", "--set=data.mode=lines", "--set=train.batch_size=64"]
    assert train(*settings, "--set=data.max_length=50000") == ExitCode.WRONG_INPUT
    assert "GB) of memory or more" in said(capfd)
    assert not Path("runs").exists()


def test_in_lines_mode_memory_is_counted_by_the_longest_line() -> None:
    lines = Config(data=DataConfig(mode="lines"))
    assert estimated_bytes(lines, 100, 64) == estimated_bytes(Config(), 100)
    assert estimated_bytes(lines, 100, 65) > estimated_bytes(Config(), 100)


def test_a_model_larger_than_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_run(tmp_path / "run")
    monkeypatch.setattr("charrnn.machine.physical_bytes", lambda: 1000)
    with pytest.raises(UserError, match=r"takes [\d,]+ bytes .* this machine has"):
        read_model(target)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
)
def test_memory_that_runs_out_all_the_same_is_told_as_that(error: BaseException) -> None:
    told = as_user_error(error)
    assert told.exit_code == ExitCode.FAILED
    assert "not enough memory" in told.message


def test_a_learning_rate_too_high_is_named_and_the_run_from_before_is_untouched(
    capfd: Capture,
) -> None:
    """A decay of 10 at a rate of 10 multiplies every weight by -99, step after step."""
    assert train(*SMALL, "--out=run") == ExitCode.DONE
    before = everything_learned(Path("run"))
    wild = ["train.learning_rate=10", "train.weight_decay=10", "train.steps=400"]
    code = train("--resume", "--out=run", *(f"--set={each}" for each in wild))
    assert code == ExitCode.FAILED
    told = said(capfd)
    assert "not finite" in told
    assert "train.learning_rate" in told
    assert (Path("run") / CARD_FILE).exists()
    assert everything_learned(Path("run"))["best output.weight"] == before["best output.weight"]
    assert read_model(Path("run")).card.step == before["card"]["step"]


def test_the_settings_that_are_absurd_are_within_the_schema() -> None:
    """So that it is the arithmetic that refuses them, and no range."""
    model = ModelConfig(hidden_size=65536, layers=64)
    train_ = TrainConfig(batch_size=65536, sequence_length=65536)
    assert estimated_bytes(Config(model=model, train=train_), 3) > 2**50
