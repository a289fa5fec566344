"""One thread that works in order and a few tasks behind: hashing, writing, fetching from disk.

Reading, hashing, table look-ups and writing release Python's lock, so that two of them at a
time keep two cores busy.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

MOST_WAITING = 4


class Background:
    """Runs tasks one after the other in a thread of its own; use it in a `with` statement.

    A task's exception is raised by a later call of `do` or `finish`, at the latest when the
    `with` block ends.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._waiting: deque[Future[Any]] = deque()

    def do(self, task: Callable[..., Any], *arguments: Any) -> None:
        """Have `task(*arguments)` done; wait if too much is waiting already."""
        while len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(task, *arguments))

    def finish(self) -> None:
        """Wait until everything is done."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._pool.shutdown(cancel_futures=True)
