"""Options that several commands share, defined once so that they read the same everywhere."""

from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, one object a line.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show Python's traceback when something fails.")
]
RunPath = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="DIR",
        envvar="CHARRNN_RUN",
        help="The run directory; left out, the run trained last under runs/.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, for example train.steps=500. Repeatable.",
        show_default=False,
    ),
]
