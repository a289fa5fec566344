"""Options that several commands share, and checks of their values in the words of the command line.

Typer would check ranges and choices too, but through pydantic, whose import takes longer than
`charrnn generate` (see `PlainCommand` in `app.py`).
"""

from collections.abc import Collection
from typing import Annotated

import typer

from charrnn.errors import UserError
from charrnn.messages import join_words, quote

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing on stderr except errors.")
]
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
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, for example train.steps=500. Repeatable.",
    ),
]


def check_choice(option: str, value: str | None, choices: Collection[str]) -> None:
    """Check an option that takes one of a few words; None means that it was left out.

    Raises:
        UserError: The value is none of the choices.
    """
    if value is not None and value not in choices:
        raise UserError(f"{option} is {quote(value)}; it must be {join_words(choices)}")


def check_range(option: str, value: int | None, *, least: int = 1, most: int | None = None) -> None:
    """Check an option that takes a whole number; None means that it was left out.

    Raises:
        UserError: The value is below `least` or above `most`.
    """
    if value is None or (value >= least and (most is None or value <= most)):
        return
    expected = f"{least:,} or more" if most is None else f"{least:,} to {most:,}"
    raise UserError(f"{option} is {value:,}; it must be {expected}")
