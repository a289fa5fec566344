"""Where text comes from: files, folders, stdin, the web, and what every Python carries.

A source can be read several times, since each pass over a text needs what the one before found.
What can be read only once (stdin, a FIFO) is copied to a temporary file; a file that changes
while it is read is refused.
"""

import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import IO

from charrnn.console import Progress, silent
from charrnn.errors import RunFailedError, UserError
from charrnn.messages import format_name, join_words, one_line, quote, reason
from charrnn.shipped import NAMES as NAMES_FILE
from charrnn.shipped import shipped_path

CHUNK_BYTES = 256 * 1024
"""Small enough that a chunk stays in a core's second cache through all that is done to it."""

IDENTITY = ("st_ino", "st_size", "st_mtime_ns")
"""What of a file's status changes when another text is in it."""

STDIN = "-"
BUILTIN_PREFIX = "builtin:"
PYTHON_DOCS = "builtin:python-docs"
NAMES = "builtin:names"
URL = re.compile(r"https?://", re.IGNORECASE)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Source:
    """Bytes with a name and a size, that can be read more than once."""

    name: str
    """What to call it in messages and in the manifest."""
    file: Path | int
    """A file, or the descriptor of a copy of what can be read only once."""
    found: os.stat_result
    """What the file was like when it was found."""
    encoding: str | None = None
    """Its text encoding where that is known for certain."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.found.st_size

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes; refuse a file that is not, or not any more, as it was found.

        Raises:
            UserError: It cannot be read.
            RunFailedError: It has changed.
        """
        is_path = isinstance(self.file, Path)
        with _readable(self.name), open(self.file, "rb", buffering=0, closefd=is_path) as file:
            self._check_unchanged(file)
            file.seek(0)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
            self._check_unchanged(file)

    def _check_unchanged(self, file: IO[bytes]) -> None:
        now = os.fstat(file.fileno())
        if any(getattr(now, key) != getattr(self.found, key) for key in IDENTITY):
            raise RunFailedError(
                f"{self.name} changed while it was being read",
                hint="prepare a copy of it, or a finished file",
            )


@dataclass(frozen=True)
class Sources:
    """What a user named as corpus: the sources to be read, in this order."""

    names: tuple[str, ...]
    sources: tuple[Source, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """The length of all sources together, in bytes."""
        return sum(source.size for source in self.sources)

    @property
    def slug(self) -> str:
        """A short name that a folder can bear: `shakespeare`, `books-and-2-more`."""
        first = slug_of(self.names[0])
        return f"{first}-and-{len(self.names) - 1}-more" if len(self.names) > 1 else first

    def sha256s(self, progress: Progress) -> tuple[list[str], str]:
        """Return the SHA-256 of every source, and of all their bytes one after the other."""
        hashes, whole = [], hashlib.sha256()
        with progress("checking", self.size, unit="bytes") as advance:
            for source in self.sources:
                single = hashlib.sha256()
                for chunk in source.chunks():
                    single.update(chunk)
                    if len(self.sources) > 1:
                        whole.update(chunk)
                    advance(len(chunk))
                hashes.append(single.hexdigest())
        return hashes, hashes[0] if len(hashes) == 1 else whole.hexdigest()


@contextmanager
def open_sources(
    names: Sequence[str], *, sha256: str | None = None, progress: Progress = silent
) -> Iterator[Sources]:
    """Find what is named: files, folders, `-`, URLs (fetched now), `builtin:python-docs`.

    `sha256` is what the corpus must have; with a single URL the download is held to it.

    Raises:
        UserError: Something is not there, not readable or not understood.
        RunFailedError: The network or the disk failed.
    """
    if names.count(STDIN) > 1:
        raise UserError("`-` is named twice, but stdin can be read only once")
    expected = sha256 if len(names) == 1 else None
    with ExitStack() as stack:
        sources = [each for name in names for each in _find(name, expected, progress, stack)]
        yield Sources(tuple(names), tuple(sources))


def is_url(name: str) -> bool:
    """Tell whether `name` is an address on the web."""
    return URL.match(name) is not None


def can_be_read_again(name: str) -> bool:
    """Tell whether `name` is still there when it has been read: not so with stdin and pipes."""
    # os.path answers where pathlib raises, such as in a folder that we may not look into.
    is_special = os.path.exists(name) and not (os.path.isfile(name) or os.path.isdir(name))  # noqa: PTH110, PTH112, PTH113
    return name != STDIN and not is_special


def slug_of(name: str) -> str:
    """Return lower-case letters, digits and dashes that remind of `name`."""
    if name == STDIN:
        words = "stdin"
    elif is_url(name):
        words = "-".join(Path(re.split(r"[?#]", name)[0]).with_suffix("").parts[1:][-2:])
    else:
        words = Path(os.path.abspath(name.removeprefix(BUILTIN_PREFIX))).stem  # noqa: PTH100
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40] or "text"


def _find(name: str, sha256: str | None, progress: Progress, stack: ExitStack) -> list[Source]:
    """Find the sources that a name stands for; `stack` closes the temporary files."""
    if not name:
        raise UserError("a source has an empty name", hint="is a shell variable not set?")
    if name == STDIN:
        return [_stdin(stack)]
    if name.startswith(BUILTIN_PREFIX):
        return [_builtin(name, stack)]
    if is_url(name):
        from charrnn.text.download import fetch

        copy = fetch(name, sha256=sha256, progress=progress)
        return [replace(_file(copy, stack), name=name)]
    if SCHEME.match(name):
        raise UserError(f"{quote(name)}: only http and https addresses can be fetched")
    with _readable(name):
        is_folder = stat.S_ISDIR(Path(name).stat().st_mode)
    paths = _files_in(Path(name)) if is_folder else [Path(name)]
    return [_file(path, stack) for path in paths]


def _files_in(folder: Path) -> list[Path]:
    """Find all files in a folder, however deep, but for the hidden ones."""

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    with _readable(str(folder)):
        for parent, folders, files in os.walk(folder, onerror=refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(parent, name) for name in files if not name.startswith(".")]
        paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise UserError(
            f"{format_name(str(folder))} holds no files", hint="hidden files are left out"
        )
    return paths


def _file(path: Path, stack: ExitStack) -> Source:
    name = _printable(path)
    with _readable(name), path.open("rb") as stream:  # that we may read it is better known at once
        if path.is_file():
            return Source(name, path, os.fstat(stream.fileno()))
        # What comes through a pipe or is typed has an end; what a device such as /dev/zero gives
        # has none.
        if not path.is_fifo() and not stream.isatty():
            raise UserError(f"{name} is a device, not a text", hint="name a file, or - for stdin")
        return _copied(stream, name, stack)


def _stdin(stack: ExitStack) -> Source:
    if sys.stdin is None:
        raise UserError("stdin is closed", hint="name a file, or pipe text into charrnn")
    with _readable("stdin"):
        return _copied(sys.stdin.buffer, "stdin", stack)


def _copied(stream: IO[bytes], name: str, stack: ExitStack, encoding: str | None = None) -> Source:
    """Copy what can be read only once to a temporary file that vanishes with the process."""
    try:
        copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - `stack` closes it
        shutil.copyfileobj(stream, copy, CHUNK_BYTES)
        copy.flush()
    except OSError as error:
        raise RunFailedError(
            f"cannot copy {name} to the temporary folder: {error.strerror or error}",
            hint="TMPDIR names another folder, with more space",
        ) from error
    return Source(name, copy.fileno(), os.fstat(copy.fileno()), encoding)


def _printable(path: Path) -> str:
    """Return a path as valid Unicode, whatever bytes the file system has in it."""
    return one_line(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _builtin(name: str, stack: ExitStack) -> Source:
    texts = {PYTHON_DOCS: python_docs, NAMES: shipped_names}
    if name not in texts:
        raise UserError(f"{quote(name)} is not built in", hint=f"{join_words(texts, 'and')} are")
    return _copied(BytesIO(texts[name]().encode()), name, stack, encoding="utf-8")


def shipped_names() -> str:
    """Return the list of names that comes with charrnn, one a line."""
    return shipped_path(NAMES_FILE).read_text(encoding="utf-8")


def python_docs() -> str:
    """Return the language reference that every CPython carries, topics in sorted order.

    Raises:
        UserError: This Python came without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError(
            f"this Python came without pydoc_data, which {PYTHON_DOCS} is made of",
            hint="name a text file, or use a Python from python.org",
        ) from error
    return "\n".join(topics[topic] for topic in sorted(topics))


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what the system says about an unreadable file into a message about it."""
    label = one_line(name)
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(
            f"{label}: there is no such file or folder",
            hint=f"a path, an http(s) address, {join_words(['-', PYTHON_DOCS])} is expected",
        ) from error
    except OSError as error:
        raise UserError(f"{label}: {reason(error)}") from error
    except ValueError as error:
        raise UserError(f"{quote(name)} is no path: {reason(error)}") from error
