"""The front door: the four commands, and how every one of them ends.

A command parses, calls one function and renders. Whatever goes wrong below arrives here as an
exception and leaves as a message, a hint and an exit code.
"""

import os
import signal
import sys
import traceback
from contextlib import suppress
from types import FrameType
from typing import Annotated, NoReturn

import typer

from charrnn import __version__
from charrnn.cli.eval import evaluate
from charrnn.cli.generate import generate
from charrnn.cli.plain_command import PlainCommand, PlainGroup
from charrnn.cli.prepare import prepare
from charrnn.cli.train import train
from charrnn.console import Console, write_json, write_result
from charrnn.errors import ExitCode, RunFailedError, UserError

app = typer.Typer(
    name="charrnn",
    cls=PlainGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Character-level recurrent language models: learn the next character of a text, "
    "then write and score text with what was learned.",
    epilog="Start with `charrnn train --config configs/quickstart.yaml`, "
    'then `charrnn generate --seed "The "`.',
)
app.command(cls=PlainCommand)(prepare)
app.command(cls=PlainCommand)(train)
app.command(cls=PlainCommand)(generate)
app.command("eval", cls=PlainCommand)(evaluate)


class Terminated(BaseException):
    """SIGTERM arrived; raised in the main thread so that everything is closed on the way out."""


SILENT_ENDS: dict[type[BaseException], int] = {
    BrokenPipeError: ExitCode.READER_GONE,
    KeyboardInterrupt: ExitCode.INTERRUPTED,
    Terminated: ExitCode.TERMINATED,
}


def _print_version(wanted: bool) -> None:
    if wanted:
        write_result(f"charrnn {__version__}")
        raise typer.Exit


@app.callback()
def charrnn(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Character-level recurrent language models."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with the exit code that the shell expects."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _raise_terminated)
    code = run(arguments)
    _listen_no_more()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        code = _end(error, arguments)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and turn its end, of whatever kind, into an exit code."""
    try:
        return _invoke(arguments)
    except (Exception, KeyboardInterrupt, Terminated) as error:  # noqa: BLE001 - the last net
        return _end(error, arguments)


def _end(error: BaseException, arguments: list[str]) -> int:
    """Tell what went wrong, if there is anything to tell; returns the exit code."""
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--debug" in flags:
        Console().note("".join(traceback.format_exception(error)).rstrip())
    if type(error) in SILENT_ENDS:
        return SILENT_ENDS[type(error)]
    return _report(_as_user_error(error), as_json="--json" in flags)


def _invoke(arguments: list[str]) -> int:
    result = app(args=arguments, prog_name="charrnn", standalone_mode=False)
    return result if isinstance(result, int) else ExitCode.DONE


def _as_user_error(error: BaseException) -> UserError:
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return UserError(f"{where}{error.strerror or error}", exit_code=ExitCode.FAILED)
    if _is_out_of_memory(error):
        return UserError(
            "there is not enough memory for this",
            hint="a smaller model, batch or --samples needs less",
            exit_code=ExitCode.FAILED,
        )
    describe = getattr(error, "format_message", None)
    if callable(describe):
        return UserError(str(describe()), hint=_usage_hint(error))
    return UserError(
        f"{type(error).__name__}: {error}",
        hint="this looks like a fault of charrnn itself; --debug shows where",
        exit_code=ExitCode.FAILED,
    )


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in the words of Python or of torch's allocators."""
    said = str(error) if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or "allocate memory" in said or "out of memory" in said


def _usage_hint(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "charrnn"
    return f"`{path} --help` shows the options and examples"


def _report(error: UserError, *, as_json: bool) -> int:
    Console().error(error)
    if as_json:
        told = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        with suppress(OSError, RunFailedError):  # stderr has said it; the exit code says it too
            write_json({"error": told})
    return error.exit_code


def _listen_no_more() -> None:
    """From here on a signal just ends the process: nothing is left to put away or to say."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated
