"""The live display at every width: nothing is cut off."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from charrnn.progress import flowed, lines_of

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
