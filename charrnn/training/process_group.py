"""The processes that train one network together, and what they exchange.

torchrun starts them, on one machine or several, and tells each its place by environment variables;
without it there is one process, which exchanges nothing. Every process has the whole network and
computes the gradient of its share of each batch. What is added up is added in one fixed tree,
whatever the number of processes, so that it has the same bits.

Process 0 reads and writes the run and speaks; the others do as it does, and stay silent. Requests
to stop travel with what is exchanged, so that all processes heed them between the same two steps.

PyTorch is imported only where there are several processes.
"""

import atexit
import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from charrnn.errors import RunFailedError, UserError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

Result = TypeVar("Result")

LAUNCHED = "TORCHELASTIC_RUN_ID"
"""The environment variable by which a process knows that torchrun started it."""
START_SECONDS = 3600.0
"""How long processes wait for each other before the first step, while texts are prepared."""
POLL_SECONDS = 0.05
RUN_KEY, RUN_TRACE = "charrnn/run", "charrnn-run"
"""In the store of process 0's torchrun, and beside the files of each machine's torchrun."""


class ProcessGroup:
    """One process, which trains alone; or the first of several, where its share is timed.

    It exchanges nothing.

    Attributes:
        rank: this process's number.
        size: how many processes there are.
        local_rank: its number among those on this machine.
        local_size: how many there are on this machine.
        processor: which kind of processor torch computes for.
    """

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

    def total(self, values: "Tensor") -> "Tensor":
        """The sum of every process's values, (N,), added pairwise, neighbours first."""
        return values

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


class TorchProcessGroup(ProcessGroup):
    """The processes that torchrun started: gloo on CPUs, NCCL between GPUs.

    Raises:
        RunFailedError: (every method) Another process has ended, or does not answer.
    """

    def __init__(self) -> None:
        places = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        super().__init__(*(int(os.environ[name]) for name in places))
        import torch
        import torch.distributed as dist
        from torch._C._distributed_c10d import PrefixStore, TCPStore

        self._torch, self._dist = torch, dist
        if torch.cuda.is_available():
            torch.cuda.set_device(self.local_rank % torch.cuda.device_count())
        self._is_stopping = False
        self.processor = torch.backends.cpu.get_cpu_capability()
        limit = timedelta(seconds=START_SECONDS)
        with self._reporting():
            self._store = TCPStore(
                os.environ["MASTER_ADDR"],
                int(os.environ["MASTER_PORT"]),
                is_master=False,
                timeout=limit,
            )
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                store=PrefixStore(_meeting(self._store, self.rank, self.size), self._store),
                rank=self.rank,
                world_size=self.size,
                timeout=limit,
            )
        atexit.register(self._leave)
        self._group: Any = dist.group.WORLD
        # torchrun's own folder lasts as long as it does: .../RUN/attempt_N/LOCAL_RANK/error.json
        error_file = os.environ.get("TORCHELASTIC_ERROR_FILE")
        self._trace = Path(error_file).parents[2] / RUN_TRACE if error_file else None

    @property
    def is_stopping(self) -> bool:
        """Whether all processes know that one of them was asked to stop."""
        return self._is_stopping

    def first(self, work: Callable[[], Result]) -> Result:
        """Let process 0 do something; returns what came of it, or raises it, in every process."""
        told: list[Any] = [_outcome(work) if self.is_first else None]
        with self._reporting():
            self._dist.broadcast_object_list(told, 0, self._group)
        result, error = told[0]
        if error is not None:
            raise self.told_by_first(error)
        return result  # type: ignore[no-any-return]

    def each(self, work: Callable[[], Result]) -> Result:
        """Let every process do something; returns what came of it here.

        What fails in one of them is raised in every process.
        """
        result, failure = _outcome(work)
        for rank, error in enumerate(self.all(failure)):
            if error is not None:
                message = f"process {rank}: {error.message}" if rank else error.message
                raise self.told_by_first(
                    UserError(message, hint=error.hint, exit_code=error.exit_code)
                )
        return result  # type: ignore[no-any-return]

    def all(self, value: Result) -> list[Result]:
        """What each process has."""
        told: list[Any] = [None] * self.size
        with self._reporting():
            self._dist.all_gather_object(told, value, self._group)
        return told

    @contextmanager
    def in_turns(self) -> Iterator[None]:
        """Let the first process of each machine go before the others."""
        if self.local_rank:
            self._wait_for_all()
        try:
            yield
        finally:
            if not self.local_rank:
                self._wait_for_all()

    def total(self, values: "Tensor") -> "Tensor":
        """The sum of every process's values, (N,), added pairwise, neighbours first.

        Each process adds up one stretch of them: two exchanges, in which it sends and receives
        about N values each, however many processes there are.
        """
        length = len(values)
        stretch = -(-(length + 1) // self.size)
        sent = values.new_zeros(stretch * self.size)
        sent[:length] = values
        sent[length] = self.stop_requested
        received = self._torch.empty_like(sent)
        with self._reporting():
            self._dist.all_to_all_single(received, sent, group=self._group)
            added = pairwise_sum(received.split(stretch))
            self._dist.all_gather(list(sent.split(stretch)), added, self._group)
        self._heed(sent[length])
        return sent[:length]

    def gather(self, rows: "Tensor", counts: Sequence[int]) -> "Tensor":
        """Every process's rows, (B, N), one process after the other; `counts` has how many."""
        sent = rows.new_zeros(max(counts) + 1, rows.shape[1])
        sent[: len(rows)] = rows
        sent[-1] = self.stop_requested
        received = [self._torch.empty_like(sent) for _ in counts]
        with self._reporting():
            self._dist.all_gather(received, sent, self._group)
        self._heed(sum(each[-1, 0] for each in received))
        return self._torch.cat([each[:count] for each, count in zip(received, counts, strict=True)])

    def copy_from_first(self, tensors: Iterable["Tensor"]) -> None:
        """Overwrite these with what they are in process 0."""
        with self._reporting():
            for tensor in tensors:
                self._dist.broadcast(tensor, 0, self._group)

    def told_by_first(self, error: UserError) -> BaseException:
        """What to raise where every process knows of an error: process 0 is to show it."""
        if self.is_first:
            return error
        # torchrun ends all processes when the first of them has ended: let that be process 0.
        with suppress(RuntimeError):
            self._dist.broadcast(self._torch.zeros(1), 0, self._group)
        return SystemExit(error.exit_code)

    def begin_steps(self, timeout_seconds: float) -> None:
        """Wait no longer than this for another process from now on."""
        with self._reporting():
            self._group = self._dist.new_group(timeout=timedelta(seconds=timeout_seconds))

    def remember_run(self, run: Path) -> None:
        """Let processes that are started in place of these know the run directory."""
        if self.is_first:
            self._store.set(RUN_KEY, str(run))
        if self._trace:
            self._trace.touch()

    def remembered_run(self, *, is_resuming: bool) -> Path | None:
        """The run directory of processes that were here before; None if they had none.

        torchrun keeps the store where process 0 is, and with that machine it is gone.

        Raises:
            UserError: There was one, and nobody knows which, as process 0 has come to be under
                another torchrun; and no run is named to be resumed.
        """
        known = self.first(
            lambda: self._store.get(RUN_KEY).decode() if self._store.check([RUN_KEY]) else None
        )
        if known is not None:
            return Path(known)
        if any(self.all(self._trace is not None and self._trace.exists())) and not is_resuming:
            raise self.told_by_first(
                UserError(
                    "the torchrun of process 0 is not the one that this training began with, and "
                    "does not know which run to go on with",
                    hint="end torchrun on all machines and start it again with --resume and --out, "
                    "process 0 where the run is",
                )
            )
        return None

    def close(self) -> None:
        """Part, the training being over."""
        self._wait_for_all()
        self._leave()

    def _leave(self) -> None:
        """End the threads that serve the group, which would abort a process that just exits."""
        if self._dist.is_initialized():
            self._dist.destroy_process_group()

    def _wait_for_all(self) -> None:
        with self._reporting():
            self._dist.barrier(self._group)

    def _heed(self, requests: Any) -> None:
        self._is_stopping = self._is_stopping or bool(requests)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise RunFailedError(
                f"process {self.rank}: another process of this training has ended, or does not "
                "answer",
                hint="`torchrun --max-restarts N` begins anew by itself, from the last save",
            ) from error


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return LAUNCHED in os.environ


def join_process_group() -> ProcessGroup:
    """Find the other processes that torchrun started, or train alone.

    Raises:
        RunFailedError: They cannot be reached.
    """
    return TorchProcessGroup() if is_launched() else ProcessGroup()


def pairwise_sum(values: "Sequence[Tensor]") -> "Tensor":
    """Add neighbours, then sums of neighbours, until one is left.

    The sum of 2^n neighbours that begin at a multiple of 2^n is a step on the way, so processes
    that have so many parts each can add theirs first and come to the same bits.
    """
    while len(values) > 1:
        pairs = [left + right for left, right in zip(values[::2], values[1::2], strict=False)]
        values = pairs if len(values) % 2 == 0 else [*pairs, values[-1]]
    return values[0]


def _meeting(store: "Store", rank: int, size: int) -> str:
    """A name that all processes agree on, and that no processes before them had.

    torchrun keeps the store when it starts processes anew, and with it what dead ones wrote there.
    """
    token = secrets.token_hex(8)
    store.set(f"charrnn/token/{rank}", token)
    while True:
        if rank == 0:
            tokens = [store.get(f"charrnn/token/{each}").decode() for each in range(size)]
            store.set("charrnn/meeting", ".".join(tokens))
        meeting = store.get("charrnn/meeting").decode()
        if token in meeting.split("."):
            store.set(f"{meeting}/{rank}", "here")
            if store.check([f"{meeting}/{each}" for each in range(size)]):
                return meeting
        time.sleep(POLL_SECONDS)


def _outcome(work: Callable[[], Any]) -> tuple[Any, UserError | None]:
    """What came of something: a result, or an error that is to be shown."""
    try:
        return work(), None
    except UserError as error:
        return None, error
