"""Starts commands by forking a process that has imported all that they need.

    python -m tests.cli.fork_server SOCKET

Listens at a Unix socket until stdin is closed. `fork_client.py` says what it is asked.
"""

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from charrnn.cli.app import main
from tests import preloaded  # noqa: F401 - what makes a start slow
from tests.cli.process import SECONDS


def answer(connection: socket.socket) -> None:
    """Run the command that is asked for, in a process of its own; tell its id and exit code."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    command = json.loads(connection.makefile("rb").read())
    child = os.fork()
    if child == 0:
        become(command, streams)
    for descriptor in streams:
        os.close(descriptor)
    with suppress(BrokenPipeError):  # whoever asked may be gone
        connection.sendall(f"{child}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(f"{code}\n".encode())


def become(command: dict[str, Any], streams: list[int]) -> None:
    """Run a command in this process, and end with its exit code."""
    code = 1
    try:
        for descriptor, given in enumerate(streams):
            os.dup2(given, descriptor)
            os.close(given)
        os.chdir(command["cwd"])
        signal.alarm(SECONDS)
        os.environ.clear()
        os.environ.update(command["environment"])
        main(command["arguments"])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def serve(path: str) -> None:
    """Answer whoever asks, each in a process of its own, until stdin is closed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)  # noqa: T201 - for whoever started this
        while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                try:
                    answer(connection)
                finally:
                    os._exit(0)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
    with suppress(ChildProcessError):
        while os.wait():
            pass


if __name__ == "__main__":
    serve(sys.argv[1])
