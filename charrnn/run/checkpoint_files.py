"""The saves of a training: `last/state.safetensors`, which `--resume` goes on from, and older ones.

    last/
      state.safetensors        the last save: arrays, and a description of where training stood
      state-500.safetensors    train.keep: what was saved after step 500

Each is one file, replaced in one rename, so that a kill at any moment leaves the save before or
the new one. A digest of all that is in it tells damage from a save.
"""

import re
from pathlib import Path

from charrnn.errors import UserError
from charrnn.files import read_checked, remove_leftovers, write_atomically, write_errors
from charrnn.messages import format_path, join_words, shell_word
from charrnn.tensors import DescribedTensors, dump_described, parse_described

STATE_FILE = "state.safetensors"
KEPT_FILE = re.compile(r"state-([1-9][0-9]{0,9}|0)\.safetensors")
STATE_LIMIT_BYTES = 1 << 42
DAMAGED_HINT = "the best weights can still be used; begin a new run to train on"


Checkpoint = DescribedTensors
"""Everything that the next step depends on."""


class CheckpointFiles:
    """The saves of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / STATE_FILE

    def save(self, state: Checkpoint, *, step: int, keep: int) -> None:
        """Put a save in the place of the last one, and keep so many older ones beside it.

        Raises:
            RunFailedError: The disk is full, for example; the last save is still there.
        """
        with write_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
        content = dump_described(state.tensors, state.description)
        write_atomically(self.file, content)
        if keep:
            write_atomically(self._kept_file(step), content)
        self._forget_all_but(keep, step)

    def load(self) -> Checkpoint | None:
        """The last save, or None when nothing has been saved yet.

        Raises:
            UserError: The file is damaged.
        """
        if not self.file.exists():
            return None
        kept = self.kept_steps()
        hint = DAMAGED_HINT
        if kept:
            run = shell_word(self.folder.parent)
            command = f"charrnn train --resume --out {run} --from-step {kept[-1]}"
            hint = f"`{command}` goes back to a save that was kept"
        return parse_described(self._read(self.file), source=format_path(self.file), hint=hint)

    def go_back(self, step: int) -> None:
        """Make the save that was kept of this step the last one.

        Raises:
            UserError: None was kept of this step.
        """
        steps = self.kept_steps()
        if step not in steps:
            raise UserError(
                f"{self.folder} keeps no save of step {step:,}",
                hint=f"there is one of step {join_words([f'{each:,}' for each in steps])}"
                if steps
                else "train.keep says how many older saves are kept",
            )
        write_atomically(self.file, self._read(self._kept_file(step)))

    def kept_steps(self) -> list[int]:
        """The steps of the saves that are kept by name, the last one among them."""
        if not self.folder.is_dir():
            return []
        names = (KEPT_FILE.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def remove(self) -> None:
        """Remove all saves."""
        remove_leftovers(self.folder)
        for step in self.kept_steps():
            self._kept_file(step).unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)

    def _read(self, file: Path) -> bytes:
        return read_checked(file, self.folder.parent, limit=STATE_LIMIT_BYTES)

    def _forget_all_but(self, keep: int, step: int) -> None:
        """Keep so many before this step; what comes after it belongs to steps taken back."""
        steps = self.kept_steps()
        newest_first = [each for each in reversed(steps) if each < step]
        stays = {step, *newest_first[:keep]} if keep else set()
        for each in set(steps) - stays:
            self._kept_file(each).unlink(missing_ok=True)

    def _kept_file(self, step: int) -> Path:
        return self.folder / f"state-{step}.safetensors"
