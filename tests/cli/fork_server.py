"""Starts commands by forking a process that has imported torch already: seconds saved each time.

Reads a line of JSON for each command (arguments, folder, environment, and the files that are its
stdin, stdout and stderr), and answers with a line that holds its exit code.
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


def serve() -> None:
    """Start what is asked for, one command after the other, until stdin is closed."""
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    serve()
