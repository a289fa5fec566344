"""Starts commands by forking a process that has imported torch already: seconds saved each time.

Reads a line of JSON for commands that are to run at the same time (each with its arguments, folder,
environment, and the files that are its stdin, stdout and stderr), and answers with a line of their
exit codes.
"""

import json
import os
import signal
import sys
from typing import Any

import torch  # noqa: F401 - what makes a start slow

from charrnn.cli.app import main


def become(command: dict[str, Any]) -> None:
    """Run a command in this process, and end with its exit code."""
    code = 1
    try:
        for descriptor, (path, flags) in enumerate(command["streams"]):
            file = os.open(path, flags)
            os.dup2(file, descriptor)
            os.close(file)
        os.chdir(command["cwd"])
        signal.alarm(command["seconds"])
        os.environ.clear()
        os.environ.update(command["env"])
        main(command["arguments"])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(command: dict[str, Any]) -> int:
    """Start a command; returns the id of its process."""
    child = os.fork()
    if child == 0:
        become(command)
    return child


def serve() -> None:
    """Start what is asked for, one line after the other, until stdin is closed."""
    for line in iter(sys.stdin.readline, ""):
        children = [start(command) for command in json.loads(line)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    serve()
