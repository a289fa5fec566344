"""`charrnn train`: learn a text, leave a run directory."""

import math
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import Debug, Json, Overrides, Quiet
from charrnn.console import Console
from charrnn.errors import UserError

EXAMPLES = """
Examples:

    charrnn train --config configs/quickstart.yaml

    charrnn train --set data.source=poems.txt --minutes 2

    charrnn train --config configs/shakespeare.yaml --minutes 5 --set train.seed=2

    charrnn train --resume --out runs/shakespeare --set train.steps=6000

    charrnn train --init-from runs/shakespeare --set data.source=poems.txt --out runs/poems
"""


def train(
    config_file: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The YAML configuration; - is stdin. What it leaves out has its default.",
        ),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[
        str | None,
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
        str | None,
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
    """Train a network on a text; prepares the text first if that is still to be done."""
    settings = overrides or []
    _check_options(
        settings,
        overwrite=overwrite,
        resume=resume,
        from_step=from_step,
        init_from=init_from,
        minutes=minutes,
        print_config=print_config,
    )
    from charrnn.cli import train_run

    config_path, run, source = (
        None if each is None else Path(each) for each in (config_file, out, init_from)
    )
    console = Console(quiet=quiet)
    if print_config:
        train_run.print_config(config_path, settings, run, source, resume=resume)
    elif resume:
        train_run.resume(config_path, settings, run, from_step, console, as_json=json)
    else:
        train_run.begin(
            config_path,
            settings,
            run,
            console,
            overwrite=overwrite,
            init_from=source,
            minutes=minutes,
            as_json=json,
        )


train.__doc__ = f"{train.__doc__}\n{EXAMPLES}"


def _check_options(
    overrides: list[str],
    *,
    overwrite: bool,
    resume: bool,
    from_step: int | None,
    init_from: str | None,
    minutes: float | None,
    print_config: bool,
) -> None:
    """Refuse options that contradict each other, before anything is read."""
    if minutes is not None and not 0 < minutes < math.inf:
        raise UserError(f"--minutes is {minutes:g}; expected a number above 0")
    sets_steps = any(each.partition("=")[0].strip() == "train.steps" for each in overrides)
    leave_out = "leave one out"
    contradictions = (
        (
            from_step is not None and not resume,
            "--from-step goes back in a run that is resumed",
            "add --resume, or leave it out",
        ),
        (
            resume and init_from is not None,
            "--resume continues a run, --init-from begins one",
            leave_out,
        ),
        (resume and overwrite, "--resume continues a run, --overwrite replaces it", leave_out),
        (
            minutes is not None and resume,
            "--minutes fixes the steps of a new run and cannot be combined with --resume",
            "to train longer: --resume --set train.steps=N",
        ),
        (
            minutes is not None and print_config,
            "--print-config prints what is known before measuring, --minutes decides by measuring",
            "leave one out; a run's config.yaml has what it was trained with",
        ),
        (
            minutes is not None and sets_steps,
            "--minutes and --set train.steps both say how long to train",
            leave_out,
        ),
    )
    for is_given, message, hint in contradictions:
        if is_given:
            raise UserError(message, hint=hint)
