"""The processes that train one network together, and what they exchange.

torchrun starts them, on one machine or several; without it there is one process, which exchanges
nothing. Every process has the whole network and computes the gradient of its share of each batch.
What is added up is added in one fixed tree, whatever the number of processes, so that it has the
same bits.

Process 0 reads and writes the run and speaks; the others do as it does, and stay silent. Requests
to stop travel with what is exchanged, so that all processes heed them between the same two steps.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from charrnn.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Result = TypeVar("Result")

LAUNCHED = "TORCHELASTIC_RUN_ID"
"""The environment variable by which a process knows that torchrun started it."""


class ProcessGroup:
    """One process, which trains alone; or the first of several, where its share is timed.

    It exchanges nothing.

    Attributes:
        rank: this process's number.
        size: how many processes there are.
        local_rank: its number among those on this machine.
        local_size: how many there are on this machine.
        exchanges: whether it sends anything anywhere.
        processor: which kind of processor torch computes for.
    """

    exchanges = False
    processor = ""

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1
    ) -> None:
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size
        self.stop_requested = False

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, which reads and writes the run and speaks."""
        return self.rank == 0

    @property
    def is_stopping(self) -> bool:
        """Whether all processes know that one of them was asked to stop."""
        return self.stop_requested

    def shares(self, count: int) -> list[range]:
        """Which of so many things in a row are whose, process for process."""
        borders = [rank * count // self.size for rank in range(self.size + 1)]
        return list(itertools.starmap(range, itertools.pairwise(borders)))

    def first(self, work: Callable[[], Result]) -> Result:
        """Let process 0 do something; returns what came of it, or raises it, in every process."""
        return work()

    def each(self, work: Callable[[], Result]) -> Result:
        """Let every process do something; returns what came of it here.

        What fails in one of them is raised in every process.
        """
        return work()

    def all(self, value: Result) -> list[Result]:
        """What each process has."""
        return [value]

    @contextmanager
    def in_turns(self) -> Iterator[None]:
        """Let the first process of each machine go before the others."""
        yield

    def total(self, arrays: Sequence["Tensor"]) -> list["Tensor"]:
        """The sums of every process's arrays, added pairwise, neighbours first."""
        return list(arrays)

    def gather(self, rows: "Tensor", counts: Sequence[int]) -> "Tensor":
        """Every process's rows, (B, N), one process after the other; `counts` has how many."""
        if len(rows) == sum(counts):
            return rows
        whole = rows.new_zeros(sum(counts), rows.shape[1])
        whole[: len(rows)] = rows
        return whole

    def copy_from_first(self, tensors: Iterable["Tensor"]) -> None:
        """Overwrite these with what they are in process 0."""

    def told_by_first(self, error: UserError) -> BaseException:
        """What to raise where every process knows of an error: process 0 is to show it."""
        return error

    def begin_steps(self, timeout_seconds: float) -> None:
        """Wait no longer than this for another process from now on."""

    def remember_run(self, run: Path) -> None:
        """Let processes that are started in place of these know the run directory."""

    def remembered_run(self, *, is_resuming: bool) -> Path | None:  # noqa: ARG002
        """The run directory of processes that were here before; None if they had none."""
        return None

    def close(self) -> None:
        """Part, the training being over."""


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return LAUNCHED in os.environ


def join_process_group() -> ProcessGroup:
    """Find the other processes that torchrun started, or train alone.

    Raises:
        RunFailedError: They cannot be reached.
    """
    if not is_launched():
        return ProcessGroup()
    from charrnn.training.torch_process_group import TorchProcessGroup

    return TorchProcessGroup()


def pairwise_sum(values: "Sequence[Tensor]") -> "Tensor":
    """Add neighbours, then sums of neighbours, until one is left.

    The sum of 2^n neighbours that begin at a multiple of 2^n is a step on the way, so processes
    that have so many parts each can add theirs first and come to the same bits.
    """
    while len(values) > 1:
        pairs = [left + right for left, right in zip(values[::2], values[1::2], strict=False)]
        values = pairs if len(values) % 2 == 0 else [*pairs, values[-1]]
    return values[0]
