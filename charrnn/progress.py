"""Progress on stderr: a live display that fits the terminal's width, or plain lines elsewhere.

Rich is imported only when something is drawn with it: in a pipe its import would be wasted time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from charrnn.console import Advance
from charrnn.messages import byte_size, one_line

if TYPE_CHECKING:
    from rich.progress import Progress, Task
    from rich.text import Text

LINE_SECONDS = 10.0
SHORTEST_BAR, LONGEST_BAR = 8, 24
UNICODE_BAR, ASCII_BAR = "━─", "#-"
"""What is done and what is left, told apart without colours too."""
GAP = "  "


def plain_lines(
    write: Callable[[str], None], description: str, total: int | None, unit: str
) -> Advance:
    """Return what counts work and writes a line every ten seconds, so none for what is quick."""
    share = f" of {total:,}" if total else ""
    done, next_line_at = 0, time.monotonic() + LINE_SECONDS

    def advance(amount: int) -> None:
        nonlocal done, next_line_at
        done += amount
        if (now := time.monotonic()) >= next_line_at:
            next_line_at = now + LINE_SECONDS
            write(f"{description}: {done:,}{share} {unit}")

    return advance


@contextmanager
def live_line(description: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Show a piece of work as long as it lasts; call what this yields with each amount done."""
    size = byte_size if unit == "bytes" else "{:,}".format
    of_total = "" if total is None else f"/{size(total)}"
    noun = "" if unit == "bytes" else f" {unit}"
    with live_display(transient=True) as display:
        task = display.add_task("", total=total, head=one_line(description), numbers=())

        def advance(amount: int) -> None:
            display.advance(task, amount)
            done, speed = display.tasks[0].completed, display.tasks[0].speed
            numbers = [f"{size(int(done))}{of_total}{noun}"]
            if speed:
                numbers.append(f"{size(int(speed))}{noun}/s")
            display.update(task, numbers=numbers)

        yield advance


@contextmanager
def live_display(*, transient: bool = False) -> "Iterator[Progress]":
    """Open a display of tasks on stderr, drawn anew for the width that it has at the moment.

    A task has two fields: `head` stands before its bar, `numbers` are the texts after the time that
    is left. What does not fit in one line flows over several, so that nothing is cut off.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)

    class FittedProgress(Progress):
        def get_renderables(self) -> "Iterator[Text]":
            strokes = UNICODE_BAR if console.encoding.startswith("utf") else ASCII_BAR
            for task in self.tasks:
                yield from lines_of(task, console.width, strokes)

    with FittedProgress(console=console, transient=transient) as display:
        yield display


def lines_of(task: "Task", width: int, strokes: str = UNICODE_BAR) -> "Iterator[Text]":
    """Draw a task: its head, a bar, the time that is left and its numbers, in a line if it fits."""
    from rich.progress import TimeRemainingColumn
    from rich.text import Text

    line = Text(task.fields["head"])
    numbers: Sequence[str] = task.fields["numbers"]
    after = GAP + GAP.join(numbers)
    left = TimeRemainingColumn(compact=True).render(task)
    line.truncate(max(width - SHORTEST_BAR - left.cell_len - 2, 1), overflow="ellipsis")
    room = width - line.cell_len - left.cell_len - 2
    is_one_line = room - len(after) >= SHORTEST_BAR
    if task.total:
        size = min(LONGEST_BAR, room - len(after) if is_one_line else room)
        filled = round(size * min(task.completed / task.total, 1))
        line.append(" ").append(strokes[0] * filled, style="bar.complete")
        line.append(strokes[1] * (size - filled) + " ").append_text(left)
    yield line.append(after, style="bold") if is_one_line else line
    if not is_one_line:
        yield from (Text(each, style="bold") for each in flowed(numbers, width))


def flowed(pieces: Sequence[str], width: int) -> list[str]:
    """Put pieces of text on as few lines of this width as their order allows."""
    lines: list[str] = []
    for piece in pieces:
        if lines and len(lines[-1]) + len(GAP) + len(piece) <= width:
            lines[-1] += GAP + piece
        else:
            lines.append(piece)
    return lines
