"""What Ctrl-C (SIGINT) and SIGTERM do to a command, from its first import to its last write.

While modules are imported, and again after the result is written, a signal ends the process at
once. In between it raises an exception in the main thread, which ends any command with the exit
code that a shell expects. Two commands want more: `generate` looks for signals between two
characters (`Interrupts`), `train` finishes its step and saves (`GracefulStop`). A signal that is
ignored when charrnn starts, as under `nohup`, stays ignored throughout.

Python itself ignores SIGPIPE and raises BrokenPipeError when the reader of stdout has gone.
"""

import os
import select
import signal
from collections.abc import Callable
from types import FrameType
from typing import Self

from charrnn.errors import ExitCode

EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class Interrupted(BaseException):
    """A signal has asked for the end; the process is to exit with `exit_code`."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__()
        self.exit_code = exit_code


class SecondInterrupt(Interrupted):
    """A second signal came before the first was noticed; something may be half done."""


def end_at_once() -> None:
    """Let signals end the process: there is nothing to clean up or to report."""
    for number in EXIT_CODES:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def raise_in_main_thread() -> None:
    """Let Ctrl-C raise KeyboardInterrupt and SIGTERM raise Interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raise_interrupted)


def _raise_interrupted(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(EXIT_CODES[signal.Signals(number)])


class _SignalHandling:
    """Call `_catch` for signals while this context is open."""

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._catch)
            for number in EXIT_CODES
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        raise NotImplementedError


class GracefulStop(_SignalHandling):
    """Turn the first signal into a call of `stop`; a second one does what it did before.

    Attributes:
        exit_code: what to exit with once a signal has come; None until then.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.exit_code: ExitCode | None = None
        self._stop = stop

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if self.exit_code is not None:
            signal.signal(which, self._before[which])
            signal.raise_signal(which)
            return
        self.exit_code = EXIT_CODES[which]
        self._stop()


class Interrupts(_SignalHandling):
    """Hold signals back until `check` is called, or until the reader of stdout is waited for.

    KeyboardInterrupt could come anywhere: with a network half a step on, or with a write done and
    not yet counted. With signals held back, what was printed and what is saved agree.
    """

    def __init__(self) -> None:
        self._caught: ExitCode | None = None

    def __enter__(self) -> Self:
        self._wake_end, self._signal_end = os.pipe()
        os.set_blocking(self._signal_end, False)
        self._wakeup_before = signal.set_wakeup_fd(self._signal_end, warn_on_full_buffer=False)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
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
        """Wait until a file takes at least a page of bytes without blocking.

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
        """Note a signal; a second one before the first is noticed ends the work where it is."""
        if self._caught is not None:
            raise SecondInterrupt(self._caught)
        self._caught = EXIT_CODES[signal.Signals(number)]
