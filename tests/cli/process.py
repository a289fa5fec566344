"""charrnn as a real process, as a shell starts it."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
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
    command = [str(argument) for argument in arguments]
    given = stdin.encode("utf-8") if isinstance(stdin, str) else stdin
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "stdin").write_bytes(given)
        output = os.O_WRONLY | os.O_CREAT
        request = {
            "arguments": command,
            "cwd": str(cwd or Path.cwd()),
            "seconds": SECONDS,
            "env": dict(os.environ),
            "streams": [
                (f"{folder}/stdin", os.O_RDONLY),
                (f"{folder}/stdout", output),
                (f"{folder}/stderr", output),
            ],
        }
        code = _fork_server().run(request)
        said = [(folder / stream).read_bytes().decode() for stream in ("stdout", "stderr")]
    return subprocess.CompletedProcess([*COMMAND, *command], code, *said)


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

    def run(self, request: dict[str, Any]) -> int:
        """Run a command to its end; returns its exit code, or minus the signal that ended it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

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
