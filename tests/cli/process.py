"""charrnn as a real process, as a shell starts it."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    output = os.O_WRONLY | os.O_CREAT
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "stdin").write_bytes(given)
        requests: list[dict[str, Any]] = [
            {
                "arguments": [str(argument) for argument in arguments],
                "cwd": str(cwd or Path.cwd()),
                "seconds": SECONDS,
                "env": {**os.environ, **environment},
                "streams": [
                    (f"{name}/stdin", os.O_RDONLY),
                    (f"{name}/stdout-{number}", output),
                    (f"{name}/stderr-{number}", output),
                ],
            }
            for number, (arguments, environment) in enumerate(
                zip(commands, environments, strict=True)
            )
        ]
        codes = _fork_server().run(requests)
        return [
            subprocess.CompletedProcess(
                [*COMMAND, *request["arguments"]],
                code,
                *(Path(path).read_bytes().decode() for path, _ in request["streams"][1:]),
            )
            for request, code in zip(requests, codes, strict=True)
        ]


class _ForkServer:
    """A process that has imported what a training needs, and forks for every command."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.fork_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, requests: list[dict[str, Any]]) -> list[int]:
        """Run commands to their ends; returns exit codes, or minus the signals that ended them."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(requests) + "\n")
        self._process.stdin.flush()
        codes: list[int] = json.loads(self._process.stdout.readline())
        return codes

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@functools.cache
def _fork_server() -> _ForkServer:
    server = _ForkServer()
    atexit.register(server.close)
    return server


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


def start(*arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start a command whose streams the test reads itself."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
