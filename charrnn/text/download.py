"""Fetch a text from the web once: into a cache, checked, and never seen half-written.

A download goes to a scratch folder inside the cache and gets its name there only when it is
complete, has the right SHA-256 (if one is expected) and is on the disk.
"""

import hashlib
import os
import urllib.parse
from contextlib import ExitStack
from pathlib import Path

from charrnn import __version__
from charrnn.console import Progress, silent
from charrnn.errors import RunFailedError, UserError
from charrnn.files import expanded, scratch_folder, sync_folder
from charrnn.messages import one_line, reason

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
        return expanded(own)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "charrnn"


def _cache_name(url: str) -> str:
    """A file name that no other URL has, and that says what the file is."""
    last = url.rpartition("/")[2] or "index"
    readable = "".join(char if char.isascii() and char.isalnum() else "-" for char in last)
    return f"{hashlib.sha256(os.fsencode(url)).hexdigest()[:16]}-{readable[-60:]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url: str, path: Path, progress: Progress) -> None:
    """Write what is at `url` to `path`, and make sure that it is on the disk."""
    import requests

    name = one_line(url)
    try:
        with ExitStack() as stack:
            session = stack.enter_context(requests.Session())
            if url.lower().startswith("https:"):
                del session.adapters["http://"]  # no redirection may leave https
            answer = session.get(
                urllib.parse.quote(url, safe=LEFT_AS_THEY_ARE),
                stream=True,
                timeout=STALL_SECONDS,
                # Uncompressed, so that the announced length is that of the file.
                headers={"User-Agent": f"charrnn/{__version__}", "Accept-Encoding": "identity"},
            )
            stack.enter_context(answer)
            answer.raise_for_status()
            length = int(answer.headers.get("Content-Length", 0)) or None
            advance = stack.enter_context(progress(f"fetching {name}", length, unit="bytes"))
            file = stack.enter_context(path.open("wb"))
            for block in answer.iter_content(BLOCK_BYTES):
                file.write(block)
                advance(len(block))
            file.flush()
            os.fsync(file.fileno())
    except (requests.HTTPError, requests.TooManyRedirects) as error:
        code = error.response.status_code if error.response is not None else 0
        kind = UserError if code < 500 else RunFailedError
        raise kind(f"{name}: the server answers {code}", hint="check the address") from error
    except requests.exceptions.InvalidSchema as error:
        raise UserError(
            f"{name}: the server sends us to an address that is not safe: {reason(error)}",
            hint="fetch the file some other way and name its path, if you trust that address",
        ) from error
    except ValueError as error:
        raise UserError(
            f"{name} cannot be fetched: {reason(error)}", hint="check the address"
        ) from error
    except requests.RequestException as error:
        raise RunFailedError(f"{name}: {reason(_first_cause(error))}", hint=NETWORK_HINT) from error


def _first_cause(error: Exception) -> Exception:
    """Return what requests and urllib3 have wrapped several times."""
    while isinstance(cause := error.__cause__ or error.__context__, Exception):
        error = cause
    return error


def _check(path: Path, sha256: str | None, name: str) -> None:
    if not path.stat().st_size:
        raise RunFailedError(f"{name}: the server sent nothing", hint=NETWORK_HINT)
    if sha256 is not None and (found := _sha256(path)) != sha256:
        raise UserError(
            f"{name} does not hold what was expected: its SHA-256 is {found}, "
            f"not {sha256}; the download was removed",
            hint="if the new content is meant, change data.sha256",
        )
