"""Fetch a text from the web once: into a cache, checked, and never seen half-written.

A download goes to a scratch folder inside the cache and gets its name there only when it is
complete, has the right SHA-256 (if one is expected) and is on the disk.
"""

import hashlib
import http.client
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from charrnn import __version__
from charrnn.console import Progress, silent
from charrnn.errors import RunFailedError, UserError
from charrnn.files import scratch_folder, sync_folder
from charrnn.messages import join_words, one_line, quote, reason

STALL_SECONDS = 30.0
"""How long the server may be silent."""

BLOCK_BYTES = 64 * 1024
LEFT_AS_THEY_ARE = ":/?#[]@!$&'()*+,;=%~"
NETWORK_HINT = "try again, or fetch the file some other way and name its path instead"


def fetch(url: str, *, sha256: str | None = None, progress: Progress = silent) -> Path:
    """Return a local copy of what is at `url`, fetching it only if the cache has none.

    A cached copy with another SHA-256 than the one expected is fetched again.

    Raises:
        UserError: The address is wrong, or what it holds has another SHA-256.
        RunFailedError: The network or the disk failed.
    """
    target = cache_folder() / _cache_name(url)
    try:
        if target.is_file() and sha256 in {None, _sha256(target)}:
            return target
        with scratch_folder(target.parent) as scratch:
            partial = scratch / target.name
            _download(url, partial, progress)
            _check(partial, sha256, one_line(url))
            partial.replace(target)
        sync_folder(target.parent)
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(path: Path, sha256: str | None, name: str) -> None:
    """Check a download, and make sure that it is on the disk."""
    if not path.stat().st_size:
        raise RunFailedError(f"{name}: the server sent nothing", hint=NETWORK_HINT)
    if sha256 is not None and (found := _sha256(path)) != sha256:
        raise UserError(
            f"{name} does not hold what was expected: its SHA-256 is {found}, "
            f"not {sha256}; the download was removed",
            hint="if the new content is meant, change data.sha256",
        )
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _download(url: str, path: Path, progress: Progress) -> None:
    """Write what is at `url` to `path`."""
    import requests

    name = one_line(url)
    with (
        _network_faults_named(name),
        requests.get(
            urllib.parse.quote(url, safe=LEFT_AS_THEY_ARE),
            stream=True,
            timeout=STALL_SECONDS,
            # Uncompressed, so that the announced length is that of the file.
            headers={"User-Agent": f"charrnn/{__version__}", "Accept-Encoding": "identity"},
            hooks={"response": refuse_unsafe_redirection},
        ) as answer,
    ):
        answer.raise_for_status()
        length = int(answer.headers.get("Content-Length", 0))
        with (
            progress(f"fetching {name}", length or None, unit="bytes") as advance,
            path.open("wb") as file,
        ):
            for block in answer.iter_content(BLOCK_BYTES):
                file.write(block)
                advance(len(block))


def refuse_unsafe_redirection(answer: Any, **_options: object) -> None:
    """Stop at a redirection that leaves https, or http and https altogether.

    Raises:
        UserError: The address that the server names is not allowed.
    """
    if not answer.is_redirect:
        return
    target = urllib.parse.urljoin(answer.url, answer.headers["Location"])
    allowed = ("https",) if answer.url.startswith("https:") else ("http", "https")
    if urllib.parse.urlsplit(target).scheme not in allowed:
        answer.close()
        raise UserError(
            f"{one_line(answer.url)}: the server sends us to {quote(target)}, "
            f"which is not {join_words(allowed)}",
            hint="fetch the file some other way and name its path, if you trust that address",
        )


@contextmanager
def _network_faults_named(name: str) -> Iterator[None]:
    """Turn what goes wrong with a server into a message about its address.

    The errors of requests are OSErrors without a number, which only those of the disk have. Those
    about an address are ValueErrors too, and those about an answer carry it as `response`.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        answer: Any = getattr(error, "response", None)
        if answer is not None:
            answer.close()
            kind = UserError if answer.status_code < 500 else RunFailedError
            what = f"{name}: the server answers {answer.status_code}"
            raise kind(what, hint="check the address") from error
        if not isinstance(error, ValueError):
            raise _failed(name, error) from error
        raise UserError(
            f"{name} cannot be fetched: {reason(error)}", hint="check the address"
        ) from error


def _failed(name: str, error: BaseException) -> RunFailedError:
    """Name the first cause, which requests and urllib3 have wrapped several times."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, TimeoutError):
        what = f"nothing came from the server for {STALL_SECONDS:g} seconds"
    elif isinstance(error, http.client.IncompleteRead):
        what = "the server sent too little"
        if error.expected:
            what += f": {error.expected:,} bytes are missing"
    else:
        what = reason(error) if isinstance(error, Exception) else str(error)
    return RunFailedError(f"{name}: {what}", hint=NETWORK_HINT)
