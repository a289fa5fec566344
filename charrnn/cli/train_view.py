"""How a training looks: a live bar on a terminal, plain lines everywhere else."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from charrnn.console import Console
from charrnn.training.events import Evaluated, Event, Started, Stepped

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_LINE_SECONDS = 10.0
SPEED_WINDOW_SECONDS = 5.0


class TrainingView(Protocol):
    """Something that shows a training's events while it is entered."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def show(self, event: Event) -> None:
        """Show one event."""


def view_for(console: Console) -> TrainingView:
    """The view that fits where stderr goes."""
    return LiveView() if console.is_terminal else PlainView(console)


class Speedometer:
    """Characters per second over the last few seconds, and how long the rest will take."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, int, int]] = []

    def update(self, event: Stepped) -> None:
        """Take note of a step."""
        self.marks.append((event.seconds, event.chars, event.step))
        while len(self.marks) > 2 and event.seconds - self.marks[0][0] > SPEED_WINDOW_SECONDS:
            self.marks.pop(0)

    @property
    def chars_per_second(self) -> float:
        """Characters trained on per second; 0 until two steps have been seen."""
        (begin, first, _), (end, last, _) = self.marks[0], self.marks[-1]
        return (last - first) / (end - begin) if end > begin else 0.0


class PlainView:
    """A line at every evaluation, and one every ten seconds between them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.speed = Speedometer()
        self.steps = 0
        self.last: Stepped | None = None
        self.next_line_at = 0.0

    def __enter__(self) -> Self:
        self.next_line_at = time.monotonic() + PLAIN_LINE_SECONDS
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Show one event as a line, or not at all."""
        match event:
            case Started(steps=steps):
                self.steps = steps
            case Stepped():
                self.last = event
                self.speed.update(event)
                if time.monotonic() >= self.next_line_at:
                    self._line()
            case Evaluated():
                self._line(event)

    def _line(self, evaluated: Evaluated | None = None) -> None:
        self.next_line_at = time.monotonic() + PLAIN_LINE_SECONDS
        parts = []
        if self.last is not None:
            parts += [
                f"step {self.last.step:,} of {self.steps:,}",
                f"{self.last.seconds:.0f} s",
                f"{self.speed.chars_per_second:,.0f} characters/s",
                f"train {self.last.train_loss_nats:.4f}",
            ]
        elif evaluated is not None:  # a resumed training may begin with one
            parts.append(f"step {evaluated.step:,} of {self.steps:,}")
        if evaluated is not None:
            parts.append(f"valid {evaluated.valid_loss_nats:.4f}{_best_mark(evaluated)}")
        self.console.note(" | ".join(parts))


class LiveView:
    """A bar with the losses, redrawn in place; every evaluation leaves a line above it."""

    def __init__(self) -> None:
        self.speed = Speedometer()
        self.train = "-"
        self.valid = "-"
        self.best = "-"
        self.progress = _bar()
        self.task = self.progress.add_task("", total=None, losses="", speed="")

    def __enter__(self) -> Self:
        self.progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.__exit__(kind, error, traceback)

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Started(steps=steps, first_step=first):
                self.progress.update(self.task, total=steps, completed=first)
            case Stepped():
                self.speed.update(event)
                self.train = f"{event.train_loss_nats:.4f}"
                self.progress.update(
                    self.task,
                    completed=event.step,
                    losses=self._losses(),
                    speed=f"{self.speed.chars_per_second:,.0f} char/s",
                )
            case Evaluated():
                self.valid = f"{event.valid_loss_nats:.4f}"
                self.best = f"{event.best_loss_nats:.4f}"
                self.progress.update(self.task, losses=self._losses())
                self.progress.console.print(
                    f"step {event.step:,}: valid {self.valid}{_best_mark(event)}", highlight=False
                )

    def _losses(self) -> str:
        return f"train {self.train}  valid {self.valid}  best {self.best}"


def _best_mark(event: Evaluated) -> str:
    return " (best)" if event.is_best else f" (best {event.best_loss_nats:.4f})"


def _bar() -> "Progress":
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as EtaColumn

    return Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        EtaColumn(compact=True),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[losses]}", style="bold"),
        console=RichConsole(stderr=True),
    )
