"""A folder to build something in, beside the place that it will be renamed to.

It is locked while its owner lives, and always removed. What an owner that was killed left
behind is recognised by its free lock, and swept away by whoever builds there next.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".partial"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make an empty folder in `parent` (made too, if need be), removed at the end.

    Raises:
        OSError: `parent` cannot be written to.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    unlocked = Path(tempfile.mkdtemp(prefix=".", suffix=".new", dir=parent))
    lock = _lock(unlocked)
    folder = unlocked.rename(unlocked.with_suffix(SUFFIX))  # only now can it be swept away
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f".*{SUFFIX}"):
        lock = _lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder for as long as the returned descriptor is open; None if another has it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None
