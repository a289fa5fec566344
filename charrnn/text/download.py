"""Fetching a text from the web once: into a cache, checked, and never seen half-written.

A download goes to a scratch folder inside the cache and gets its name there only when it is
complete, has the right SHA-256 (if one is expected) and is on the disk.
"""

import hashlib
import http.client
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from charrnn import __version__
from charrnn.errors import RunFailedError, UserError
from charrnn.files import sync_folder
from charrnn.messages import join_words, one_line, quote, reason
from charrnn.text.progress import Progress, silent
from charrnn.text.scratch import scratch_folder

STALL_SECONDS = 30.0
"""How long the network may be silent before it counts as stalled."""
LEAST_BYTES = 1024
"""What has to come in that time; less is no better than silence."""

LONGEST_ANSWER = 100
BLOCK_BYTES = 64 * 1024
LEFT_AS_THEY_ARE = ":/?#[]@!$&'()*+,;=%~"
NETWORK_HINT = "try again, or fetch the file some other way and name its path instead"


def fetch(url: str, *, sha256: str | None = None, progress: Progress = silent) -> Path:
    """Return a local copy of what is at `url`, fetching it only if the cache has none.

    A cached copy with another SHA-256 than the one expected is removed and fetched again.

    Raises:
        UserError: The address is wrong, or what it holds has another SHA-256.
        RunFailedError: The network or the disk failed.
    """
    target = cache_folder() / _cache_name(url)
    try:
        if not _has_sha256(target, sha256):
            _fetch_to(target, url, sha256, progress)
    except OSError as error:
        raise RunFailedError(
            f"cannot use the cache {target.parent}: {error.strerror or error}",
            hint="CHARRNN_CACHE names another folder for it",
        ) from error
    return target


def cache_folder() -> Path:
    """Return where downloads are kept: `$CHARRNN_CACHE`, or `charrnn` in the user's cache."""
    if own := os.environ.get("CHARRNN_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charrnn"


def _cache_name(url: str) -> str:
    """A file name that no other URL has, and that says what the file is."""
    last = url.rpartition("/")[2] or "index"
    readable = "".join(char if char.isascii() and char.isalnum() else "-" for char in last)
    return f"{hashlib.sha256(os.fsencode(url)).hexdigest()[:16]}-{readable[-60:]}"


def _has_sha256(path: Path, sha256: str | None) -> bool:
    if not path.is_file():
        return False
    return sha256 is None or _sha256_of(path) == sha256


def _fetch_to(target: Path, url: str, sha256: str | None, progress: Progress) -> None:
    target.unlink(missing_ok=True)
    with scratch_folder(target.parent) as scratch:
        partial = scratch / target.name
        with partial.open("wb") as file:
            for block in _body(url, scratch, progress):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if not _has_sha256(partial, sha256):
            raise UserError(
                f"{one_line(url)} does not hold what was expected: its SHA-256 is "
                f"{_sha256_of(partial)}, not {sha256}; the download was removed",
                hint="if the new content is meant, change data.sha256",
            )
        partial.replace(target)
        sync_folder(target.parent)


def _body(url: str, folder: Path, progress: Progress) -> Iterator[bytes]:
    """Yield what the server sends, and make sure that it was everything it had announced."""
    name = one_line(url)
    with _network_faults_named(name), _opened(url) as answer:
        length, received, pace = _announced_length(answer), 0, Pace()
        _check_space(name, length, folder)
        with progress(f"fetching {name}", length, unit="bytes") as advance:
            while block := answer.read1(BLOCK_BYTES):
                received += len(block)
                pace.check(received)
                advance(len(block))
                yield block
        if length is not None and received < length:
            raise http.client.IncompleteRead(b"", length - received)
        if not received:
            raise RunFailedError(f"{name}: the server sent nothing", hint=NETWORK_HINT)


class _SlowError(TimeoutError):
    """A server was too slow; it says what did not come in time."""

    def __str__(self) -> str:
        return f"{self.args[0]} came from the server in {STALL_SECONDS:g} seconds"


class Pace:
    """Notices a server that sends so little at a time that it might as well send nothing."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._received = 0

    def check(self, received: int) -> None:
        """Take note of how much has come so far.

        Raises:
            TimeoutError: It was too little for too long.
        """
        if received - self._received >= LEAST_BYTES:
            self._since, self._received = time.monotonic(), received
        elif time.monotonic() - self._since > STALL_SECONDS:
            raise _SlowError(f"fewer than {LEAST_BYTES:,} bytes")


def _announced_length(answer: http.client.HTTPResponse) -> int | None:
    """How many bytes are to come, if that is known."""
    is_announced = "Content-Length" in answer.headers and not answer.chunked
    if is_announced and answer.length is None:
        raise http.client.HTTPException("the server announces a length that is no number")
    return answer.length


def _check_space(name: str, length: int | None, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if length is not None and length > free:
        raise RunFailedError(
            f"{name} has {length:,} bytes, and {folder} has room for {free:,}",
            hint="CHARRNN_CACHE names another folder",
        )


def _opened(url: str) -> http.client.HTTPResponse:
    """Ask the server; the caller has seen that the address is one of http(s)."""
    request = urllib.request.Request(  # noqa: S310
        urllib.parse.quote(url, safe=LEFT_AS_THEY_ARE),
        headers={"User-Agent": f"charrnn/{__version__}"},
    )
    answer: http.client.HTTPResponse = _opener().open(request, timeout=STALL_SECONDS)
    return answer


def _opener() -> urllib.request.OpenerDirector:
    """What speaks HTTP, with or without TLS, through the user's proxy; no ftp:, file: or data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _HTTPHandler(),
        _HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _RedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _PunctualConnection(http.client.HTTPConnection):
    """A connection whose answer has to begin in time, however it drips in."""

    def getresponse(self) -> http.client.HTTPResponse:
        """Wait for the status line and the headers.

        Raises:
            TimeoutError: They were not complete in time.
        """
        with _hanging_up_after(STALL_SECONDS, self.sock):
            return super().getresponse()


class _PunctualTLSConnection(_PunctualConnection, http.client.HTTPSConnection):
    """The same over TLS."""


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PunctualConnection, req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PunctualTLSConnection, req)


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows a server's advice to ask elsewhere, but not to anything less safe."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Make the next request.

        Raises:
            UserError: It would leave https, or http and https altogether.
        """
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urllib.parse.urlsplit(newurl).scheme not in allowed:
            fp.close()
            raise UserError(
                f"{req.full_url}: the server sends us to {quote(newurl)}, "
                f"which is not {join_words(allowed)}",
                hint="fetch the file some other way and name its path, if you trust that address",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _hanging_up_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Break a connection off when what is done with it takes longer.

    Raises:
        TimeoutError: It did.
    """
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if late.is_set() or isinstance(error, TimeoutError):
            raise _SlowError("no answer") from error
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise _SlowError("no whole answer")


@contextmanager
def _network_faults_named(name: str) -> Iterator[None]:
    """Turn what goes wrong with a server into a message about its address."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        answer = " ".join(f"{error.code} {error.reason}".split())
        kind = UserError if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR else RunFailedError
        raise kind(
            f"{name}: the server answers {one_line(answer[:LONGEST_ANSWER])}",
            hint="check the address",
        ) from error
    except (http.client.InvalidURL, ValueError, OverflowError) as error:
        raise UserError(f"{name} is not an address: {reason(error)}") from error
    except http.client.IncompleteRead as error:
        missing = f": {error.expected:,} bytes are missing" if error.expected else ""
        raise RunFailedError(
            f"{name}: the server sent too little{missing}", hint=NETWORK_HINT
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise RunFailedError(f"{name}: {_in_words(error)}", hint=NETWORK_HINT) from error


def _in_words(error: OSError | http.client.HTTPException) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError) and not isinstance(cause, _SlowError):
        return f"nothing came from the server for {STALL_SECONDS:g} seconds"
    return reason(cause) if isinstance(cause, Exception) else one_line(str(cause))


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
