"""`charrnn help`: the options and examples of a command."""

from typing import Annotated

import typer

from charrnn.cli.app import COMMANDS, app
from charrnn.cli.options import Debug, NoColor, completer

COMMAND = "The command; left out, the list of commands."


def show_help(
    command: Annotated[
        str | None,
        typer.Argument(metavar="COMMAND", help=COMMAND, autocompletion=completer(COMMANDS)),
    ] = None,
    _no_color: NoColor = False,
    _debug: Debug = False,
) -> None:
    """Show the options of a command, with examples.

    For example:

        charrnn help

        charrnn help train
    """
    words = [command] if command else []
    app(args=[*words, "--help"], prog_name="charrnn", standalone_mode=False)
