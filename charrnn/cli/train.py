"""`charrnn train`: learn a text, leave a run directory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import Debug, Json, Overrides, Quiet
from charrnn.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainArguments:
    """What a command line asks for."""

    config_file: Path | None
    overrides: list[str]
    out: Path | None
    overwrite: bool
    resume: bool
    from_step: int | None
    init_from: Path | None
    minutes: float | None
    print_config: bool
    json: bool
    quiet: bool

    def check(self) -> None:
        """Look for what can be wrong before anything is read.

        Raises:
            UserError: Options contradict each other or are out of range.
        """
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UserError(f"--minutes is {self.minutes:g}; expected a number above 0")
        for is_given, message, hint in self._contradictions():
            if is_given:
                raise UserError(message, hint=hint)

    def _contradictions(self) -> Iterator[tuple[bool, str, str]]:
        has_minutes = self.minutes is not None
        sets_steps = any(each.partition("=")[0].strip() == "train.steps" for each in self.overrides)
        yield (
            self.from_step is not None and not self.resume,
            "--from-step goes back in a run that is resumed",
            "add --resume, or leave it out",
        )
        yield (
            self.resume and self.init_from is not None,
            "--resume continues a run, --init-from begins one",
            "leave one out",
        )
        yield (
            self.resume and self.overwrite,
            "--resume continues a run, --overwrite replaces it",
            "leave one out",
        )
        yield (
            has_minutes and self.resume,
            "--minutes fixes the steps of a new run and cannot be combined with --resume",
            "to train longer: --resume --set train.steps=N",
        )
        yield (
            has_minutes and self.print_config,
            "--print-config prints what is known before measuring, --minutes decides by measuring",
            "leave one out; a run's config.yaml has what it was trained with",
        )
        yield (
            has_minutes and sets_steps,
            "--minutes and --set train.steps both say how long to train",
            "leave one out",
        )


def train(
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The YAML configuration, a file or one of charrnn's own by its name; - is stdin. "
            "What it leaves out has its default.",
        ),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="RUN",
            help="The run directory to make (or, with --resume, to continue). "
            "Left out, runs/ and the configuration's name.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run that is there by the new one.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run from where it was saved last.")
    ] = False,
    from_step: Annotated[
        int | None,
        typer.Option(
            "--from-step",
            metavar="N",
            help="With --resume: go back to the save of this step, which train.keep has kept.",
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            help="Begin with the best weights of another run, and with its network's sizes. "
            "The text may have other characters: those in both texts keep their weights.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            help="Train about so long: measures this machine, then fixes train.steps; "
            "without a model.hidden_size, the size and the dropout too.",
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config", help="Print the whole configuration, defaults included, and stop."
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Train a network on a text; prepares the text first if that is still to be done.

    For example:

        charrnn train --config quickstart

        charrnn train --set data.source=poems.txt --minutes 2

        charrnn train --config shakespeare --minutes 5 --set train.seed=2

        charrnn train --resume --out runs/shakespeare --set train.steps=6000

        charrnn train --init-from runs/shakespeare --set data.source=poems.txt --out runs/poems
    """
    arguments = TrainArguments(
        config_file=config_file,
        overrides=overrides or [],
        out=out,
        overwrite=overwrite,
        resume=resume,
        from_step=from_step,
        init_from=init_from,
        minutes=minutes,
        print_config=print_config,
        json=json,
        quiet=quiet,
    )
    arguments.check()
    from charrnn.cli.train_run import run

    run(arguments)
