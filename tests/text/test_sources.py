"""Sources: what can be named, in which order it is read, and what is said when it cannot be."""

import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from charrnn.errors import RunFailedError, UserError
from charrnn.text import sources
from charrnn.text.sources import open_sources, python_docs, slug_of

pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents(*names: str) -> list[tuple[str, bytes]]:
    """Name and bytes of every source; each is read twice, as preparing does."""
    with open_sources(names) as request:
        once = [(source.name, b"".join(source.chunks())) for source in request.sources]
        again = [(source.name, b"".join(source.chunks())) for source in request.sources]
        assert once == again
        assert request.size == sum(len(content) for _, content in once)
    return once


def write(name: str, content: bytes = b"x") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def message_of(*names: str) -> str:
    with pytest.raises(UserError) as caught:
        contents(*names)
    return caught.value.message


def test_files_are_read_in_the_order_they_are_named() -> None:
    write("b.txt", b"B"), write("a.txt", b"A")
    assert contents("b.txt", "a.txt", "b.txt") == [
        ("b.txt", b"B"),
        ("a.txt", b"A"),
        ("b.txt", b"B"),
    ]


def test_a_folder_is_read_recursively_in_sorted_order_without_hidden_files() -> None:
    for name in ("f/b.txt", "f/a/z.txt", "f/a.txt", "f/.hidden", "f/.git/x.txt", "f/B.txt"):
        write(name)
    assert [name for name, _ in contents("f")] == ["f/B.txt", "f/a/z.txt", "f/a.txt", "f/b.txt"]


def test_a_folder_that_is_named_hidden_is_still_read() -> None:
    write(".notes/a.txt")
    assert [name for name, _ in contents(".notes")] == [".notes/a.txt"]


def test_a_file_with_several_names_is_read_once_and_a_circle_of_folders_does_not_turn() -> None:
    write("f/a.txt", b"A")
    Path("f/b.txt").symlink_to("a.txt")
    Path("f/c.txt").hardlink_to("f/a.txt")
    Path("f/circle").symlink_to(".", target_is_directory=True)
    write("outside.txt", b"O")
    Path("f/d.txt").symlink_to("../outside.txt")
    assert contents("f") == [("f/a.txt", b"A"), ("f/d.txt", b"O")]


def test_other_things_than_files_in_a_folder_are_passed_over() -> None:
    write("f/a.txt")
    os.mkfifo("f/pipe")
    assert [name for name, _ in contents("f")] == ["f/a.txt"]


def test_a_folder_without_files_is_refused() -> None:
    Path("empty").mkdir()
    assert message_of("empty") == "empty holds no files"


def test_a_file_larger_than_a_chunk_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK_BYTES", 7)
    content = os.urandom(100)
    write("a.bin", content)
    assert contents("a.bin") == [("a.bin", content)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.txt", "missing.txt: there is no such file or folder"),
        ("", "a source has an empty name"),
        ("a\0b", "is no path"),
        ("a.txt/b", "a.txt/b: Not a directory"),
        ("x" * 300, "File name too long"),
        ("loop", "loop: Too many levels of symbolic links"),
        ("ftp://host/a.txt", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("builtin:shakespeare", '"builtin:shakespeare" is not built in'),
    ],
)
def test_what_cannot_be_read_is_named(name: str, told: str) -> None:
    write("a.txt")
    Path("loop").symlink_to("loop")
    assert told in message_of(name)


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Become somebody whom the file system says no to, if we are not already."""
    if os.geteuid() != 0:
        yield
        return
    for folder in [tmp_path, *list(tmp_path.parents)[:3]]:
        os.chmod(folder, 0o755)  # noqa: PTH101
    os.chown(tmp_path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("unprivileged")
def test_a_file_or_folder_without_permission_is_named() -> None:
    write("folder/closed.txt")
    Path("folder/closed.txt").chmod(0)
    Path("closed").mkdir(mode=0)
    assert message_of("folder/closed.txt") == "folder/closed.txt: Permission denied"
    assert message_of("folder") == "folder/closed.txt: Permission denied"
    assert message_of("closed") == "closed: Permission denied"


@pytest.mark.parametrize(
    "change", [b"shrunk", b"grown to more than there was before", b"changed:)"]
)
def test_a_file_that_changes_while_it_is_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    monkeypatch.setattr(sources, "CHUNK_BYTES", 2)
    path = write("a.txt", b"some text")
    with open_sources(["a.txt"]) as request:
        chunks = request.sources[0].chunks()
        next(chunks)
        path.write_bytes(change)
        os.utime(path, ns=(1, 1))
        with pytest.raises(RunFailedError, match=r"a\.txt changed while it was being read"):
            list(chunks)


def test_a_file_replaced_between_two_readings_is_refused() -> None:
    write("a.txt", b"some text")
    with open_sources(["a.txt"]) as request:
        list(request.sources[0].chunks())
        Path("new").write_bytes(b"other txt")
        Path("new").replace("a.txt")
        with pytest.raises(RunFailedError, match="changed"):
            list(request.sources[0].chunks())


def test_a_file_that_vanishes_is_named() -> None:
    path = write("a.txt")
    with open_sources(["a.txt"]) as request:
        path.unlink()
        with pytest.raises(UserError, match=r"a\.txt: there is no such file"):
            list(request.sources[0].chunks())


# --- What can be read only once -----------------------------------------------------------------


class FakeStdin:
    """A stdin of bytes."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_stdin_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", FakeStdin(b"\xff\x00\r\n"))
    assert contents("-") == [("stdin", b"\xff\x00\r\n")]


def test_stdin_cannot_be_named_twice() -> None:
    assert "named twice" in message_of("-", "-")


def test_a_closed_stdin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert message_of("-") == "stdin is closed"


def test_a_fifo_is_read_like_stdin() -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(b"through a pipe",))
    writer.start()
    assert contents("pipe") == [("pipe", b"through a pipe")]
    writer.join()


def test_a_temporary_folder_that_is_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", FakeStdin(b"text"))
    full = lambda: open("/dev/full", "r+b", buffering=0)  # noqa: E731, SIM115, PTH123
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(RunFailedError, match="temporary folder: No space left") as caught:
        contents("-")
    assert "TMPDIR" in caught.value.hint


# --- What every Python carries ------------------------------------------------------------------


def test_the_python_docs_are_there_without_any_file() -> None:
    ((name, content),) = contents("builtin:python-docs")
    assert name == "builtin:python-docs"
    assert content.decode() == python_docs()
    assert len(python_docs()) > 300_000
    assert "lambda" in python_docs()


# --- Names for folders --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("poems.txt", "poems"),
        ("/home/me/My Poems (2).txt", "my-poems-2"),
        ("-", "stdin"),
        ("builtin:python-docs", "python-docs"),
        ("https://host.org/char-rnn/data/tinyshakespeare/input.txt?raw=1", "tinyshakespeare-input"),
        ("http://host.org", "host"),
        ("http://host.org/", "host"),
        ("стихи.txt", "text"),
        ("../..", "text"),
    ],
)
def test_a_source_has_a_short_name_that_a_folder_can_bear(
    monkeypatch: pytest.MonkeyPatch, name: str, slug: str
) -> None:
    monkeypatch.chdir("/")
    assert slug_of(name) == slug


def test_a_folder_named_by_a_dot_bears_its_own_name() -> None:
    Path("letters").mkdir()
    os.chdir("letters")
    assert slug_of(".") == "letters"


def test_several_sources_are_named_by_the_first() -> None:
    write("a.txt"), write("b.txt"), write("c.txt")
    with open_sources(["a.txt", "b.txt", "c.txt"]) as request:
        assert request.slug == "a-and-2-more"
