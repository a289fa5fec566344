"""charrnn as a real process, as a shell starts it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "charrnn")
SECONDS = 120


def charrnn(
    *arguments: object, cwd: Path | None = None, stdin: str | bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; stdout and stderr are decoded."""
    given = stdin.encode("utf-8") if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        input=given,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


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
