"""`charrnn train`: learn a text, leave a run directory."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.cli.options import (
    DataDir,
    Debug,
    Json,
    NoColor,
    Overrides,
    Quiet,
    configs,
    option,
    signature_of,
)
from charrnn.errors import UserError

CORPUS = """The text to learn: files, folders, http(s) addresses, - for stdin, builtin:python-docs.
Several are joined in this order. Left out, data.source of the configuration."""
CONFIG = """The YAML configuration, a file or one of charrnn's own by its name; - is stdin. What it
leaves out has its default."""
OUT = """The run directory to make (or, with --resume, to continue). Left out, runs/ and the name of
the configuration or of the text."""
FROM_STEP = "With --resume: go back to the save of this step, which train.keep has kept."
INIT_FROM = """Begin with the best weights of another run, and with its network's sizes. The text
may have other characters: those in both texts keep their weights."""
MINUTES = """How long the whole command takes: as many steps as fit in the time; without a
model.hidden_size, the size, the dropout and how many networks are chosen, too."""
DETERMINISTIC = """Choose precision, kernel and threads by rule and not by timing this machine, so
that the same command always has the same weights."""
TENSORBOARD = "Write event files for TensorBoard into the run, under tensorboard/."


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainArguments:
    """What a command line asks for."""

    corpus: Annotated[list[str] | None, typer.Argument(metavar="CORPUS", help=CORPUS)] = None
    config_file: Annotated[Path | None, option(CONFIG, "FILE", "--config", words=configs)] = None
    overrides: Overrides = None
    out: Annotated[Path | None, option(OUT, "RUN", "--out", "-o")] = None
    data_dir: DataDir = None
    overwrite: Annotated[
        bool,
        option("Replace a run that is there by the new one.", None, "--overwrite", "--force", "-f"),
    ] = False
    resume: Annotated[
        bool, option("Continue a run from where it was saved last.", None, "--resume")
    ] = False
    from_step: Annotated[int | None, option(FROM_STEP, "N")] = None
    init_from: Annotated[Path | None, option(INIT_FROM, "RUN")] = None
    minutes: Annotated[float | None, option(MINUTES, "M")] = None
    deterministic: Annotated[bool, option(DETERMINISTIC, None, "--deterministic")] = False
    print_config: Annotated[
        bool,
        option(
            "Print the whole configuration, defaults included, and stop.", None, "--print-config"
        ),
    ] = False
    tensorboard: Annotated[bool, option(TENSORBOARD, None, "--tensorboard")] = False
    json: Json = False
    quiet: Quiet = False
    no_color: NoColor = False
    debug: Debug = False

    @property
    def name(self) -> str | None:
        """The name that the configuration file gives a run, or else the text; None without one."""
        if self.config_file is not None and str(self.config_file) != "-":
            return self.config_file.stem
        if not self.corpus:
            return None
        from charrnn.text.sources import slug_of

        return slug_of(self.corpus[0])

    @property
    def settings(self) -> list[str]:
        """What --set was given, and the text that was named."""
        given = self.overrides or []
        if not self.corpus:
            return given
        source = self.corpus if len(self.corpus) > 1 else self.corpus[0]
        return [*given, f"data.source={json.dumps(source, ensure_ascii=False)}"]

    def check(self) -> None:
        """Look for what can be wrong before anything is read.

        Raises:
            UserError: Options contradict each other or are out of range.
        """
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UserError(f"--minutes is {self.minutes:g}; expected a number above 0")
        if self.from_step is not None and not self.resume:
            raise UserError(
                "--from-step goes back in a run that is resumed",
                hint="add --resume, or leave it out",
            )
        self._exclude("resume", "init_from", "--resume continues a run, --init-from begins one")
        self._exclude("resume", "overwrite", "--resume continues a run, --overwrite replaces it")
        self._exclude(
            "minutes",
            "resume",
            "--minutes fixes the steps of a new run and cannot be combined with --resume",
            hint="`charrnn train --resume --set train.steps=N` trains longer",
        )
        self._exclude(
            "minutes",
            "print_config",
            "--print-config prints what is known before measuring, --minutes decides by measuring",
            hint="leave one out; a run's config.yaml has what it was trained with",
        )
        self._exclude(
            "minutes",
            "deterministic",
            "--minutes decides by the clock, --deterministic by rule",
            hint="leave one out; --set train.steps=N says how long to train without a clock",
        )
        given = {override.partition("=")[0].strip() for override in self.overrides or []}
        if self.corpus and "data.source" in given:
            raise UserError(
                "--set data.source and the text that is named are both what to learn",
                hint="leave one out",
            )
        if self.minutes and "train.steps" in given:
            raise UserError(
                "--minutes and --set train.steps both say how long to train", hint="leave one out"
            )

    def _exclude(self, one: str, other: str, message: str, hint: str = "leave one out") -> None:
        if getattr(self, one) and getattr(self, other):
            raise UserError(message, hint=hint)


def train(**values: Any) -> None:
    """Train a network on a text; prepares the text first if that is still to be done.

    For example:

        charrnn train poems.txt

        charrnn train letters/ diary.txt --minutes 2

        charrnn train --config quickstart

        charrnn train --config shakespeare --minutes 5 --set train.seed=2

        charrnn train --resume --out runs/shakespeare --set train.steps=6000

        charrnn train poems.txt --init-from runs/shakespeare
    """
    arguments = TrainArguments(**values)
    arguments.check()
    from charrnn.cli.train_run import run

    run(arguments)


train.__signature__ = signature_of(TrainArguments)  # type: ignore[attr-defined]
