"""A command as a shell knows it, run by the process of `fork_server.py`.

    python -S -E fork_client.py SOCKET [ARGUMENT...]

Imports little, as starting quickly is all that it is for. Signals do not pass through it: the
command's own process is named to the descriptor that `PID_TO` in the environment names.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import IO

PID_TO = "CHARRNN_PID_TO"


def ask(
    server: str,
    arguments: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    streams: Sequence[int],
) -> IO[bytes]:
    """Have a command started whose stdin, stdout and stderr are these descriptors.

    The answer has the id of its process, and when it has ended a line with its exit code, or minus
    the signal that ended it.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server)
        socket.send_fds(connection, [b"\n"], streams)
        command = {"arguments": arguments, "cwd": cwd, "environment": dict(environment)}
        connection.sendall(json.dumps(command).encode())
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb")


if __name__ == "__main__":
    pid_to = os.environ.pop(PID_TO, None)
    answer = ask(sys.argv[1], sys.argv[2:], os.getcwd(), os.environ, (0, 1, 2))  # noqa: PTH109
    pid = answer.readline()
    if pid_to:
        os.write(int(pid_to), pid)
        os.close(int(pid_to))
    code = int(answer.readline())
    sys.exit(code if code >= 0 else 128 - code)
