"""Ctrl-C and SIGTERM, noticed between two characters or while waiting, never within a step.

Python would raise KeyboardInterrupt wherever it happens to be: with a network half moved on, or
with a write done and not yet accounted for. Here a signal only leaves a note, and wakes up
whoever waits for the reader of stdout. What was printed and what is saved then agree.
"""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self

from charrnn.errors import ExitCode

EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class Interrupted(BaseException):
    """A signal asked for the end; it is time to put away what there is."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__()
        self.exit_code = exit_code


class GivenUp(Interrupted):
    """A second signal came before the first was noticed; something may be half done."""


class Interrupts:
    """While this context is open, signals wait until `check` is called."""

    def __init__(self) -> None:
        self._caught: ExitCode | None = None

    def __enter__(self) -> Self:
        self._wake_end, self._signal_end = os.pipe()
        os.set_blocking(self._signal_end, False)
        self._wakeup_before = signal.set_wakeup_fd(self._signal_end, warn_on_full_buffer=False)
        self._handlers_before = {
            number: signal.signal(number, self._catch)
            for number in EXIT_CODES
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._signal_end)
        os.close(self._wake_end)

    def check(self) -> None:
        """Raise what a signal asked for.

        Raises:
            Interrupted: A signal has come since the last check.
        """
        if self._caught is not None:
            caught, self._caught = self._caught, None
            raise Interrupted(caught)

    def wait_until_writable(self, descriptor: int) -> None:
        """Wait until a file takes at least a page of bytes without making us wait.

        Raises:
            Interrupted: A signal came instead.
        """
        while True:
            self.check()
            woken, writable, _ = select.select([self._wake_end], [descriptor], [])
            if woken:
                os.read(self._wake_end, 4096)
            if writable:
                return

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal; whoever sends a second one before that is noticed wants out at once."""
        if self._caught is not None:
            raise GivenUp(self._caught)
        self._caught = EXIT_CODES[signal.Signals(number)]
