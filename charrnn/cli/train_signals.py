"""Ctrl-C and SIGTERM while a training runs: the first asks it to save and end, a second ends it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from charrnn.cli.interrupts import EXIT_CODES
from charrnn.console import Console

if TYPE_CHECKING:
    from charrnn.training.trainer import StopRequest


@contextmanager
def stopping_at_signals(stop: "StopRequest", console: Console) -> Iterator[list[int]]:
    """Turn the first Ctrl-C or SIGTERM into a stop request; a second one ends at once.

    A signal that whoever started us wants ignored stays ignored. Yields a list that holds the
    exit code once a signal has come.
    """
    codes: list[int] = []

    def request(number: int, _frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if codes:
            signal.signal(which, before[which])
            signal.raise_signal(which)
            return
        codes.append(EXIT_CODES[which])
        stop.make()
        with suppress(RuntimeError):  # stderr may be in the middle of a line
            console.note("finishing this step and saving; once more to stop at once")

    before = {
        number: signal.signal(number, request)
        for number in EXIT_CODES
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield codes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
