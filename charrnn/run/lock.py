"""One training at a time in a run directory, by a lock that no crash can leave behind.

The kernel holds the lock for as long as the process lives, and lets go however it ends. A process
that is forked, to load batches for instance, would hold it too, and outlive a killed training by
seconds: it closes its copy at once.
"""

import fcntl
import os
from pathlib import Path

from charrnn.errors import UserError
from charrnn.files import raise_write_error
from charrnn.run.paths import LOCK_FILE

_held: set[int] = set()


class RunLock:
    """The hold that one process has on a run directory."""

    def __init__(self, folder: Path) -> None:
        """Take it.

        Raises:
            UserError: Another training has it.
            RunFailedError: The folder cannot be written to.
        """
        self._descriptor = _opened(folder / LOCK_FILE)
        _held.add(self._descriptor)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._close()
            if not isinstance(error, BlockingIOError):
                raise_write_error(folder / LOCK_FILE, error)
            raise UserError(
                f"another training is at work in {folder}",
                hint="wait for it, stop it, or choose another --out",
            ) from error

    def release(self) -> None:
        """Let another training have the directory."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._close()

    def _close(self) -> None:
        _held.discard(self._descriptor)
        os.close(self._descriptor)


def _opened(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise_write_error(file, error)


def _forget() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
