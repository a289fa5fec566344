"""What SIGINT (Ctrl-C), SIGTERM and SIGHUP do to a command, from first import to last write.

While modules are imported, and again after the result is written, a signal ends the process at
once. In between it raises `Interrupted` in the main thread, which ends any command with the exit
code that a shell expects. Two commands want more, and hold the first signal back (`HeldSignals`):
`generate` looks for it between two characters, `train` finishes its step and saves. A signal that
is ignored when charrnn starts, as under `nohup`, stays ignored throughout.

Python itself ignores SIGPIPE and raises BrokenPipeError when the reader of stdout has gone.
"""

import select
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from charrnn.errors import ExitCode

EXIT_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.HUNG_UP,
}
CHECK_SECONDS = 0.1


class Interrupted(BaseException):
    """A signal has asked for the end.

    Attributes:
        exit_code: what the process is to exit with.
        is_second: whether an earlier signal was being held back; something may be half done.
    """

    def __init__(self, exit_code: ExitCode, *, is_second: bool = False) -> None:
        super().__init__()
        self.exit_code = exit_code
        self.is_second = is_second


def end_at_once() -> None:
    """Let signals end the process: there is nothing to clean up or to report."""
    _handle_with(signal.SIG_DFL)


def raise_in_main_thread() -> None:
    """Let signals raise Interrupted."""

    def catch(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(EXIT_CODES[signal.Signals(number)])

    _handle_with(catch)


def _handle_with(handler: Any) -> dict[signal.Signals, Any]:
    """Give signals that are not ignored a handler; returns those that they had."""
    return {
        number: signal.signal(number, handler)
        for number in EXIT_CODES
        if signal.getsignal(number) is not signal.SIG_IGN
    }


class HeldSignals:
    """Hold the first signal back while this context is open; a second one raises at once.

    An exception could come anywhere: with a network half a step on, or with a write done and not
    yet counted. With the signal held back, what was printed and what is saved agree.

    Args:
        on_first: called when the first signal comes.
        is_patient: whether further signals say nothing new, as where another program passes on
            what this process was sent as well.

    Attributes:
        exit_code: what to exit with once a signal has come; None until then.
    """

    def __init__(
        self, on_first: Callable[[], None] = lambda: None, *, is_patient: bool = False
    ) -> None:
        self.exit_code: ExitCode | None = None
        self._on_first = on_first
        self._is_patient = is_patient
        self._is_told = False

    def __enter__(self) -> Self:
        self._before = _handle_with(self._catch)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        code = EXIT_CODES[signal.Signals(number)]
        if self.exit_code is not None:
            if self._is_patient:
                return
            raise Interrupted(code, is_second=True)
        self.exit_code = code
        self._on_first()

    def check(self) -> None:
        """Raise what a signal asked for, once.

        Raises:
            Interrupted: A signal has come.
        """
        if self.exit_code is not None and not self._is_told:
            self._is_told = True
            raise Interrupted(self.exit_code)

    def wait_until_writable(self, descriptor: int) -> None:
        """Wait until a file takes at least a page of bytes without blocking.

        Raises:
            Interrupted: A signal came instead.
        """
        self.check()
        while not select.select([], [descriptor], [], CHECK_SECONDS)[1]:
            self.check()
