"""docs/cli.md, made from what every command tells `--help`."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from charrnn.cli.app import COMMANDS, EXIT_CODES, app

BAR = r"\|"
BEGINNING = """# The command line

Made by `make docs` from what `charrnn COMMAND --help` shows.
"""


def cli_reference() -> str:
    """The whole page: what holds for all commands, then one section a command."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("charrnn", [], resilient_parsing=True)
    lines = [BEGINNING, EXIT_CODES, ""]
    lines += ["`charrnn help COMMAND` is the same as `charrnn COMMAND --help`.", ""]
    lines += _options(group, context)
    for name in COMMANDS:
        command = group.get_command(context, name)
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        lines += [f"## charrnn {name}", "", *_explanation(command), *_options(command, inner)]
    return "\n".join(lines).rstrip() + "\n"


def _explanation(command: Any) -> Iterator[str]:
    """What a command does, and its examples as a block of commands."""
    text, _, examples = inspect.cleandoc(command.help).partition("\n\nFor example:\n\n")
    yield from (text, "")
    yield from ("```sh", *re.findall(r"^    (.+)$", examples, re.MULTILINE), "```", "")


def _options(command: Any, context: Any) -> Iterator[str]:
    yield from ("| option | meaning |", "|---|---|")
    for parameter in command.get_params(context):
        cells = (f"`{_name(parameter)}`", _meaning(parameter))
        yield f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"
    yield ""


def _name(parameter: Any) -> str:
    """An argument by what stands in its place; an option by its flags and its value's name."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    value = "" if parameter.is_flag else f" {parameter.metavar}"
    short_first = sorted(parameter.opts, key=lambda flag: flag.startswith("--"))
    return ", ".join(short_first) + value


def _meaning(parameter: Any) -> str:
    default, shown = parameter.default, parameter.show_default
    extra = [f"environment: {parameter.envvar}"] if parameter.envvar else []
    if isinstance(shown, str):
        extra.append(f"default: {shown}")
    elif default not in (None, False, []) and not callable(default):
        extra.append(f"default: {default}")
    meaning = " ".join(parameter.help.split())
    return f"{meaning} [{'; '.join(extra)}]" if extra else meaning
