"""What is shown when a command fails: one message, one hint, one exit code.

Imported when something has gone wrong.
"""

import sys
import traceback
from contextlib import suppress
from itertools import takewhile

from charrnn.console import Console, write_json
from charrnn.errors import ExitCode, RunFailedError, UserError
from charrnn.messages import reason, shell_word

MAPPING_FAILED = "failed to map segment"
"""What the dynamic linker says of a library that a limit on memory leaves no room for."""
DISTRIBUTIONS = {"yaml": "pyyaml"}
"""What pip calls a package where its name is another."""


def report(error: BaseException, arguments: list[str]) -> int:
    """Show what went wrong, if there is anything to show; returns the exit code."""
    flags = set(takewhile(lambda argument: argument != "--", arguments))
    if "--debug" in flags:
        Console().note("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, BrokenPipeError):
        return ExitCode.READER_GONE
    shown = as_user_error(error)
    Console().error(shown)
    if "--json" in flags:
        with suppress(OSError, RunFailedError):  # stderr has said it; the exit code says it too
            write_json({"error": shown.to_json()})
    return shown.exit_code


def as_user_error(error: BaseException) -> UserError:
    """Turn any exception into a message, a hint and an exit code."""
    if isinstance(error, UserError):
        return error
    if _is_out_of_memory(error):
        return RunFailedError(
            "there is not enough memory for this",
            hint="a smaller model, batch or --samples needs less, a higher `ulimit -v` allows more",
        )
    is_ours = (getattr(error, "name", None) or "").startswith("charrnn")
    if isinstance(error, ImportError) and not is_ours:
        return _import_failed(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return RunFailedError(f"{where}{error.strerror or error}")
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
    """Whether memory ran out, in the words of Python, of torch's allocators or of the linker."""
    said = str(error) if isinstance(error, RuntimeError | ImportError | OSError) else ""
    words = ("allocate memory", "out of memory", "could not create a primitive", MAPPING_FAILED)
    return isinstance(error, MemoryError) or any(each in said for each in words)


def _import_failed(error: ImportError) -> UserError:
    """Say which package is missing or damaged."""
    package = (error.name or "").partition(".")[0]
    name = DISTRIBUTIONS.get(package, package)
    pip = f"{shell_word(sys.executable)} -m pip install"
    if isinstance(error, ModuleNotFoundError):
        return RunFailedError(
            f"the Python package {name} is not installed", hint=f"`{pip} {name}` installs it"
        )
    return RunFailedError(
        f"the Python package {name or 'that is needed'} cannot be loaded: {reason(error)}",
        hint=f"`{pip} --force-reinstall {name or 'charrnn-cli'}` installs it anew",
    )
