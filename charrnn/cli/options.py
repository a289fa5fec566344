"""How commands declare their options, those that several share, and checks of their values.

Typer would check ranges and choices too, but through pydantic, whose import takes longer than
`charrnn generate` (see `_PlainConverter` in `app.py`).
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from charrnn.errors import UserError
from charrnn.messages import join_words, quote

Words = Collection[str] | Callable[[], Iterable[str]]


def option(
    text: str,
    metavar: str | None = None,
    *flags: str,
    panel: str | None = None,
    default: str | None = None,
    words: Words = (),
    envvar: str | None = None,
) -> Any:
    """Declare an option by its meaning, its value's name in the help, its flags and its panel.

    Without flags, the parameter's name is the flag. `default` says what a value that is left out
    means where that depends on something; `words` are what a shell completes it to, or find that.
    """
    return typer.Option(
        *flags,
        metavar=metavar,
        help=" ".join(text.split()),
        rich_help_panel=panel,
        show_default=default or True,
        autocompletion=completer(words) if words else None,
        envvar=envvar,
    )


def completer(words: Words) -> Callable[[str], list[str]]:
    """Make the function that a shell's completion asks."""

    def complete(incomplete: str) -> list[str]:
        known = words() if callable(words) else words
        return [word for word in known if word.startswith(incomplete)]

    return complete


def run_directories() -> Iterable[str]:
    """The runs that commands find by themselves."""
    from charrnn.cli import completion

    return completion.run_directories()


def configs() -> Iterable[str]:
    """The names of charrnn's own configurations."""
    from charrnn.cli.completion import shipped_configs

    return shipped_configs()


def _settings() -> Iterable[str]:
    from charrnn.cli.completion import setting_keys

    return setting_keys()


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
NoColor = Annotated[bool, option("Use no colours, as NO_COLOR=1 does.", None, "--no-color")]
RUN = "The run directory; left out, the run trained last under runs/."
RunPath = Annotated[
    str | None, option(RUN, "RUN", "--run", words=run_directories, envvar="CHARRNN_RUN")
]
Overrides = Annotated[
    list[str] | None,
    option(
        "Change one setting, for example train.steps=500. Repeatable.",
        "KEY=VALUE",
        "--set",
        words=_settings,
    ),
]


DataDir = Annotated[
    Path | None,
    option(
        "Where prepared texts are kept; left out, CHARRNN_DATA or else data/prepared.",
        "DIR",
        "--data-dir",
    ),
]


LEARNING = "How far each step of learning from the text goes; at 0 nothing is learned."


def rate_option(name: str, panel: str | None = None) -> Any:
    """Declare the rate at which a network learns from what it reads; None means our own."""
    return option(LEARNING, "X", name, panel=panel, default="0.0003")


def check_share(name: str, value: float | None) -> None:
    """Check an option that takes a number from 0 to 1; None means that it was left out.

    Raises:
        UserError: The value is something else.
    """
    if value is not None and not 0 <= value <= 1:
        raise UserError(f"{name} is {value}; it must be from 0 to 1")


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
