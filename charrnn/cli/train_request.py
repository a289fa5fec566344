"""What one call of `train` asks for, and what cannot be asked for at once."""

import math
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """The options of one call, as given."""

    config_file: str | None
    overrides: tuple[str, ...]
    out: str | None
    overwrite: bool
    resume: bool
    from_step: int | None
    init_from: str | None
    minutes: float | None
    print_config: bool
    json: bool

    @property
    def config_path(self) -> Path | None:
        """The configuration file; `-` is stdin."""
        return None if self.config_file is None else Path(self.config_file)

    @property
    def name(self) -> str | None:
        """The name that the configuration file gives a run."""
        return None if self.config_file in {None, "-"} else Path(str(self.config_file)).stem

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UserError: Naming the options.
        """
        if self.minutes is not None:
            self._check_minutes(self.minutes)
        if self.from_step is not None and not self.resume:
            raise UserError(
                "--from-step goes back in a run that is resumed", hint="add --resume, or leave it"
            )
        if self.resume and self.init_from is not None:
            raise UserError(
                "--resume goes on with a run, --init-from begins one", hint="leave one out"
            )
        if self.resume and self.overwrite:
            raise UserError(
                "--resume goes on with a run, --overwrite does away with it", hint="leave one out"
            )

    def _check_minutes(self, minutes: float) -> None:
        if not 0 < minutes < math.inf:
            raise UserError(f"--minutes is {minutes:g}; expected a number above 0")
        if self.resume:
            raise UserError(
                "--minutes fixes the steps of a new run and cannot be combined with --resume",
                hint="to train longer: --resume --set train.steps=N",
            )
        if self.print_config:
            raise UserError(
                "--print-config prints what is settled before anything is measured, "
                "--minutes settles the rest by measuring",
                hint="leave one out; a run's config.yaml has what it was trained with",
            )
        if any(each.partition("=")[0].strip() == "train.steps" for each in self.overrides):
            raise UserError(
                "--minutes and --set train.steps both say how long to train", hint="leave one out"
            )
