"""A command as a shell knows it, run by the process of `fork_server.py`.

    python -S -E fork_client.py SOCKET [ARGUMENT...]

Imports little, as starting quickly is all that it is for.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence


def ask(
    server: str,
    arguments: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    streams: Sequence[int],
) -> socket.socket:
    """Have a command started whose stdin, stdout and stderr are these descriptors."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(server)
    socket.send_fds(connection, [b"\n"], streams)
    command = {"arguments": arguments, "cwd": cwd, "environment": dict(environment)}
    connection.sendall(json.dumps(command).encode())
    connection.shutdown(socket.SHUT_WR)
    return connection


def ended(connection: socket.socket) -> int:
    """Wait for a command to end; returns its exit code, or minus the signal that ended it."""
    with connection:
        return int(connection.recv(16))


if __name__ == "__main__":
    code = ended(ask(sys.argv[1], sys.argv[2:], os.getcwd(), os.environ, (0, 1, 2)))  # noqa: PTH109
    sys.exit(code if code >= 0 else 128 - code)
