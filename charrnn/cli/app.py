"""The command line: the commands, and how every one of them ends.

A command parses, calls functions and shows what they return. Whatever goes wrong below arrives
here as an exception and leaves as a message, a hint and an exit code.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from charrnn import __version__
from charrnn.cli import signals
from charrnn.cli.options import NoColor, option
from charrnn.cli.signals import Interrupted
from charrnn.console import write_result
from charrnn.errors import ExitCode

COMMANDS = {
    "prepare": "Turn text into ids on disk, once; `train` does it too when it is still to be done.",
    "train": "Train a network on a text; prepares the text first if that is still to be done.",
    "generate": "Write text that continues a seed. Nothing but the text goes to stdout.",
    "eval": "Score a text: loss, bits per character and byte, perplexity and accuracy.",
    "explain": "Show what a run learned: surprisal, units, gates, gradients and more, as pictures.",
    "runs": "List runs with their network, text, steps, minutes and loss, the best first.",
    "export": "Write a trained model in another form: a page, an ONNX file, a model card.",
    "docs": "Show the documentation: the tutorial, every setting and more. It comes with charrnn.",
    "help": "Show the options of a command, with examples.",
}
"""How the help of each command begins: the list of commands is shown without importing them."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed at run time; 2 wrong usage or input; "
    "129 the terminal was closed; 130 Ctrl-C; 141 the reader of stdout went away; 143 SIGTERM."
)
FUNCTIONS = {"eval": "evaluate", "help": "show_help"}
"""Those of commands that are called what Python's own functions are."""


def function_of(command: str) -> Callable[..., Any]:
    """Import the function of a command, from the module of the command's name."""
    module = importlib.import_module(f"charrnn.cli.{command}")
    function: Callable[..., Any] = getattr(module, FUNCTIONS.get(command, command))
    return function


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit the process with the code that a shell expects."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signals.raise_in_main_thread()
    code = run(arguments)
    signals.end_at_once()
    gc.freeze()  # what is alive ends with the process: collecting torch takes half a second
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        code = _end(error, arguments)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code, whichever way it ends."""
    if "--no-color" in takewhile(lambda argument: argument != "--", arguments):
        os.environ["NO_COLOR"] = "1"  # Rich asks for it, and what else draws
    try:
        result = app(args=arguments, prog_name="charrnn", standalone_mode=False)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Typer's own end, while it shows help
            return ExitCode.READER_GONE
        raise
    except (Exception, Interrupted) as error:  # noqa: BLE001 - the last net
        return _end(error, arguments)
    return result if isinstance(result, int) else ExitCode.DONE


def _end(error: BaseException, arguments: list[str]) -> int:
    if isinstance(error, Interrupted):
        return error.exit_code
    try:
        from charrnn.cli.failures import report

        return report(error, arguments)
    except MemoryError:  # there may be none for the explanation either
        os.write(2, b"error: there is not enough memory for this\n")
        return ExitCode.FAILED


# --- Typer, with commands imported when they are asked for ---------------------------------------


class PlainParameters:
    """Replaces Typer's converters of a command's parameters, --help included."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument" or param.is_flag:
                param.display_type_rich = _no_type  # --help would show <bool>, <list[str]>
            if hasattr(param, "_runtime_param"):
                param._runtime_param = _PlainConverter(param.type_descriptor.annotation)
        return params


def _no_type(ctx: Any) -> None:
    """Name no type."""


class PlainCommand(PlainParameters, TyperCommand):
    """A command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; an option without its value is an error of this command."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:
                vars(error)["ctx"] = ctx
            raise


class LazyGroup(PlainParameters, TyperGroup):
    """The group of all commands, each imported when it is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: dict[str, Any] = dict.fromkeys(COMMANDS)  # names alone, for help and typos

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - Typer's signature
        """Return a command; None if there is none of this name."""
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            only = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            only.command(cmd_name, cls=PlainCommand, epilog=EXIT_CODES)(function_of(cmd_name))
            self.commands[cmd_name] = typer.main.get_command(only)
        return self.commands.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List the commands by what they do."""
        self.commands = {
            name: TyperCommand(name, help=summary, rich_markup_mode="markdown")
            for name, summary in COMMANDS.items()
        }
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Typer would exit with 1 where the reader of stdout is gone."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(ExitCode.READER_GONE) from None


class _PlainConverter:
    """Converts the text of a parameter as Python does, in place of Typer's own converter.

    Recent versions of Typer convert every value, strings too, with pydantic, whose import takes
    longer than all that `charrnn generate` does (120 ms). charrnn's options are flags, strings,
    numbers, paths and lists of strings. This replaces a private attribute of Typer's parameters;
    where a version of Typer has no such attribute, Typer converts by itself.
    """

    NOUNS: ClassVar = {int: "a whole number", float: "a number", Path: "a path"}

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Convert a value.

        Raises:
            typer.BadParameter: It is not a number where one belongs.
        """
        if value is None or isinstance(value, tuple):
            return list(value or ()) if param.multiple or param.nargs == -1 else value
        if self._annotation not in self.NOUNS:
            return value
        try:
            if self._annotation is Path:
                from charrnn.files import expanded

                return expanded(value)
            return self._annotation(value)
        except ValueError as error:
            message = f"{value!r} is not {self.NOUNS[self._annotation]}."
            raise typer.BadParameter(message, ctx=ctx, param=param) from error


# --- The commands --------------------------------------------------------------------------------

app = typer.Typer(
    name="charrnn",
    cls=LazyGroup,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Character-level recurrent language models: learn the next character of a text, "
    "then write and score text with what was learned.",
    epilog='Start with `charrnn train --config quickstart`, then `charrnn generate "The "`. '
    "`charrnn help COMMAND` shows a command's options and examples, "
    f"`charrnn docs` the documentation.\n\n{EXIT_CODES}",
)


@app.callback()
def charrnn(
    context: typer.Context,
    version: Annotated[
        bool, option("Print the version and exit.", None, "--version", "-V")
    ] = False,
    _no_color: NoColor = False,
) -> None:
    """Character-level recurrent language models."""
    if version:
        write_result(f"charrnn {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        if text := context.get_help():  # Typer has printed it, unless it has no Rich
            write_result(text)
        raise typer.Exit(ExitCode.WRONG_INPUT)
