"""Fetching a text from the web once: into a cache, checked, and never seen half-written.

A download goes to a scratch folder inside the cache and gets its name there only when it is
complete, has the right SHA-256 (if one is expected) and is on the disk.
"""

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charrnn import __version__
from charrnn.errors import RunFailedError, UserError
from charrnn.files import sync_folder
from charrnn.text.progress import Progress, silent
from charrnn.text.scratch import scratch_folder

STALL_SECONDS = 30.0
"""How long the network may be silent before it counts as stalled."""

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
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{readable[-60:]}"


def _has_sha256(path: Path, sha256: str | None) -> bool:
    if not path.is_file():
        return False
    return sha256 is None or _sha256_of(path) == sha256


def _fetch_to(target: Path, url: str, sha256: str | None, progress: Progress) -> None:
    target.unlink(missing_ok=True)
    with scratch_folder(target.parent) as scratch:
        partial = scratch / target.name
        with partial.open("wb") as file:
            for block in _body(url, progress):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if not _has_sha256(partial, sha256):
            raise UserError(
                f"{url} does not hold what was expected: its SHA-256 is "
                f"{_sha256_of(partial)}, not {sha256}; the download was removed",
                hint="if the new content is meant, change data.sha256",
            )
        partial.replace(target)
        sync_folder(target.parent)


def _body(url: str, progress: Progress) -> Iterator[bytes]:
    """Yield what the server sends, and make sure that it was everything it had announced."""
    with _network_faults_named(url), _opened(url) as answer:
        length = _announced_length(answer)
        received = 0
        with progress(f"fetching {url}", length, unit="bytes") as advance:
            while block := answer.read(BLOCK_BYTES):
                received += len(block)
                advance(len(block))
                yield block
        if length is not None and received != length:
            raise http.client.IncompleteRead(b"", length - received)


def _opened(url: str) -> http.client.HTTPResponse:
    """Ask the server; the caller has seen that the address is one of http(s)."""
    request = urllib.request.Request(  # noqa: S310
        urllib.parse.quote(url, safe=LEFT_AS_THEY_ARE),
        headers={"User-Agent": f"charrnn/{__version__}"},
    )
    answer: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310
        request, timeout=STALL_SECONDS
    )
    return answer


def _announced_length(answer: http.client.HTTPResponse) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


@contextmanager
def _network_faults_named(url: str) -> Iterator[None]:
    """Turn what goes wrong with a server into a message about its address."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        kind = UserError if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR else RunFailedError
        raise kind(
            f"{url}: the server answers {error.code} {error.reason}", hint="check the address"
        ) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise UserError(f"{url} is not an address: {error}") from error
    except http.client.IncompleteRead as error:
        missing = f": {error.expected:,} bytes are missing" if error.expected else ""
        raise RunFailedError(
            f"{url}: the server sent too little{missing}", hint=NETWORK_HINT
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise RunFailedError(f"{url}: {_reason(error)}", hint=NETWORK_HINT) from error


def _reason(error: OSError | http.client.HTTPException) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"nothing came from the server for {STALL_SECONDS:g} seconds"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    return str(cause) or type(cause).__name__


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
