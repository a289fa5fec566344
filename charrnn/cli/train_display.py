"""What `train` shows: a live bar on a terminal, plain lines elsewhere, and a report at the end."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.cli.prepare import unknown_in_words
from charrnn.console import Console
from charrnn.messages import each_in_words, quote, shell_word
from charrnn.training.events import (
    Evaluated,
    Event,
    Finished,
    Planned,
    Sampled,
    ScoredWhole,
    Started,
    Stepped,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from charrnn.config.schema import Config
    from charrnn.text.corpus import Manifest
    from charrnn.training.trainer import Trainer
    from charrnn.training.transfer import Transfer

PLAIN_LINE_SECONDS = 10.0
SPARKS = "▁▂▃▄▅▆▇█"
MOST_SPARKS = 16
MOST_CHARACTERS_SHOWN = 20


class TrainingView:
    """Shows the events of a training on stderr: evaluations as lines, steps as a bar or as lines.

    Without a bar, a line is printed every ten seconds.
    """

    def __init__(
        self, console: Console, bar: "Progress | None" = None, unit: str = "character"
    ) -> None:
        self._console = console
        self._unit = unit
        self._bar = bar
        self._steps = 0
        self._progress = ""
        self._speed, self._loss, self._valid = "", "", ""
        self._losses: list[float] = []
        self._next_line_at = time.monotonic() + PLAIN_LINE_SECONDS

    def show(self, event: Event) -> None:
        """Show one event, if it is time to."""
        match event:
            case Started(steps=steps, first_step=first):
                self._steps = steps
                self._progress = f"step {first:,} of {steps:,}"
                if self._bar is not None:
                    head = f"step {first:,}/{steps:,}"
                    self._bar.add_task("", total=steps, completed=first, head=head, numbers=())
            case Stepped():
                self._speed = f"{event.chars / max(event.seconds, 1e-9):,.0f} {self._unit}s/s"
                self._loss = f"train {event.train_loss_nats:.4f}"
                step = f"step {event.step:,} of {self._steps:,}"
                speed = [self._speed] if self._bar is None else []  # which shows it, too
                self._progress = " | ".join([step, f"{event.seconds:.0f} s", *speed, self._loss])
                if self._bar is not None:
                    head = f"step {event.step:,}/{self._steps:,}"
                    self._draw(self._bar, completed=event.step, head=head)
                elif time.monotonic() >= self._next_line_at:
                    self._print_line(self._progress)
            case Evaluated():
                self._show_evaluation(event)
            case ScoredWhole(step=step, valid_loss_nats=loss, chars=chars):
                units = f"{chars:,} {self._unit}s"
                self._print_line(f"valid {loss:.4f} on all {units} (step {step:,})")
            case Planned():
                self._plan(event.steps)
            case Sampled():
                between = "\n\n" if any("\n" in text for text in event.texts) else "\n"
                written = between.join(event.texts).rstrip("\n").splitlines()
                self._print_line("\n  | ".join([f"step {event.step:,} writes", *written]))

    def _show_evaluation(self, event: Evaluated) -> None:
        best = "best" if event.is_best else f"best {event.best_loss_nats:.4f}"
        self._valid = f"valid {event.valid_loss_nats:.4f} ({best})"
        self._losses.append(event.valid_loss_nats)
        self._print_line(f"{self._progress} | {self._valid}")
        if self._bar is not None:
            self._draw(self._bar)

    def _plan(self, steps: int) -> None:
        self._steps = steps
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=steps)

    def _draw(self, bar: "Progress", **changes: Any) -> None:
        curve = sparkline(self._losses[-MOST_SPARKS:])
        if not bar.console.encoding.startswith("utf"):
            curve = ""
        numbers = [each for each in (self._loss, self._valid, curve, self._speed) if each]
        bar.update(bar.task_ids[0], numbers=numbers, **changes)

    def _print_line(self, line: str) -> None:
        self._next_line_at = time.monotonic() + PLAIN_LINE_SECONDS
        self._console.note(line)


def sparkline(values: Sequence[float]) -> str:
    """Draw a curve in one line of text, from its lowest to its highest value."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    steps = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((value - low) * steps)] for value in values)


@contextmanager
def training_view(console: Console, unit: str) -> Iterator[TrainingView]:
    """Open the view that suits stderr; `unit` is character or byte."""
    if not console.is_terminal:
        yield TrainingView(console, unit=unit)
        return
    from charrnn.progress import live_display

    with live_display() as bar:
        yield TrainingView(console, bar, unit)


# --- In words ------------------------------------------------------------------------------------


def start_in_words(event: Started, trainer: "Trainer") -> str:
    """Say what is trained, on what, and how."""
    model, corpus, step = trainer.config.model, trainer.corpus, trainer.training_step
    kernels = " by native kernels" if step.is_native else ""
    processes, threads = step.group.size, trainer.config.train.threads or 1
    shared = f" with {threads} thread{'s' * (threads > 1)}" if threads * processes > 1 else ""
    if processes > 1:
        shared += f" in each of {processes} processes"
    networks = each_in_words(model.ensemble_size)
    resumed = f", continuing after step {event.first_step:,}" if event.first_step else ""
    return (
        f"{trainer.writer.path}: {networks}{model.cell} {model.layers} x {model.hidden_size}, "
        f"{event.parameters:,} parameters, {len(corpus.vocabulary)} ids, "
        f"{len(corpus.train.ids):,} {corpus.vocabulary.unit}s to learn from; "
        f"{event.steps:,} steps on {event.device} in {event.precision}{kernels}{shared}{resumed}"
    )


def choice_in_words(wanted: "Config", resolved: "Config") -> str:
    """Say what was chosen where the configuration left it open, as settings to give again."""
    before, after = asdict(wanted), asdict(resolved)
    return " ".join(
        f"{section}.{name}={value}"
        for section, settings in after.items()
        for name, value in settings.items()
        if value != before[section][name]
    )


def rise_in_words(manifest: "Manifest") -> str:
    """Say that the validation loss has only risen, and why that may be."""
    why = unknown_in_words(manifest) or (
        "the network overfits from the start, or the validation part is another kind of text"
    )
    return f"the validation loss has only risen since the first evaluation: {why}"


def transfer_in_words(transfer: "Transfer") -> str:
    """Say how the characters of two runs compare when one begins with the other's weights."""
    return (
        f"begun with the weights of {transfer.source} (step {transfer.step:,}): "
        f"{transfer.matched:,} characters matched; {_list(transfer.new)} new here; "
        f"{_list(transfer.left)} only there"
    )


def _list(chars: Sequence[str]) -> str:
    if not chars:
        return "none"
    first = " ".join(quote(char) for char in chars[:MOST_CHARACTERS_SHOWN])
    more = len(chars) - MOST_CHARACTERS_SHOWN
    return f"{first} and {more:,} more" if more > 0 else first


def end_report(finished: Finished, trainer: "Trainer", console: Console) -> None:
    """Show the result, and what to do next."""
    path, unit = trainer.writer.path, trainer.corpus.vocabulary.unit
    if finished.reason == "stopped":
        console.note(
            f"stopped after step {finished.step:,}; "
            f"`charrnn train --resume --out {shell_word(path)}` goes on"
        )
        return
    if finished.reason == "patience":
        console.note(
            f"stopped early at step {finished.step:,}: the validation loss no longer improves"
        )
    loss = math.nan if finished.best_loss_nats is None else finished.best_loss_nats
    part = ""
    if finished.estimated_from is not None:
        command = f"`charrnn eval --run {shell_word(path)}`"
        part = f", estimated from {finished.estimated_from:,} {unit}s; {command} reads all"
    step = f"(step {finished.best_step:,}){part}"
    console.table(
        f"\n{path}",
        [
            ("validation loss", f"{loss:.4f} nats per {unit} {step}"),
            (f"bits per {unit}", f"{loss / math.log(2):.4f}"),
            ("trained", f"{finished.chars:,} {unit}s in {finished.seconds:.0f} s"),
            ("clipped", f"{finished.clipped_fraction:.1%} of the steps"),
            ("next", f"charrnn generate --run {shell_word(path)}{_example_options(trainer)}"),
        ],
    )


def _example_options(trainer: "Trainer") -> str:
    """Return options for a first text that work with every vocabulary."""
    if not trainer.batches.carries_state:
        return " --samples 10"
    return ' "The "' if all(char in trainer.corpus.vocabulary for char in "The ") else ""


def summary(finished: Finished, run: Path, unit: str) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    loss = finished.best_loss_nats
    return {
        "run": str(run),
        "reason": finished.reason,
        "step": finished.step,
        "best_step": finished.best_step,
        "unit": unit,
        "valid_loss_nats": loss,
        "bits_per_char": None if loss is None else loss / math.log(2),
        "estimated_from": finished.estimated_from,
        "chars": finished.chars,
        "seconds": round(finished.seconds, 3),
        "clipped_fraction": finished.clipped_fraction,
        "saving_seconds": round(finished.saving_seconds, 3),
    }
