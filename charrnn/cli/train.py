"""`charrnn train`: learn a text, leave a run directory."""

from typing import Annotated

import typer

from charrnn.cli.options import Debug, Json, Overrides, Quiet
from charrnn.cli.train_request import Request
from charrnn.console import Console

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
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="RUN",
            help="The run directory to make (or, with --resume, to go on with). "
            "Left out, runs/ and the configuration's name.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Put the new run in the place of one that is there."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run from where it was saved last.")
    ] = False,
    from_step: Annotated[
        int | None,
        typer.Option(
            "--from-step",
            metavar="N",
            help="With --resume: go back to the save of this step, which train.keep has kept.",
            show_default=False,
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            help="Begin with the best weights of another run, and with its network's sizes. "
            "The text may have other characters: what they have in common is taken over.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            help="Train about so long: measures this machine, then fixes train.steps; "
            "without a model.hidden_size, the size and the dropout too.",
            show_default=False,
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
    request = Request(
        config_file=config_file,
        overrides=tuple(overrides or ()),
        out=out,
        overwrite=overwrite,
        resume=resume,
        from_step=from_step,
        init_from=init_from,
        minutes=minutes,
        print_config=print_config,
        json=json,
    )
    request.check()
    console = Console(quiet=quiet)
    from charrnn.cli import train_work

    if request.print_config:
        train_work.show_config(request)
    else:
        raise typer.Exit(train_work.carry_out(request, console))


train.__doc__ = f"{train.__doc__}\n{EXAMPLES}"
