"""The run directory, written: whole at every moment, never over another run, by one process.

The order of the writes is what makes a kill harmless at any point. A run's `config.yaml` comes
after its first save, so that what has one can be resumed. The best weights are put beside the old
ones, then the card that names their checksum is replaced, then the new weights take their place:
`reader.read_model` finds a card and the weights it describes in between, too. What `--resume` needs
is a single file, replaced in one rename (see `checkpoint_files`).

One process at a time may write: it holds a lock that the kernel lets go of however a process ends,
so that no crash leaves it behind.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from charrnn.config.load import dump_config
from charrnn.config.schema import Config
from charrnn.console import escape_controls
from charrnn.errors import UserError
from charrnn.files import (
    remove_leftovers,
    sync_folder,
    write_atomically,
    write_errors,
    write_json_atomically,
)
from charrnn.messages import shell_word
from charrnn.network import FloatArray
from charrnn.run.checkpoint_files import Checkpoint, CheckpointFiles
from charrnn.run.model_card import ModelCard, read_card
from charrnn.run.paths import (
    CARD_FILE,
    CONFIG_FILE,
    LAST_FOLDER,
    LOCK_FILE,
    METRICS_FILE,
    NEXT_WEIGHTS_FILE,
    README_FILE,
    SAMPLES_FILE,
    TENSORBOARD_FOLDER,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    hint_at_runs,
)
from charrnn.run.reader import check_entries, whole_weights
from charrnn.tensors import dump_tensors
from charrnn.text.vocabulary import Vocabulary

LOG_FILES = (METRICS_FILE, SAMPLES_FILE)
"""What grows by a line now and then."""
RUN_FILES = (
    README_FILE,
    *LOG_FILES,
    CARD_FILE,
    WEIGHTS_FILE,
    NEXT_WEIGHTS_FILE,
    VOCABULARY_FILE,
    CONFIG_FILE,
)
"""What a run has, in the order in which it is taken away to make room for another."""
NOTE = "# "
LOCK_SECONDS = 0.2
"""How long a training waits for a lock: `charrnn runs` holds it for a moment to see who has it."""
ELSEWHERE = "--out names another folder"
OVERWRITE_HINT = "--overwrite puts the new run in its place, another --out beside it"


def check_free(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a folder for a new run unless it is new or empty, or a run that may be overwritten.

    What a training leaves that was killed before its first save counts as nothing.

    Raises:
        UserError: The folder holds something already.
        RunFailedError: It cannot be written to, or not made.
    """
    with write_errors(path, elsewhere=ELSEWHERE):
        nearest = next(folder for folder in (path, *path.parents) if folder.exists())
        names = {entry.name for entry in path.iterdir()} if nearest == path else set()
        with tempfile.TemporaryFile(prefix=".", suffix=".partial", dir=nearest):
            pass
    if all(map(_may_be_left_by_a_kill, names)) or (overwrite and CONFIG_FILE in names):
        return
    raise UserError(
        f"{path} exists already and is not overwritten",
        hint=f"`charrnn train --resume --out {shell_word(path)}` goes on with it; " + OVERWRITE_HINT
        if CONFIG_FILE in names
        else "it is no run; choose another --out",
    )


def _may_be_left_by_a_kill(name: str) -> bool:
    """Whether a file or folder may stand in a run before its first save is complete."""
    is_temporary = name.startswith(".") and name.endswith(".partial")
    return is_temporary or name in {LOCK_FILE, VOCABULARY_FILE, LAST_FOLDER}


class RunWriter:
    """The run directory of one training; used with `with`, which unlocks it at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        """What has to be known of the run beyond its settings; stands above them as comments."""
        self._lock = _lock(path)
        self.saves = CheckpointFiles(path / LAST_FOLDER)

    @classmethod
    def claim(cls, path: Path, vocabulary: Vocabulary, *, overwrite: bool = False) -> "RunWriter":
        """Take a folder for a run that begins; `write_config` makes it one.

        Raises:
            UserError: The folder holds something already.
        """
        check_free(path, overwrite=overwrite)
        with write_errors(path, elsewhere=ELSEWHERE):
            path.mkdir(parents=True, exist_ok=True)
        writer = cls(path)
        try:
            check_free(path, overwrite=overwrite)  # before the lock was ours, others may have come
            writer._clear()
            write_json_atomically(path / VOCABULARY_FILE, vocabulary.to_json())
        except BaseException:
            writer.close()
            raise
        return writer

    @classmethod
    def reopen(cls, path: Path) -> "RunWriter":
        """Go on in a run directory that was begun.

        Raises:
            UserError: There is no such run, or another training is at work in it.
        """
        if not path.exists():
            raise UserError(f"there is no run directory {path}", hint=hint_at_runs(str(path)))
        if not (path / CONFIG_FILE).is_file():
            raise UserError(
                f"{path} is no run that can be resumed: {CONFIG_FILE} is missing",
                hint="nothing was saved in it yet; "
                f"`charrnn train --out {shell_word(path)}` begins it"
                if (path / VOCABULARY_FILE).exists()
                else "a run directory has one; is this the folder above it?",
            )
        writer = cls(path)
        try:
            check_entries(path)
            writer.notes = _notes_in(path / CONFIG_FILE)
            writer._tidy()
        except BaseException:
            writer.close()
            raise
        return writer

    def _clear(self) -> None:
        """Remove a run, or what is left of one that was killed before it was any."""
        with write_errors(self.path):
            self.saves.remove()
            remove_leftovers(self.path)
            if (self.path / TENSORBOARD_FOLDER).exists():
                shutil.rmtree(self.path / TENSORBOARD_FOLDER)
            for name in RUN_FILES:
                (self.path / name).unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Finish what a kill cut off, so that the next save may overwrite the next weights."""
        upcoming = self.path / NEXT_WEIGHTS_FILE
        with suppress(UserError, OSError):
            if whole_weights(self.path, read_card(self.path))[0] == upcoming:
                upcoming.replace(self.path / WEIGHTS_FILE)
                sync_folder(self.path)
        for folder in (self.path, self.saves.folder):
            remove_leftovers(folder)

    def write_config(self, config: Config) -> None:
        """Write the resolved configuration, under the notes; from now on this is a run."""
        notes = "".join(f"{NOTE}{escape_controls(note, keep=frozenset())}\n" for note in self.notes)
        write_atomically(self.path / CONFIG_FILE, (notes + dump_config(config)).encode("utf-8"))
        with suppress(UserError):  # no model yet, or a damaged one, which is not ours to mend
            card = read_card(self.path)
            if card.generate != config.generate:
                self._write_card(replace(card, generate=config.generate))

    def _write_card(self, card: ModelCard) -> None:
        write_json_atomically(self.path / CARD_FILE, asdict(card))

    def save_best(self, weights: Mapping[str, FloatArray], card: ModelCard) -> None:
        """Make these the run's model: `model.safetensors` and the `model.json` that names it."""
        content = dump_tensors(weights, {})
        upcoming = self.path / NEXT_WEIGHTS_FILE
        write_atomically(upcoming, content)
        self._write_card(replace(card, weights_sha256=hashlib.sha256(content).hexdigest()))
        with write_errors(self.path / WEIGHTS_FILE):
            upcoming.replace(self.path / WEIGHTS_FILE)
            sync_folder(self.path)

    def save_last(self, state: Checkpoint, *, step: int, keep: int = 0) -> None:
        """Keep everything that the next step depends on, and so many older saves.

        The metrics before it are on the disk first, so that a power cut loses none of them.
        """
        for name in LOG_FILES:
            log = self.path / name
            with write_errors(log), suppress(FileNotFoundError), log.open("rb") as stream:
                os.fsync(stream.fileno())
        self.saves.save(state, step=step, keep=keep)

    def load_last(self) -> Checkpoint | None:
        """What `save_last` kept, or None when nothing has been saved yet.

        Raises:
            UserError: The file is damaged.
        """
        return self.saves.load()

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
        if found and not self.saves.file.exists():
            raise UserError(
                f"{self.saves.file} is missing, which resuming needs",
                hint="the model can be used as it is; begin a new run to train on",
            )

    def append_line(self, name: str, line: Mapping[str, Any]) -> None:
        """Add one object to `metrics.jsonl` or `samples.jsonl`."""
        file = self.path / name
        with write_errors(file), file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(line), allow_nan=False) + "\n")

    def keep_lines_until(self, name: str, step: int) -> None:
        """Drop the lines of a log after `step`, and a last line that a kill cut short."""
        file = self.path / name
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
        self._lock.release()


class NoWriter(RunWriter):
    """Stands in for the writer of a run that another process writes: it writes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes = []

    def write_config(self, config: Config) -> None:
        """Leave `config.yaml` to the other process."""

    def save_best(self, weights: Mapping[str, FloatArray], card: ModelCard) -> None:
        """Leave the model to it."""

    def save_last(self, state: Checkpoint, *, step: int, keep: int = 0) -> None:
        """Leave the save to it."""

    def append_line(self, name: str, line: Mapping[str, Any]) -> None:
        """Leave the logs to it."""

    def keep_lines_until(self, name: str, step: int) -> None:
        """Leave the logs to it."""

    def close(self) -> None:
        """Leave the lock to it."""


def _lock(path: Path) -> FileLock:
    """Lock a run directory; never through a link (filelock opens with O_NOFOLLOW).

    Raises:
        UserError: Another training has locked it.
        RunFailedError: The folder cannot be written to.
    """
    lock = FileLock(path / LOCK_FILE, thread_local=False)
    with write_errors(path / LOCK_FILE):
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout as error:  # an OSError, too
            raise UserError(
                f"another training is at work in {path}",
                hint="wait for it, stop it, or choose another --out",
            ) from error
    return lock


def _notes_in(config: Path) -> list[str]:
    """The notes above a run's settings."""
    with suppress(OSError, UnicodeDecodeError), config.open(encoding="utf-8") as lines:
        return [
            line.removeprefix(NOTE).rstrip("\n")
            for line in takewhile(lambda line: line.startswith(NOTE), lines)
        ]
    return []


def _step_of(line: bytes) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
