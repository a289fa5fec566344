"""Where text comes from: files, folders, stdin, the web, and what every Python carries.

A source can be read several times, since each pass over a text needs what the one before found.
What can be read only once (stdin, a FIFO) is copied to a temporary file; a file that changes
while it is read is refused. What is compressed is decompressed as it is read. What is no text is
refused where it was named, and left out of a folder.
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
from functools import cached_property
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO

from charrnn.config.schema import DataConfig
from charrnn.console import Advance, Progress, silent
from charrnn.errors import RunFailedError, UserError
from charrnn.files import expanded
from charrnn.messages import format_name, join_words, one_line, quote, reason
from charrnn.shipped import NAMES as NAMES_FILE
from charrnn.shipped import shipped_path
from charrnn.text.decoding import ErrorHandling, UndecodableError, canonical_encoding, decoded
from charrnn.text.file_kind import (
    HEAD_BYTES,
    NotTextError,
    compression_of,
    decompressed,
    document_format,
    unicode_encoding,
)
from charrnn.text.folder import files_in, is_prepared_text, is_run

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
DESCRIPTOR = re.compile(r"/dev/(fd/\d+|stdin)|/proc/(self|\d+)/fd/\d+")
"""What `<(command)` becomes, and other names that mean something to a single process."""
WITH_MARK_OF_THEIR_OWN = ("utf-16", "utf-32")
"""Encodings whose text has zeros and marks in it without meaning another one."""
MOST_NAMED = 5


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
    compression: str | None = None
    """What it is compressed with; None if it is not."""

    @property
    def size(self) -> int:
        """Its length in bytes, as it is stored."""
        return self.found.st_size

    def text(self, encoding: str, errors: ErrorHandling, advance: Advance) -> Iterator[str]:
        """Yield its text, decompressed and decoded; `advance` is told of the bytes read.

        Raises:
            UserError: It cannot be read, decompressed or decoded.
            RunFailedError: It has changed.
        """
        stored = _counted(self.chunks(), advance)
        content = decompressed(stored, self.compression, self.name) if self.compression else stored
        encoding = self.encoding or encoding
        return decoded(content, encoding=encoding, errors=errors, name=self.name)

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes as stored; refuse a file that is not, or not any more, as it was found.

        Raises:
            UserError: It cannot be read.
            RunFailedError: It has changed.
        """
        with _readable(self.name), self.opened() as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open it at its beginning; see at the end, too, that it is as it was found."""
        is_path = isinstance(self.file, Path)
        with open(self.file, "rb", buffering=0, closefd=is_path) as file:
            self._check_unchanged(file)
            file.seek(0)
            yield file
            self._check_unchanged(file)

    def _check_unchanged(self, file: IO[bytes]) -> None:
        now = os.fstat(file.fileno())
        if any(getattr(now, key) != getattr(self.found, key) for key in IDENTITY):
            raise RunFailedError(
                f"{self.name} changed while it was being read",
                hint="prepare a copy of it, or a finished file",
            )


def _counted(chunks: Iterator[bytes], advance: Advance) -> Iterator[bytes]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk


@dataclass(frozen=True)
class Sources:
    """What a user named as corpus: the sources to be read, in this order."""

    names: tuple[str, ...]
    sources: tuple[Source, ...] = field(repr=False)
    left_out: tuple[str, ...] = ()
    """For each file of a folder that is not text, its name and what it is, in words."""

    @property
    def size(self) -> int:
        """The length of all sources together, in bytes."""
        return sum(source.size for source in self.sources)

    @property
    def left_out_in_words(self) -> str:
        """Which files were left out, for a warning; empty if none was."""
        total = len(self.sources) + len(self.left_out)
        return f"left out as not text, {_some_of(self.left_out, total)}" if self.left_out else ""

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


def _some_of(files: Sequence[str], total: int) -> str:
    """Name the first of some files and count them: `2 of 9 files: a is a PNG image; b ...`."""
    more = len(files) - MOST_NAMED
    named = "; ".join(files[:MOST_NAMED]) + (f"; and {more:,} more" if more > 0 else "")
    return f"{len(files):,} of {total:,} files: {named}"


@contextmanager
def open_sources(
    names: Sequence[str],
    *,
    data: DataConfig | None = None,
    sha256: str | None = None,
    progress: Progress = silent,
) -> Iterator[Sources]:
    """Find what is named: files, folders, `-`, URLs (fetched now), `builtin:python-docs`.

    Args:
        names: What is to be read.
        data: How text is encoded, and which files of a folder are read; left out, the defaults.
        sha256: What the corpus must have; with a single URL the download is held to it.
        progress: Opens a display for each download.

    Raises:
        UserError: Something cannot be read, or is not text.
        RunFailedError: The network or the disk failed.
    """
    if names.count(STDIN) > 1:
        raise UserError("`-` is named twice, but stdin can be read only once")
    expected = sha256 if len(names) == 1 else None
    with ExitStack() as stack:
        finder = _Finder(data or DataConfig(), expected, progress, stack)
        sources = [source for name in names for source in finder.find(name)]
        yield Sources(tuple(names), tuple(sources), tuple(finder.left_out))


def is_url(name: str) -> bool:
    """Tell whether `name` is an address on the web."""
    return URL.match(name) is not None


def is_pipe(name: str) -> bool:
    """Tell whether what `name` stands for is gone when it has been read: stdin, a FIFO."""
    path = expanded(name)
    # os.path answers where pathlib raises, such as in a folder that we may not look into.
    is_special = os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))  # noqa: PTH110, PTH112, PTH113
    return name == STDIN or DESCRIPTOR.fullmatch(name) is not None or is_special


def can_be_read_again(name: str) -> bool:
    """Tell whether `name` is still there: not so with pipes, and files that are gone."""
    if is_url(name) or name.startswith(BUILTIN_PREFIX):
        return True
    return not is_pipe(name) and os.path.exists(expanded(name))  # noqa: PTH110


def slug_of(name: str) -> str:
    """Return lower-case letters, digits and dashes that remind of `name`."""
    if name == STDIN:
        words = "stdin"
    elif DESCRIPTOR.fullmatch(name):
        words = "pipe"
    elif is_url(name):
        words = "-".join(Path(re.split(r"[?#]", name)[0]).with_suffix("").parts[1:][-2:])
    else:
        words = Path(os.path.abspath(expanded(name.removeprefix(BUILTIN_PREFIX)))).stem  # noqa: PTH100
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40] or "text"


def _refuse_own_work(folder: Path) -> None:
    """Refuse to read as text what charrnn has made.

    Raises:
        UserError: The folder is a prepared corpus or a run.
    """
    name = format_name(str(folder))
    if is_prepared_text(folder):
        raise UserError(f"{name} is a prepared corpus: ids, not text", hint="name the text itself")
    if is_run(folder):
        raise UserError(f"{name} is a run, not a text", hint="name the text itself")


@dataclass
class _Finder:
    """Finds the sources that names stand for."""

    data: DataConfig
    sha256: str | None
    progress: Progress
    stack: ExitStack
    """Closes the temporary files."""
    left_out: list[str] = field(default_factory=list)

    @property
    def is_binary(self) -> bool:
        """Whether bytes are wanted, of whatever file."""
        return self.data.unit == "byte"

    @cached_property
    def encoding(self) -> str:
        """What text is encoded in, if its first bytes do not say."""
        return canonical_encoding(self.data.encoding)

    def find(self, name: str) -> list[Source]:
        """Find the sources that a name stands for."""
        if not name:
            raise UserError("a source has an empty name", hint="is a shell variable not set?")
        if name == STDIN:
            return [self._recognised(_stdin(self.stack))]
        if name.startswith(BUILTIN_PREFIX):
            builtin = _builtin(name, self.stack)
            return [replace(builtin, encoding=None) if self.is_binary else builtin]
        if is_url(name):
            from charrnn.text.download import fetch

            copy = fetch(name, sha256=self.sha256, progress=self.progress)
            return [self._recognised(replace(_file(copy, self.stack), name=name))]
        if SCHEME.match(name):
            raise UserError(f"{quote(name)}: only http and https addresses can be fetched")
        path = expanded(name)
        with _readable(name):
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        return self._in_folder(path) if is_folder else [self._recognised(_file(path, self.stack))]

    def _in_folder(self, folder: Path) -> list[Source]:
        """Find the files of a folder that are text; the others are named in `left_out`."""
        _refuse_own_work(folder)
        name = format_name(str(folder))
        include, exclude = self.data.patterns
        with _readable(str(folder)):
            paths = files_in(folder, include, exclude)
        found = [_file(path, self.stack) for path in paths]
        if not found:
            raise UserError(
                f"{name} holds no files"
                + (" that match the patterns" if include or exclude else ""),
                hint="hidden files, and what charrnn made, are left out; "
                "data.include and data.exclude choose among the others",
            )
        texts, others = [], []
        size = sum(source.size for source in found)
        with self.progress("looking into", size, unit="bytes") as advance:
            for source in found:
                try:
                    texts.append(self._checked(source, advance))
                except NotTextError as error:
                    others.append(error.message)
        if others and (self.data.not_text == "refuse" or not texts):
            raise UserError(
                f"{name}: not text, {_some_of(others, len(found))}",
                hint="data.exclude leaves files out by name, data.not_text=skip whatever is no "
                "text; data.encoding says how text is encoded",
            )
        self.left_out += others
        return texts

    def _checked(self, source: Source, advance: Advance) -> Source:
        """Read a file of a folder to its end, to know that it is text.

        Raises:
            NotTextError: It is not.
        """
        source = self._recognised(source)
        if self.is_binary:
            return source
        try:
            for text in source.text(self.encoding, self.data.errors, advance):
                if "\0" in text:
                    raise NotTextError(f"{source.name} has NUL characters")
        except UndecodableError as error:
            raise NotTextError(error.message) from error
        return source

    def _recognised(self, source: Source) -> Source:
        """Note how a source is compressed, and its encoding where its first bytes tell.

        Raises:
            NotTextError: It is a document, an image, an archive.
        """
        with _readable(source.name), source.opened() as file:
            head = file.read(HEAD_BYTES)
        compression = compression_of(head)
        if self.is_binary:
            return replace(source, compression=compression)
        if compression:
            content = decompressed(source.chunks(), compression, source.name)
            head = next(content, b"")[:HEAD_BYTES]
        encoding = _encoding_of(head, source.name, compression, self.encoding)
        return replace(source, compression=compression, encoding=encoding)


def texts_of_stream(
    chunks: Iterator[bytes],
    name: str,
    *,
    encoding: str,
    errors: ErrorHandling,
    is_text: bool = True,
) -> Iterator[str]:
    """Yield the text of bytes that can be read only once, as they come.

    They are known by their first chunk as a file is by its head; what is no text is not asked for
    an encoding.

    Raises:
        UserError: They cannot be decompressed or decoded, or are no text.
    """
    head = next(chunks, b"")
    chunks, compression = chain([head], chunks), compression_of(head)
    if compression:
        chunks = decompressed(chunks, compression, name)
        head = next(chunks, b"")
        chunks = chain([head], chunks)
    encoding = canonical_encoding(encoding)
    own = _encoding_of(head[:HEAD_BYTES], name, compression, encoding) if is_text else None
    return decoded(chunks, encoding=own or encoding, errors=errors, name=name)


def _encoding_of(head: bytes, name: str, compression: str | None, encoding: str) -> str | None:
    """The encoding that the first bytes of a text tell, already decompressed; None if they do not.

    Raises:
        NotTextError: It is a document, an image, an archive.
    """
    what = document_format(head)
    if compression and compression_of(head):
        what = f"{compression_of(head)} data"
    if what:
        inside = f" compressed with {compression}" if compression else ""
        raise NotTextError(f"{name} is {what}{inside}")
    return None if encoding.startswith(WITH_MARK_OF_THEIR_OWN) else unicode_encoding(head)


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
