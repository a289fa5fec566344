"""How every command ends, whatever it was doing."""

import inspect
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from charrnn import __version__
from charrnn.cli.app import COMMANDS, function_of
from tests.cli.process import COMMAND, charrnn, succeed
from tests.models import write_run


def shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $C is charrnn; returns what it says."""
    return subprocess.run(
        ["bash", "-c", f'C="{" ".join(COMMAND)}"; {script}'],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_version_is_printed() -> None:
    assert succeed("--version") == f"charrnn {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    assert f"charrnn {command}" in succeed(command, "--help")


def test_help_without_a_command_names_the_commands() -> None:
    assert all(command in succeed("--help") for command in COMMANDS)


def test_no_command_at_all_shows_the_help_and_no_error() -> None:
    done = charrnn()
    assert done.returncode == 2
    assert all(command in done.stdout for command in COMMANDS)
    assert done.stderr == ""


def test_windows_is_refused_in_a_sentence_before_anything_is_imported() -> None:
    program = (
        "import sys; sys.platform = 'win32'; from charrnn.__main__ import main\n"
        "try: main()\n"
        "finally: assert 'charrnn.cli' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: charrnn needs Linux or macOS; on Windows use WSL\n"


@pytest.mark.parametrize(
    "arguments",
    [("fly",), ("eval", "--bogus"), ("train", "--minutes", "x"), ("generate", "--length")],
)
def test_a_wrong_command_line_is_one_message_one_hint_and_exit_code_2(
    arguments: tuple[str, ...],
) -> None:
    done = charrnn(*arguments)
    assert done.returncode == 2
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == ["error", "hint"]


def test_with_json_a_wrong_command_line_is_an_object_too() -> None:
    done = charrnn("eval", "--bogus", "--json")
    assert json.loads(done.stdout)["error"]["exit_code"] == done.returncode == 2


def test_debug_shows_the_traceback_and_keeps_the_exit_code(tmp_path: Path) -> None:
    done = charrnn("eval", "--run", "nowhere", "--debug", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "nowhere" in done.stderr


def test_a_reader_that_has_gone_ends_a_command_silently(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "t.txt").write_text("a sea of salt and wind\n" * 50)
    for command in ("--version", "eval --run run t.txt --quiet", "prepare t.txt --quiet"):
        done = shell(f"(sleep 0.1; exec $C {command}) | true; echo ${{PIPESTATUS[0]}}", tmp_path)
        assert done.stdout == "141\n", command
        assert done.stderr == "", command


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_silently(tmp_path: Path, number: int, code: int) -> None:
    with subprocess.Popen(
        [*COMMAND, "prepare", "-", "--quiet"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        process.stdin.write(b"salt and wind\n" * 100_000)  # so much that it must be reading
        process.send_signal(number)
        assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == code


def test_a_full_disk_behind_stdout_is_an_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = shell("$C --version > /dev/full", tmp_path)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_stdout_is_an_error(tmp_path: Path) -> None:
    done = shell("$C --version >&-", tmp_path)
    assert done.returncode == 1
    assert "stdout is closed" in done.stderr


def test_a_full_disk_behind_stderr_keeps_the_exit_code(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    assert shell("$C eval --run nowhere 2> /dev/full", tmp_path).returncode == 2


def test_the_list_of_commands_says_what_the_help_of_each_begins_with() -> None:
    for name, summary in COMMANDS.items():
        explanation = inspect.getdoc(function_of(name)) or ""
        assert explanation.partition("\n")[0] == summary
