"""The command line: the commands, and how every one of them ends.

A command parses, calls functions and shows what they return. Whatever goes wrong below arrives
here as an exception and leaves as a message, a hint and an exit code.
"""

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from charrnn import __version__
from charrnn.cli import signals
from charrnn.cli.signals import Interrupted
from charrnn.console import Console, write_json, write_result
from charrnn.errors import ExitCode, RunFailedError, UserError

COMMANDS = {
    "prepare": "Turn text into ids on disk, once; `train` does it too when it is still to be done.",
    "train": "Train a network on a text; prepares the text first if that is still to be done.",
    "generate": "Write text that continues a seed. Nothing but the text goes to stdout.",
    "eval": "Score a text: loss, bits per character and byte, perplexity and accuracy.",
    "explain": "Show what a run learned: surprisal, units, gates, gradients and more, as pictures.",
    "runs": "List runs with their network, text, steps, minutes and loss, the best first.",
    "export": "Write a trained model in another form: a page, an ONNX file, a model card.",
}
"""How the help of each command begins: the list of commands is shown without importing them."""


def function_of(command: str) -> Callable[..., None]:
    """Import the function of a command, from the module of the command's name."""
    module = importlib.import_module(f"charrnn.cli.{command}")
    function: Callable[..., None] = getattr(module, "evaluate" if command == "eval" else command)
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
    try:
        result = app(args=arguments, prog_name="charrnn", standalone_mode=False)
    except (Exception, Interrupted) as error:  # noqa: BLE001 - the last net
        return _end(error, arguments)
    return result if isinstance(result, int) else ExitCode.DONE


def _end(error: BaseException, arguments: list[str]) -> int:
    """Show what went wrong, if there is anything to show; returns the exit code."""
    flags = set(takewhile(lambda argument: argument != "--", arguments))
    if "--debug" in flags:
        Console().note("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, Interrupted):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return ExitCode.READER_GONE
    shown = as_user_error(error)
    Console().error(shown)
    if "--json" in flags:
        fields = {"message": shown.message, "hint": shown.hint, "exit_code": shown.exit_code}
        with suppress(OSError, RunFailedError):  # stderr has said it; the exit code says it too
            write_json({"error": fields})
    return shown.exit_code


def as_user_error(error: BaseException) -> UserError:
    """Turn any exception into a message, a hint and an exit code."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return RunFailedError(f"{where}{error.strerror or error}")
    if _is_out_of_memory(error):
        return RunFailedError(
            "there is not enough memory for this",
            hint="a smaller model, batch or --samples needs less",
        )
    describe = getattr(error, "format_message", None)
    if callable(describe):  # Typer's errors of usage
        context = getattr(error, "ctx", None)
        command = "charrnn" if context is None else context.command_path
        return UserError(str(describe()), hint=f"`{command} --help` shows the options and examples")
    return RunFailedError(
        f"{type(error).__name__}: {error}",
        hint="this looks like a fault of charrnn itself; --debug shows where",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in the words of Python or of torch's allocators."""
    said = str(error) if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or "allocate memory" in said or "out of memory" in said


# --- Typer, with commands imported when they are asked for ---------------------------------------


class PlainParameters:
    """Replaces Typer's converters of a command's parameters, --help included."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if hasattr(param, "_runtime_param"):
                param._runtime_param = _PlainConverter(param.type_descriptor.annotation)
        return params


class PlainCommand(PlainParameters, TyperCommand):
    """A command."""


class LazyGroup(PlainParameters, TyperGroup):
    """The group of all commands, each imported when it is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: dict[str, Any] = dict.fromkeys(COMMANDS)  # names alone, for help and typos

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - Typer's signature
        """Return a command; None if there is none of this name."""
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            only = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            only.command(cmd_name, cls=PlainCommand)(function_of(cmd_name))
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
    epilog='Start with `charrnn train --config quickstart`, then `charrnn generate --seed "The "`.',
)


@app.callback()
def charrnn(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Character-level recurrent language models."""
    if version:
        write_result(f"charrnn {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        write_result(context.get_help())
        raise typer.Exit(ExitCode.WRONG_INPUT)
