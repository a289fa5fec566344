"""Output: results on stdout, everything else on stderr, control characters made visible."""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol

from charrnn.errors import RunFailedError, UserError

Advance = Callable[[int], None]


class Progress(Protocol):
    """Opens a progress display; `Console.progress` is one, `silent` shows nothing."""

    def __call__(
        self, description: str, total: int | None, /, *, unit: str
    ) -> AbstractContextManager[Advance]:
        """Begin a piece of work of `total` units (None: not known), advanced by the result."""


@contextmanager
def silent(_description: str, _total: int | None, /, *, unit: str) -> Iterator[Advance]:
    """Show no progress."""
    del unit
    yield lambda _amount: None


CONTROLS = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
"""The Unicode categories of what can act on a terminal, and of what is not assigned."""
DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""The bidirectional classes of what puts text in another order than it is written in."""
HARMLESS_CONTROLS = frozenset("\n\t")


def escape_controls(text: str, *, keep: frozenset[str] = HARMLESS_CONTROLS) -> str:
    r"""Make what can harm visible: ESC becomes ``\x1b``.

    Text from a model or a file must not send escape codes to the terminal, nor reverse the
    reading direction. What scripts and emoji need stays: joiners, variation selectors, tags. So
    do the characters in `keep`.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep else _harmless(char) for char in text)


def _harmless(char: str) -> str:
    is_control = unicodedata.category(char) in CONTROLS
    is_direction = unicodedata.bidirectional(char) in DIRECTIONS
    return escaped(char) if is_control or is_direction else char


def escaped(char: str) -> str:
    r"""Write a character as Python's escape: ``\x1b``."""
    return char.encode("unicode_escape").decode("ascii")


def write_result(text: str) -> None:
    """Write a result and a newline to stdout; what its encoding cannot hold is escaped.

    Raises:
        RunFailedError: stdout is closed.
    """
    out = sys.stdout
    if out is None:
        raise RunFailedError("stdout is closed, and this command has something to say there")
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    out.flush()


def as_json(value: object) -> str:
    """Write a value as JSON, in one line of printable ASCII, which every encoding has."""
    return json.dumps(value, allow_nan=False).replace("\x7f", r"\u007f")


def write_json(value: dict[str, Any]) -> None:
    """Write one JSON object as one line to stdout."""
    write_result(as_json(value))


class Console:
    """Writes to stderr what a command has to say; `quiet` leaves only errors."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    @property
    def is_terminal(self) -> bool:
        """Whether stderr is a terminal on which progress may be drawn."""
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()

    def note(self, text: str) -> None:
        """Write a line of information."""
        if not self.quiet:
            self._write(text)

    def warn(self, text: str) -> None:
        """Write a warning: something that may surprise later."""
        self.note(f"warning: {text}")

    def error(self, error: UserError) -> None:
        """Write an error's message and hint, also when quiet."""
        self._write(f"error: {error.message}")
        if error.hint:
            self._write(f" hint: {error.hint}")

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Write a title and rows of a name and a value, aligned in two columns."""
        if self.quiet:
            return
        width = max(len(name) for name, _ in rows)
        self._write(title)
        for name, value in rows:
            self._write(f"  {name:<{width}}  {value}")

    @contextmanager
    def progress(self, description: str, total: int | None, *, unit: str) -> Iterator[Advance]:
        """Show how far a piece of work has come; call what this yields with each amount done.

        A live line on a terminal; elsewhere a plain line every ten seconds.

        Args:
            description: what is done, such as "scoring".
            total: how much there is to do; None if that is not known.
            unit: what is counted; "bytes" are shown in KB, MB and GB.
        """
        if self.quiet:
            yield lambda _amount: None
            return
        from charrnn.progress import live_line, plain_lines

        if self.is_terminal:
            with live_line(description, total, unit) as advance:
                yield advance
        else:
            yield plain_lines(self.note, description, total, unit)

    def note_waiting(self, names: Iterable[str]) -> None:
        """Say so when `-` is among these names and stdin is a terminal: a person has to type."""
        if "-" in names and sys.stdin is not None and sys.stdin.isatty():
            self.note("reading from the terminal; Ctrl-D on a line of its own ends the text")

    def _write(self, text: str) -> None:
        if sys.stderr is None:
            return
        try:
            sys.stderr.write(escape_controls(text) + "\n")
            sys.stderr.flush()
        except OSError:
            _silence_stderr()


def _silence_stderr() -> None:
    """Redirect stderr to /dev/null after a write to it failed: the work goes on without it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)
