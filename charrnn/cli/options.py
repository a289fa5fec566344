"""How commands declare their options, those that several share, and checks of their values.

Typer would check ranges and choices too, but through pydantic, whose import takes longer than
`charrnn generate` (see `_PlainConverter` in `app.py`).
"""

from collections.abc import Collection
from dataclasses import fields
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints

import typer

from charrnn.errors import UserError
from charrnn.messages import join_words, quote


def option(text: str, metavar: str | None = None, *flags: str, panel: str | None = None) -> Any:
    """Declare an option by its meaning, its value's name in the help, its flags and its panel.

    Without flags, the parameter's name is the flag.
    """
    return typer.Option(*flags, metavar=metavar, help=" ".join(text.split()), rich_help_panel=panel)


def signature_of(arguments: type) -> Signature:
    """The signature that Typer reads, made of the fields of a dataclass."""
    hints = get_type_hints(arguments, include_extras=True)
    kind = Parameter.KEYWORD_ONLY
    return Signature(
        [
            Parameter(each.name, kind, default=each.default, annotation=hints[each.name])
            for each in fields(arguments)
        ]
    )


Quiet = Annotated[bool, option("Print nothing on stderr except errors.", None, "--quiet", "-q")]
Json = Annotated[bool, option("Print the result as JSON, one object a line.", None, "--json")]
Debug = Annotated[bool, option("Show Python's traceback when something fails.", None, "--debug")]
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
    option("Change one setting, for example train.steps=500. Repeatable.", "KEY=VALUE", "--set"),
]


def check_choice(name: str, value: str | None, choices: Collection[str]) -> None:
    """Check an option that takes one of a few words; None means that it was left out.

    Raises:
        UserError: The value is none of the choices.
    """
    if value is not None and value not in choices:
        raise UserError(f"{name} is {quote(value)}; it must be {join_words(choices)}")


def check_range(name: str, value: int | None, *, most: int | None = None) -> None:
    """Check an option that takes a whole number from 1; None means that it was left out.

    Raises:
        UserError: The value is below 1 or above `most`.
    """
    if value is not None and (value < 1 or (most is not None and value > most)):
        expected = "1 or more" if most is None else f"1 to {most:,}"
        raise UserError(f"{name} is {value:,}; it must be {expected}")
