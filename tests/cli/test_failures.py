"""What a failure of Python or of the system is told as."""

import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.cli.failures import as_user_error
from charrnn.errors import ExitCode
from tests.cli.process import SECONDS, charrnn
from tests.corpora import prose

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from charrnn.__main__ import main
main()
"""


def test_without_torch_training_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "sea.txt").write_text(prose(2000))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "train", "sea.txt"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the Python package torch is not installed" in done.stderr
    assert f"`{sys.executable} -m pip install torch` installs it" in done.stderr
    assert "fault of charrnn" not in done.stderr


def test_a_limit_on_memory_is_told_as_one(tmp_path: Path) -> None:
    """Python has room for itself, the libraries of torch have none."""
    (tmp_path / "sea.txt").write_text(prose(2000))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 300000; exec {sys.executable} -m charrnn train sea.txt"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 1
    assert "not enough memory" in done.stderr
    assert "Traceback" not in done.stderr
    assert "fault of charrnn" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is the read-only folder here")
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("prepare sea.txt --data-dir /proc/data", "--data-dir or CHARRNN_DATA"),
        ("prepare sea.txt --out /proc/sea", "--out"),
        ("train sea.txt --out /proc/run --set train.steps=1 --deterministic", "--out"),
    ],
)
def test_what_cannot_be_written_is_answered_with_the_option_that_moves_it(
    command: str, option: str, tmp_path: Path
) -> None:
    (tmp_path / "sea.txt").write_text(prose(2000))
    done = charrnn(*command.split(), cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot write /proc" in done.stderr
    assert f"hint: {option} names another folder" in done.stderr
    assert not (tmp_path / "data").exists()  # nothing was read before


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("libfoo.so: failed to map segment from shared object"), "not enough memory"),
        (OSError(12, "Cannot allocate memory"), "not enough memory"),
        (ModuleNotFoundError("No module named 'yaml'", name="yaml"), "package pyyaml is not"),
        (ImportError("bad symbol", name="torch._C"), "package torch cannot be loaded: bad symbol"),
        (ImportError("no such name", name="charrnn.text"), "ImportError: no such name"),
    ],
)
def test_what_is_missing_or_damaged_is_told_for_what_it_is(error: Exception, words: str) -> None:
    told = as_user_error(error)
    assert told.exit_code == ExitCode.FAILED
    assert words in told.message


def test_a_state_that_could_not_be_saved_is_told_before_the_text(tmp_path: Path) -> None:
    """/proc takes no new file, from root neither."""
    from tests.models import write_run

    write_run(tmp_path / "run")
    done = charrnn("generate", "a", "--run", "run", "--save-state", "/proc/state", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "cannot write /proc/state" in done.stderr
