"""The names in a run directory, and which run directory a command means."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from charrnn.errors import UserError
from charrnn.files import expanded
from charrnn.messages import format_path

RUNS_FOLDER = Path("runs")

CONFIG_FILE = "config.yaml"
VOCABULARY_FILE = "vocabulary.json"
WEIGHTS_FILE = "model.safetensors"
NEXT_WEIGHTS_FILE = "model.safetensors.next"
CARD_FILE = "model.json"
METRICS_FILE = "metrics.jsonl"
README_FILE = "README.md"
SAMPLES_FILE = "samples.jsonl"
LAST_FOLDER = "last"
TENSORBOARD_FOLDER = "tensorboard"
LOCK_FILE = ".lock"

START_HINT = "`charrnn train --config quickstart` makes a run"
COPY_HINT = "copy the whole run directory again"


def resolve_run(option: str | None) -> Path:
    """Find the run that a command means: the one named, or else the one trained last.

    Raises:
        UserError: There is no such run.
    """
    if option is not None:
        if not option:
            raise UserError(
                "the name of the run directory is empty",
                hint="give --run (or CHARRNN_RUN) a folder, or leave it out for the newest run",
            )
        path = expanded(option)
        if not path.is_dir():
            hint = hint_at_runs(option)
            raise UserError(f"there is no run directory {format_path(path)}", hint=hint)
        return path
    runs = [card.parent for card in RUNS_FOLDER.glob(f"*/{CARD_FILE}")]
    if not runs:
        raise UserError(f"there is no trained run under {RUNS_FOLDER}/", hint=START_HINT)
    return _newest(runs, CARD_FILE)


def free_run_path(name: str) -> Path:
    """Return `runs/NAME`, or `runs/NAME-2`, `-3`, ... when there is one already."""
    path = RUNS_FOLDER / name
    number = 2
    while path.exists():
        path = RUNS_FOLDER / f"{name}-{number}"
        number += 1
    return path


def last_begun_run(name: str | None) -> Path:
    """Find the run that was begun last, of those that `free_run_path` gives the name to.

    Raises:
        UserError: There is none.
    """
    runs = [
        config.parent
        for config in RUNS_FOLDER.glob(f"*/{CONFIG_FILE}")
        if name is None or re.fullmatch(re.escape(name) + r"(-\d+)?", config.parent.name)
    ]
    if not runs:
        raise UserError(
            f"there is no run {'' if name is None else name + ' '}under {RUNS_FOLDER}/ to resume",
            hint="--out names the run directory",
        )
    return _newest(runs, CONFIG_FILE)


def hint_at_runs(name: str) -> str:
    """Say which run was probably meant, or which there are."""
    runs = {config.parent.name: config.parent for config in RUNS_FOLDER.glob(f"*/{CONFIG_FILE}")}
    if not runs:
        return START_HINT
    near = difflib.get_close_matches(Path(name).name, runs, n=1)
    meant = f"did you mean {format_path(runs[near[0]])}? " if near else ""
    return f"{meant}`charrnn runs` lists the runs that there are"


def _newest(runs: Iterable[Path], file: str) -> Path:
    """The run whose `file` was written last."""
    return max(runs, key=lambda run: ((run / file).stat().st_mtime_ns, run.name))
