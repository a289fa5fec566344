"""A run at a glance: its network, its text, how far its training came and how that ended."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout

from charrnn.config.load import read_run_config
from charrnn.config.schema import TrainConfig
from charrnn.errors import UserError
from charrnn.files import checked_size, read_checked
from charrnn.run.checkpoint_files import STATE_FILE
from charrnn.run.model_card import read_card
from charrnn.run.paths import CARD_FILE, CONFIG_FILE, LAST_FOLDER, LOCK_FILE, METRICS_FILE
from charrnn.tensors import DESCRIPTION, HEADER_LIMIT_BYTES, parse_metadata

METRICS_LIMIT_BYTES = 1024**3

RunState = Literal["training", "stopped", "done"]


class MetricsLine(msgspec.Struct, frozen=True):
    """The part of a line of `metrics.jsonl` that a summary needs."""

    step: int
    seconds: float
    valid_loss_nats: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What `charrnn runs` says of one run."""

    run: str
    cell: str
    layers: int
    hidden_size: int
    ensemble_size: int
    mode: str
    unit: str
    """What a loss is a loss per: character or byte."""
    source: str | list[str]
    step: int
    steps: int
    minutes: float
    valid_loss_nats: float | None
    """The loss of the kept weights; None before the first evaluation."""
    bits_per_char: float | None
    state: RunState
    """training: a process is at work in it. done: `--resume` has no step left to take."""


def find_runs(folder: Path) -> list[Path]:
    """Return the run directories in a folder, or the folder alone if it is a run itself."""
    if (folder / CONFIG_FILE).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{CONFIG_FILE}"))


def summarize(path: Path) -> RunSummary:
    """Read what there is to say of a run, whether it is complete or not.

    Raises:
        UserError: A file of it is damaged.
    """
    config = read_run_config(path / CONFIG_FILE)
    metrics = list(read_metrics(path))
    lines = [*metrics, _saved(path)]
    last = max(lines, key=lambda line: line.step)
    loss = read_card(path).valid_loss_nats if (path / CARD_FILE).exists() else None
    return RunSummary(
        run=str(path),
        cell=config.model.cell,
        layers=config.model.layers,
        hidden_size=config.model.hidden_size,
        ensemble_size=config.model.ensemble_size,
        mode=config.data.mode,
        unit=config.data.unit,
        source=config.data.source,
        step=last.step,
        steps=config.train.steps,
        minutes=round(last.seconds / 60, 2),
        valid_loss_nats=loss,
        bits_per_char=None if loss is None else loss / math.log(2),
        state=_state(path, config.train, metrics),
    )


def loss_curve(path: Path) -> list[tuple[float, float]]:
    """Return minutes of training and validation loss in nats at each evaluation of a run."""
    return [
        (line.seconds / 60, line.valid_loss_nats)
        for line in read_metrics(path)
        if line.valid_loss_nats is not None
    ]


def _saved(path: Path) -> MetricsLine:
    """Return how far the last save stands, which may be after the last line of the metrics."""
    file = path / LAST_FOLDER / STATE_FILE
    with suppress(UserError, OSError, ValueError, TypeError, KeyError):
        checked_size(file, path, limit=sys.maxsize)
        with file.open("rb") as state:
            head = state.read(HEADER_LIMIT_BYTES)
        description = msgspec.json.decode(parse_metadata(head)[DESCRIPTION])
        return msgspec.convert(description["progress"], MetricsLine)
    return MetricsLine(step=0, seconds=0.0)


def read_metrics(path: Path) -> Iterator[MetricsLine]:
    """Yield the lines of a run's metrics; a line that a kill cut short is left out.

    Raises:
        UserError: The file is no plain file, or far too large.
    """
    file = path / METRICS_FILE
    if not file.exists():
        return
    for line in read_checked(file, path, limit=METRICS_LIMIT_BYTES).splitlines():
        with suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=MetricsLine)


def _state(path: Path, train: TrainConfig, metrics: Sequence[MetricsLine]) -> RunState:
    if _is_locked(path):
        return "training"
    losses = [line.valid_loss_nats for line in metrics if line.valid_loss_nats is not None]
    without_gain = len(losses) - 1 - losses.index(min(losses)) if losses else 0
    is_patience_over = train.patience is not None and without_gain >= train.patience
    are_steps_over = bool(metrics) and metrics[-1].step >= train.steps
    return "done" if are_steps_over or is_patience_over else "stopped"


def _is_locked(path: Path) -> bool:
    """Whether a training holds the run's lock at this moment."""
    if not (path / LOCK_FILE).exists():
        return False
    lock = FileLock(path / LOCK_FILE, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder that cannot be written to: nothing trains in it
        return False
    lock.release()
    return False


def by_loss(summary: RunSummary) -> tuple[bool, float, str]:
    """Sort key: the lowest loss first, runs without one last; runs of bytes after all others."""
    loss = summary.valid_loss_nats
    return (summary.unit == "byte", math.inf if loss is None else loss, summary.run)


def summarize_all(paths: Sequence[Path]) -> tuple[list[RunSummary], list[UserError]]:
    """Summarize runs, the best first; return also what is wrong with those that are damaged."""
    summaries, errors = [], []
    for path in paths:
        try:
            summaries.append(summarize(path))
        except UserError as error:
            errors.append(error)
    return sorted(summaries, key=by_loss), errors
