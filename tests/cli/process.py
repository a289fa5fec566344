"""charrnn as a real process, as a shell starts it."""

import atexit
import contextlib
import functools
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.cli.fork_client import PID_TO, ask

COMMAND = (sys.executable, "-m", "charrnn")
SECONDS = 120
"""After which a command that hangs is ended."""
ROOT = Path(__file__).parent.parent.parent


def charrnn(
    *arguments: object, cwd: Path | None = None, stdin: str | bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, in a process of its own; stdout and stderr are decoded."""
    (done,) = together([arguments], [{}], cwd=cwd, stdin=stdin)
    return done


def together(
    commands: Sequence[Sequence[object]],
    environments: Sequence[Mapping[str, str]],
    cwd: Path | None = None,
    stdin: str | bytes = b"",
) -> list[subprocess.CompletedProcess[str]]:
    """Run some commands at the same time, each with something in its environment, to their ends."""
    given = stdin.encode("utf-8") if isinstance(stdin, str) else stdin
    started = []
    with contextlib.ExitStack() as stack:
        for command, environment in zip(commands, environments, strict=True):
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            files[0].write(given)
            files[0].seek(0)
            arguments = [str(argument) for argument in command]
            answer = ask(
                fork_server(),
                arguments,
                str(cwd or Path.cwd()),
                {**os.environ, **environment},
                [file.fileno() for file in files],
            )
            started.append((arguments, files[1:], stack.enter_context(answer)))
        return [
            subprocess.CompletedProcess(
                [*COMMAND, *arguments],
                int(answer.readlines()[1]),
                *map(_written, outputs),
            )
            for arguments, outputs, answer in started
        ]


def _written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@functools.cache
def fork_server() -> str:
    """The socket of a process that has imported what commands need, and forks for each."""
    folder = tempfile.TemporaryDirectory()
    path = f"{folder.name}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.fork_server", path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    atexit.register(folder.cleanup)
    atexit.register(process.communicate)
    return path


def forked_command() -> tuple[str, ...]:
    """How `charrnn` is started so that the fork server runs it; `Command` gets signals to it."""
    client = ROOT / "tests/cli/fork_client.py"
    return (sys.executable, "-S", "-E", str(client), fork_server())


def environment_with_command() -> dict[str, str]:
    """The environment of a shell that finds `charrnn`, run by the fork server."""
    folder = Path(fork_server()).parent
    command = folder / "charrnn"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(forked_command())} "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def succeed(*arguments: object, cwd: Path | None = None, stdin: str | bytes = b"") -> str:
    """Run one command that must succeed; returns its stdout."""
    done = charrnn(*arguments, cwd=cwd, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def succeed_json(
    *arguments: object, cwd: Path | None = None, stdin: str | bytes = b""
) -> dict[str, Any]:
    """Run one command with --json that must succeed; returns its object."""
    answer = json.loads(succeed(*arguments, "--json", cwd=cwd, stdin=stdin))
    assert isinstance(answer, dict)
    return answer


class Command(subprocess.Popen[str]):
    """A command at work, whose streams the test reads itself."""

    def __init__(self, *arguments: object, cwd: Path | None = None) -> None:
        reader, writer = os.pipe()
        super().__init__(
            [*forked_command(), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, PID_TO: str(writer)},
            pass_fds=(writer,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writer)
        with os.fdopen(reader) as told:
            self._command = int(told.read())

    def send_signal(self, sig: int) -> None:
        """Send a signal to the command itself."""
        if self.poll() is None:
            os.kill(self._command, sig)
