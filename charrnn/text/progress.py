"""What the long-running parts of this wing report to, whoever shows it; by default nobody."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Opens a progress display; `charrnn.console.Console.progress` is one."""

    def __call__(
        self, description: str, total: int | None, /, *, unit: str
    ) -> AbstractContextManager[Advance]:
        """Begin a piece of work of `total` units (None: not known), advanced by the result."""


@contextmanager
def silent(_description: str, _total: int | None, /, *, unit: str) -> Iterator[Advance]:
    """Show nothing."""
    del unit
    yield lambda _amount: None
