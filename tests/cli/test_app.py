"""How every command ends, whatever it was doing."""

import inspect
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from charrnn import __version__
from charrnn.cli.app import COMMANDS, app, function_of
from charrnn.errors import ExitCode
from tests.cli.process import COMMAND, ROOT, charrnn, succeed
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


# --- Conventions --------------------------------------------------------------------------------


def parameters() -> dict[str, list[Any]]:
    """The parameters of every command, by its name."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("charrnn", [], resilient_parsing=True)
    commands = {name: group.get_command(context, name) for name in COMMANDS}
    return {name: list(command.params) for name, command in commands.items()}


def test_help_is_a_command_too() -> None:
    assert succeed("help") == succeed("--help")
    assert succeed("help", "eval") == succeed("eval", "--help")
    assert succeed("help", "help") == succeed("help", "-h")
    assert charrnn("help", "fly").returncode == 2


def test_short_flags_mean_what_they_mean_elsewhere() -> None:
    assert succeed("-V") == succeed("--version")
    flags = {
        name: {flag for each in found for flag in each.opts} for name, found in parameters().items()
    }
    assert {"-o", "--out"} <= flags["train"] & flags["prepare"]
    assert {"-f", "--force", "--overwrite"} <= flags["train"]
    assert all({"--no-color", "--debug"} <= found for found in flags.values())


def test_a_value_has_one_name_wherever_it_is_asked_for() -> None:
    """An option of the same name takes the same; folders are DIR, runs RUN, files FILE."""
    names: dict[str, set[str]] = {}
    for found in parameters().values():
        for each in found:
            for flag in each.opts:
                if each.metavar and flag.startswith("--"):
                    names.setdefault(flag, set()).add(each.metavar)
    differing = {flag: found for flag, found in names.items() if len(found) > 1}
    assert differing == {"--out": {"RUN", "DIR", "FILE"}}, "each command makes its own thing"
    assert {name for found in names.values() for name in found} >= {"RUN", "DIR", "FILE", "N"}


def test_a_default_is_shown_also_where_it_comes_from_the_run() -> None:
    told = charrnn_wide("generate", "--help")
    assert "the run's own, or 500" in told
    assert "the run's own, or 0.8" in told
    assert "[default: 1]" in told
    assert "[default: (error)]" in told


def charrnn_wide(*arguments: str) -> str:
    """What a command says on a terminal that is wide enough to break no line."""
    done = shell(f"COLUMNS=400 $C {' '.join(arguments)}", Path.cwd())
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_ends_with_the_exit_codes(command: str) -> None:
    told = charrnn_wide(command, "--help")
    assert all(f"{int(code)} " in told[told.index("Exit codes") :] for code in ExitCode)


def test_choices_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    for arguments, words in [
        (("generate", "--unknown", "guess"), "--unknown: expected"),
        (("generate", "--top-p", "2"), "--top-p: expected"),
        (("eval", "--split", "test"), "--split is"),
    ]:
        done = charrnn(*arguments, "--run", "nowhere", cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
        assert "nowhere" not in done.stderr


@pytest.mark.parametrize(
    "command", ["prepare -", "train -", "train --config -", "eval --run run -", "generate -"]
)
def test_a_command_that_waits_for_a_person_to_type_says_so(command: str, tmp_path: Path) -> None:
    write_run(tmp_path / "runs/one")
    write_run(tmp_path / "run")
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb"):
        process = subprocess.Popen(
            [*COMMAND, *command.split()],
            cwd=tmp_path,
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr
        said = process.stderr.readline().decode()
        process.kill()
        process.communicate()
        os.close(follower)
    assert "reading from the terminal" in said
    assert "Ctrl-D" in said


def test_no_color_takes_the_colours_away(tmp_path: Path) -> None:
    script = "unset NO_COLOR; FORCE_COLOR=1 TERM=xterm-256color $C eval --help"
    colour = re.compile(r"\x1b\[(?:\d+;)*3\d")
    assert colour.search(shell(script, tmp_path).stdout)
    assert not colour.search(shell(f"{script} --no-color", tmp_path).stdout)


@pytest.mark.parametrize("command", [[], ["train"]])
def test_help_whose_reader_went_away_ends_as_every_other_output(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, *command, "--help"], stdout=writer, check=False, cwd=ROOT)
    os.close(writer)
    assert done.returncode == ExitCode.READER_GONE
