"""Files that are whole or not there: atomic writes, and reads that trust nothing.

A file is written under a temporary name in its own folder, flushed to the disk, then renamed:
a reader finds, at any moment, the old content or the new one, never a part.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from charrnn.errors import RunFailedError, UserError
from charrnn.machine import require_memory
from charrnn.messages import format_path, format_value, reason
from charrnn.validation import damaged

JSON_LIMIT_BYTES = 32 * 1024 * 1024
"""A vocabulary of all of Unicode takes 26 MB at the most, however it is written and indented."""
CHOOSE_ANOTHER = "choose another folder"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with `~` as the home directory, which no shell puts in after a `=`."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises where there is no home


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all.

    Raises:
        RunFailedError: The disk is full, the folder is read-only; what was there still is.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    with write_errors(path):
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Find out, before the work is done, whether `write_atomically` could put something at `path`.

    Raises:
        RunFailedError: The folder is read-only, or not ours.
    """
    with write_errors(path), tempfile.TemporaryFile(dir=path.parent):
        pass


def write_json_atomically(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object for people and programs to read."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode("utf-8"))


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that kills in the middle of writing have left in a folder."""
    with contextlib.suppress(OSError):
        for temporary in folder.glob(".*.partial"):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make an empty, hidden folder to build something in, removed at the end.

    `parent` (made too, if need be) is locked, shared by all who build in it. A process that finds
    it unlocked removes what a killed process has left.

    Raises:
        OSError: `parent` cannot be written to.
    """
    parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in parent.glob(".*.partial"):
                shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):  # a file system may have no locks
            fcntl.flock(lock, fcntl.LOCK_SH)
        with tempfile.TemporaryDirectory(
            prefix=".", suffix=".partial", dir=parent, ignore_cleanup_errors=True
        ) as folder:
            yield Path(folder)
    finally:
        os.close(lock)


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def raise_write_error(path: Path, error: OSError, *, elsewhere: str = CHOOSE_ANOTHER) -> NoReturn:
    """Say that `path` could not be written, and why; `elsewhere` says how to write elsewhere."""
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    way_out = f"free some space, or {elsewhere}" if is_full else elsewhere
    raise RunFailedError(
        f"cannot write {format_path(path)}: {reason(error)}",
        hint=f"{way_out}; what was there before is unchanged",
    ) from error


@contextlib.contextmanager
def write_errors(path: Path, *, elsewhere: str = CHOOSE_ANOTHER) -> Iterator[None]:
    """Say of what goes wrong in this context that `path` could not be written, and why."""
    try:
        yield
    except OSError as error:
        raise_write_error(path, error, elsewhere=elsewhere)


def checked_size(path: Path, folder: Path, *, limit: int) -> int:
    """The size in bytes of a plain file that lies in `folder` and is no larger than `limit`.

    Raises:
        UserError: It is missing, no plain file, a link out of the folder, or too large.
    """
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve(strict=True))
        status = path.stat()
    except (OSError, RuntimeError) as error:
        raise UserError(f"cannot read {format_path(path)}: {reason(error)}") from error
    if not inside:
        raise UserError(
            f"{format_path(path)} is a link that leaves its folder",
            hint="copy the file in its place",
        )
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{format_path(path)} is not a plain file")
    if status.st_size > limit:
        raise UserError(
            f"{format_path(path)} has {status.st_size:,} bytes; at most {limit:,} are expected"
        )
    return status.st_size


def read_checked(path: Path, folder: Path, *, limit: int) -> bytes:
    """The content of a plain file that lies in `folder` and is no larger than `limit`.

    Raises:
        UserError: As `checked_size`, it could not be read, or this machine could not hold it.
    """
    size = checked_size(path, folder, limit=limit)
    require_memory(size, format_path(path))
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise UserError(f"cannot read {format_path(path)}: {reason(error)}") from error


def read_json_object(path: Path, folder: Path, *, limit: int = JSON_LIMIT_BYTES) -> dict[str, Any]:
    """Read a JSON object from a file that may come from a stranger.

    Raises:
        UserError: The file is missing, too large, not UTF-8, not JSON, or no object.
    """
    content = read_checked(path, folder, limit=limit)
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise damaged(format_path(path), reason(error)) from error
    if not isinstance(value, dict):
        raise damaged(format_path(path), "it holds no JSON object")
    return value


def check_format_version(value: dict[str, Any], path: Path, *, reads: int, hint: str) -> None:
    """Refuse what was written in another format.

    Raises:
        UserError: With this hint.
    """
    version = value.get("format_version")
    if version != reads:
        raise UserError(
            f"{format_path(path)} has format version {format_value(version)}; "
            f"this charrnn reads {reads}",
            hint=hint,
        )
