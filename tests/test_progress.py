"""The live display at every width: nothing is cut off."""

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from charrnn.progress import flowed, lines_of
from tests.cli.process import COMMAND
from tests.models import write_run

NUMBERS = ("train 1.4321", "valid 1.5012 (best 1.4999)", "52,000 characters/s")


def drawn(width: int, *, head: str, numbers: tuple[str, ...], total: int | None = 30_000) -> str:
    """What stands on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    progress = Progress(console=console)
    task = progress.add_task("", total=total, completed=12_345, head=head, numbers=numbers)
    with console.capture() as capture:
        for line in lines_of(progress.tasks[task], width):
            console.print(line)
    return capture.get()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_live_display_shows_its_count_its_bar_its_time_and_all_numbers(width: int) -> None:
    text = drawn(width, head="step 12,345/30,000", numbers=NUMBERS)
    for piece in ("step 12,345/30,000", "━━━──", ":--", *NUMBERS):
        assert piece in text
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert (len(lines) == 1) == (width >= 100)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_long_name_gives_way_to_the_numbers(width: int) -> None:
    numbers = ("1,234,567/2,345,678 characters",)
    text = drawn(
        width, head="fetching https://example.org/" + 50 * "a", numbers=numbers, total=None
    )
    assert "fetching https" in text
    assert numbers[0] in text
    assert max(map(len, text.splitlines())) <= width


def test_what_does_not_fit_in_a_line_begins_the_next() -> None:
    assert flowed(["one", "two", "three"], 8) == ["one  two", "three"]
    assert flowed(["longer than the line", "b"], 8) == ["longer than the line", "b"]
    assert flowed([], 8) == []


@pytest.mark.parametrize("width", [40, 100])
def test_on_a_terminal_no_line_is_wider_than_it(width: int, tmp_path: Path) -> None:
    """`eval` draws two displays, of reading and of scoring, with what a terminal answers to."""
    write_run(tmp_path / "run")
    (tmp_path / "sea.txt").write_text("a sea of salt and wind\n" * 500)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, "eval", "--run", "run", "sea.txt", "--json"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"}
        | {"TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    drawn = b""
    with contextlib.suppress(OSError):  # EIO: the program's end is closed
        while piece := os.read(leader, 65536):
            drawn += piece
    os.close(leader)
    assert process.wait(60) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn.decode())
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", plain).splitlines()
    assert any(re.match(r"scoring ━+ ", line) for line in lines)
    assert any("11,499/11,499 characters" in line for line in lines)
    assert max(map(len, lines)) <= width
