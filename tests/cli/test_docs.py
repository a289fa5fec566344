"""`charrnn docs`: every page of docs/, readable where there is no checkout."""

import os
import pty
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from charrnn.cli.docs import PAGES
from tests.cli.process import COMMAND, ROOT, charrnn, succeed
from tests.documents import blocks

DOCS = ROOT / "docs"
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def test_every_page_is_listed() -> None:
    assert sorted(PAGES) == sorted(path.stem for path in DOCS.glob("*.md"))
    listed = succeed("docs")
    assert all(f"  {name} " in listed for name in PAGES)
    assert max(map(len, listed.splitlines())) <= 80


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    told = succeed("docs", page)
    links = re.findall(r"\]\(([^)]+)\)", CODE.sub("", told))
    for target in map(urlparse, links):
        if target.scheme not in {"http", "https"}:
            assert Path(unquote(target.path)).is_absolute(), target
            assert Path(unquote(target.path)).exists(), target
    assert set(re.findall(r"`charrnn docs (\w+)`", told)) <= set(PAGES)
    written = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert CODE.findall(told) == CODE.findall(written)


def test_a_page_may_be_named_as_its_file_is() -> None:
    assert succeed("docs", "training.md") == succeed("docs", "training")


def test_a_page_that_is_not_there_is_answered_with_the_nearest() -> None:
    done = charrnn("docs", "tutorail")
    assert done.returncode == 2
    assert "did you mean tutorial?" in done.stderr
    assert all(name in charrnn("docs", "zzz").stderr for name in PAGES)


def test_on_a_terminal_a_page_is_shown_as_what_it_means() -> None:
    leader, follower = pty.openpty()
    command = [*COMMAND, "docs", "python", "--no-color"]
    with subprocess.Popen(
        command, stdout=follower, stdin=follower, env={**os.environ, "COLUMNS": "72"}
    ):
        os.close(follower)
        told = b""
        while part := _read(leader):
            told += part
    os.close(leader)
    text = re.sub(r"\x1b(\[[\d;]*m|\]8;[^\x1b]*\x1b\\)", "", told.decode())
    assert "```" not in text
    assert "](" not in text
    assert max(map(len, text.splitlines())) <= 72
    program = blocks(DOCS / "python.md", "python")[0].splitlines()[0]
    assert program in text


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 1 << 16)
    except OSError:  # how Linux says that the other side is closed
        return b""
