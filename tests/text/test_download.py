"""Downloads: complete, right and cached, or not there at all."""

import hashlib
import io
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from charrnn.console import Advance
from charrnn.errors import RunFailedError, UserError
from charrnn.messages import one_line
from charrnn.text import download
from charrnn.text.download import cache_folder, fetch
from tests.cli.process import Command
from tests.text.server import TEXT, Server, running

SHA256 = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as known:
        yield known


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "STALL_SECONDS", 0.2)
    return tmp_path / "cache"


def error_of(url: str, sha256: str | None = None) -> UserError:
    with pytest.raises(UserError) as caught:
        fetch(url, sha256=sha256)
    return caught.value


def test_a_text_is_fetched_once_and_then_taken_from_the_cache(server: Server) -> None:
    server.asked.clear()
    path = fetch(server.url("text"))
    assert path.read_bytes() == TEXT
    assert fetch(server.url("text")) == path
    assert server.asked == ["/text"]


def test_the_file_name_reminds_of_the_address_and_belongs_to_it_alone(server: Server) -> None:
    first, second = fetch(server.url("text.a%20b.txt")), fetch(server.url("text.c.txt"))
    assert first.name.endswith("-text-a-20b-txt")
    assert first.name[:16] != second.name[:16]


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_the_right_hash_is_taken_from_the_cache_without_asking(
    server: Server, sha256: str | None
) -> None:
    fetch(server.url("text"), sha256=SHA256)
    server.asked.clear()
    fetch(server.url("text"), sha256=sha256)
    assert server.asked == []


def test_a_cached_copy_with_another_hash_is_fetched_again(server: Server) -> None:
    path = fetch(server.url("text"))
    path.write_bytes(b"spoilt")
    assert fetch(server.url("text"), sha256=SHA256).read_bytes() == TEXT


def test_a_download_with_another_hash_is_named_and_removed(server: Server, cache: Path) -> None:
    error = error_of(server.url("other"), sha256=SHA256)
    assert server.url("other") in error.message
    assert hashlib.sha256(b"something else").hexdigest() in error.message
    assert SHA256 in error.message
    assert error.exit_code == 2
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "told", "exit_code"),
    [
        ("short", "359000 more expected", 1),
        ("chunked", "IncompleteRead", 1),
        ("stalled", "timed out", 1),
        ("half_headers", "the server sent nothing", 1),
        ("empty", "the server sent nothing", 1),
        ("huge", "99999999999640000 more expected", 1),
        ("absurd", "cannot be fetched", 2),
        ("to_file", "not safe: No connection adapters were found for 'file:///etc/passwd'", 2),
        ("to_ftp", "not safe: No connection adapters were found for 'ftp://127.0.0.1/x", 2),
        ("loop", "the server answers 302", 2),
        ("escapes", "the server answers 404", 2),
        ("silent", "timed out", 1),
        ("rubbish", "not HTTP", 1),
        ("broken", "the server answers 503", 1),
        ("missing", "the server answers 404", 2),
    ],
)
def test_a_network_fault_is_named_and_leaves_nothing(
    server: Server, cache: Path, path: str, told: str, exit_code: int
) -> None:
    error = error_of(server.url(path))
    assert error.message.startswith(server.url(path))
    assert told in error.message
    assert error.exit_code == exit_code
    assert error.hint
    assert error.message.isprintable()
    assert len(error.message) < 300
    assert list(cache.iterdir()) == []


def test_an_unannounced_length_is_no_fault(server: Server) -> None:
    assert fetch(server.url("unannounced")).read_bytes() == TEXT


def test_what_comes_after_the_announced_end_is_left_alone(server: Server) -> None:
    assert fetch(server.url("longer")).read_bytes() == TEXT


def test_a_redirection_is_followed(server: Server) -> None:
    assert fetch(server.url("moved")).read_bytes() == TEXT


@pytest.mark.parametrize(
    ("asked", "place", "is_allowed"),
    [
        ("https://a.org/x", "/y", True),
        ("https://a.org/x", "https://b.org/y", True),
        ("https://a.org/x", "http://a.org/x", False),
        ("http://a.org/x", "https://a.org/x", True),
        ("http://a.org/x", "file:///etc/passwd", False),
    ],
)
def test_a_redirection_never_leads_to_less_safety(
    monkeypatch: pytest.MonkeyPatch, asked: str, place: str, is_allowed: bool
) -> None:
    def answer(_adapter: object, request: requests.PreparedRequest, **_: object) -> object:
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        response.status_code, response.raw = 200, io.BytesIO(TEXT)
        if request.url == asked:
            response.status_code, response.headers["Location"] = 302, place
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", answer)
    if is_allowed:
        assert fetch(asked).read_bytes() == TEXT
    else:
        assert "sends us to an address that is not safe" in error_of(asked).message


def test_nobody_listening_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = error_of(f"http://127.0.0.1:{unused.getsockname()[1]}/x")
    assert "Connection refused" in error.message


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://[::1",
        "http://a b/",
        "http://h:port/x",
        "http://h:99999/",
        "http://h\udcff/",
    ],
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    assert error_of(url).message.startswith(one_line(url))


def test_a_name_outside_ascii_is_asked_for_as_the_web_writes_it(server: Server) -> None:
    error_of(server.url("\N{GREEK SMALL LETTER ALPHA}.txt"))
    assert server.asked[-1] == "/%CE%B1.txt"


def test_progress_is_told_with_the_size(server: Server) -> None:
    told: list[object] = []

    @contextmanager
    def progress(description: str, total: int | None, /, *, unit: str) -> Iterator[Advance]:
        told.extend([description, total, unit])
        yield told.append

    fetch(server.url("text"), progress=progress)
    assert told[:3] == [f"fetching {server.url('text')}", len(TEXT), "bytes"]
    assert sum(step for step in told[3:] if isinstance(step, int)) == len(TEXT)


def test_a_cache_that_cannot_be_written_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CHARRNN_CACHE", str(tmp_path / "file"))
    error = error_of(server.url("text"))
    assert isinstance(error, RunFailedError)
    assert str(tmp_path / "file") in error.message
    assert "CHARRNN_CACHE" in error.hint


def test_a_full_disk_leaves_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", refuse)
    assert "No space left on device" in error_of(server.url("text")).message
    assert list(cache.iterdir()) == []


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHARRNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/charrnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/charrnn")


def test_a_download_that_was_killed_leaves_nothing_that_could_be_taken_for_whole(
    server: Server, cache: Path
) -> None:
    process = Command("prepare", server.url("stalled"))
    try:
        while not list(cache.glob(".*.partial/*")):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
    assert all(left.name.startswith(".") for left in cache.iterdir())
    path = fetch(server.url("text"))
    assert list(cache.iterdir()) == [path]
