"""The run directory, written: whole at every moment, never over another run, by one process.

The order of the writes is what makes a kill harmless at any point. The best weights are put
beside the old ones, then the card that names their checksum is replaced, then the new weights
take their place: `run.read_model` finds a card and the weights it describes in between, too.
What `--resume` needs is a single file, replaced in one rename.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from charrnn.config.reader import dump_config
from charrnn.config.schema import Config
from charrnn.errors import UserError
from charrnn.files import (
    checked_size,
    refuse_write,
    remove_leftovers,
    sync_folder,
    write_atomically,
    write_json_atomically,
)
from charrnn.network import FloatArray
from charrnn.run import (
    CARD_FILE,
    CONFIG_FILE,
    LAST_FOLDER,
    METRICS_FILE,
    NEXT_WEIGHTS_FILE,
    RUNS_FOLDER,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    ModelCard,
    check_entries,
    read_card,
    weights_file,
)
from charrnn.text.vocabulary import Vocabulary

Tensors = Mapping[str, npt.NDArray[Any]]

LOCK_FILE = ".lock"
STATE_FILE = "state.safetensors"
STATE_LIMIT_BYTES = 1 << 42
WRITTEN = (
    CONFIG_FILE,
    VOCABULARY_FILE,
    NEXT_WEIGHTS_FILE,
    CARD_FILE,
    METRICS_FILE,
    f"{LAST_FOLDER}/{STATE_FILE}",
)
"""What is written atomically in a run."""


def free_run_path(name: str) -> Path:
    """`runs/NAME`, or `runs/NAME-2`, `-3`, ... when there is one already."""
    path = RUNS_FOLDER / name
    number = 2
    while path.exists():
        path = RUNS_FOLDER / f"{name}-{number}"
        number += 1
    return path


def last_begun_run(name: str | None) -> Path:
    """The run that was begun last, of those that `free_run_path` gives the name to.

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
    return max(runs, key=lambda run: ((run / CONFIG_FILE).stat().st_mtime_ns, run.name))


def check_free(path: Path) -> None:
    """Refuse a folder for a new run unless it is new or empty.

    Raises:
        UserError: The folder holds something already.
    """
    try:
        taken = path.exists() and any(entry.name != LOCK_FILE for entry in path.iterdir())
    except OSError as error:
        refuse_write(path, error)
    if taken:
        raise UserError(
            f"{path} exists already and is not overwritten",
            hint=f"`charrnn train --resume --out {path}` goes on with it; "
            "another --out begins a new run",
        )


class RunWriter:
    """One training's hold on its run directory; entered with `with`, it lets go at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)

    @classmethod
    def create(cls, path: Path, config: Config, vocabulary: Vocabulary) -> "RunWriter":
        """Begin a run in a folder that is new or empty.

        Raises:
            UserError: The folder holds something already.
        """
        check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            refuse_write(path, error)
        writer = cls(path)
        try:
            check_free(path)  # before the lock was ours, another training may have come and gone
            write_json_atomically(path / VOCABULARY_FILE, vocabulary.to_json())
            writer.write_config(config)  # the last: a folder that has one can be resumed
        except BaseException:
            writer.close()
            raise
        return writer

    @classmethod
    def reopen(cls, path: Path) -> "RunWriter":
        """Go on in a run directory that `create` began.

        Raises:
            UserError: There is no such run, or another training is at work in it.
        """
        if not (path / CONFIG_FILE).is_file():
            raise UserError(f"{path} is no run that can be resumed: {CONFIG_FILE} is missing")
        writer = cls(path)
        try:
            check_entries(path)
            writer._tidy()
        except BaseException:
            writer.close()
            raise
        return writer

    def _tidy(self) -> None:
        """Finish what a kill cut off, so that the next save may overwrite the next weights."""
        upcoming = self.path / NEXT_WEIGHTS_FILE
        with suppress(UserError, OSError):
            if weights_file(self.path, read_card(self.path)) == upcoming:
                upcoming.replace(self.path / WEIGHTS_FILE)
                sync_folder(self.path)
        for name in WRITTEN:
            remove_leftovers(self.path / name)

    def write_config(self, config: Config) -> None:
        """Write the resolved configuration."""
        write_atomically(self.path / CONFIG_FILE, dump_config(config).encode("utf-8"))

    def save_best(self, weights: Mapping[str, FloatArray], card: ModelCard) -> None:
        """Make these the run's model: `model.safetensors` and the `model.json` that names it."""
        from safetensors.numpy import save

        content = save({name: np.asarray(array, order="C") for name, array in weights.items()})
        described = {**card.to_json(), "weights_sha256": hashlib.sha256(content).hexdigest()}
        upcoming = self.path / NEXT_WEIGHTS_FILE
        write_atomically(upcoming, content)
        write_json_atomically(self.path / CARD_FILE, described)
        try:
            upcoming.replace(self.path / WEIGHTS_FILE)
            sync_folder(self.path)
        except OSError as error:
            refuse_write(self.path / WEIGHTS_FILE, error)

    def save_last(self, tensors: Tensors, description: Mapping[str, Any]) -> None:
        """Keep everything that the next step depends on, as one file."""
        from safetensors.numpy import save

        folder = self.path / LAST_FOLDER
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            refuse_write(folder, error)
        whole = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        write_atomically(
            folder / STATE_FILE,
            save(whole, metadata={"description": json.dumps(dict(description))}),
        )

    def load_last(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]] | None:
        """What `save_last` kept, or None when nothing has been saved yet.

        Raises:
            UserError: The file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        file = self.path / LAST_FOLDER / STATE_FILE
        if not file.exists():
            return None
        checked_size(file, self.path, limit=STATE_LIMIT_BYTES)
        try:
            with safe_open(file, framework="numpy") as stored:
                description = json.loads((stored.metadata() or {})["description"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{file} is damaged: {error}", hint="the best weights can still be used"
            ) from error
        if not isinstance(description, dict):
            raise UserError(f"{file} is damaged: it does not say where training stood")
        return tensors, description

    def check_best(self, *, kept: bool) -> None:
        """Make sure that the last save and the best weights belong together.

        Args:
            kept: whether best weights had been kept when the last save was made.

        Raises:
            UserError: One of the two is missing; going on could put worse weights in its place.
        """
        found = (self.path / CARD_FILE).exists()
        if kept and not found:
            raise UserError(
                f"{self.path / CARD_FILE} is missing, which the last save counts on",
                hint="copy the whole run directory, or begin a new run",
            )
        if found and not (self.path / LAST_FOLDER / STATE_FILE).exists():
            raise UserError(
                f"{self.path / LAST_FOLDER / STATE_FILE} is missing, which resuming needs",
                hint="the model can be used as it is; begin a new run to train on",
            )

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one object to `metrics.jsonl`."""
        file = self.path / METRICS_FILE
        try:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(dict(line), allow_nan=False) + "\n")
        except OSError as error:
            refuse_write(file, error)

    def keep_metrics_until(self, step: int) -> None:
        """Drop the lines after `step`, and a last line that a kill cut short."""
        file = self.path / METRICS_FILE
        if not file.exists():
            return
        kept = [line for line in file.read_bytes().splitlines() if _step_of(line) <= step]
        write_atomically(file, b"".join(line + b"\n" for line in kept))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another training have the directory."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # forked loaders may hold the descriptor, too
        os.close(self._lock)


def _lock(path: Path) -> int:
    """Lock the directory; the kernel lets go when the process ends, however it ends."""
    try:
        descriptor = os.open(
            path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666
        )
    except OSError as error:
        refuse_write(path / LOCK_FILE, error)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            refuse_write(path / LOCK_FILE, error)
        raise UserError(
            f"another training is at work in {path}",
            hint="wait for it, stop it, or choose another --out",
        ) from error
    return descriptor


def _step_of(line: bytes) -> float:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
    return step if isinstance(step, int) else float("inf")
