"""How the processes that torchrun started exchange things: with torch, over the network.

torchrun tells each its place by environment variables. It also keeps a store, a small server that
every process can write words to and read them from.
"""

import atexit
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, TCPStore

from charrnn.errors import RunFailedError, UserError
from charrnn.training.process_group import ProcessGroup, Result, pairwise_sum

START_SECONDS = 3600.0
"""How long processes wait for each other before the first step, while texts are prepared."""
POLL_SECONDS = 0.05
RUN_KEY, RUN_TRACE = "charrnn/run", "charrnn-run"
"""In the store of process 0's torchrun, and beside the files of each machine's torchrun."""


class TorchProcessGroup(ProcessGroup):
    """The processes that torchrun started: gloo on CPUs, NCCL between GPUs.

    Its methods do what those of `ProcessGroup` say.

    Raises:
        RunFailedError: (every method) Another process has ended, or does not answer.
    """

    exchanges = True

    def __init__(self) -> None:
        places = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        super().__init__(*(int(os.environ[name]) for name in places))
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
        return self._is_stopping

    def first(self, work: Callable[[], Result]) -> Result:
        told: list[Any] = [_outcome(work) if self.is_first else None]
        with self._reporting():
            dist.broadcast_object_list(told, 0, self._group)
        result, error = told[0]
        if error is not None:
            raise self.told_by_first(error)
        return result  # type: ignore[no-any-return]

    def each(self, work: Callable[[], Result]) -> Result:
        result, failure = _outcome(work)
        for rank, error in enumerate(self.all(failure)):
            if error is not None:
                message = f"process {rank}: {error.message}" if rank else error.message
                raise self.told_by_first(
                    UserError(message, hint=error.hint, exit_code=error.exit_code)
                )
        return result  # type: ignore[no-any-return]

    def all(self, value: Result) -> list[Result]:
        told: list[Any] = [None] * self.size
        with self._reporting():
            dist.all_gather_object(told, value, self._group)
        return told

    @contextmanager
    def in_turns(self) -> Iterator[None]:
        if self.local_rank:
            self._wait_for_all()
        try:
            yield
        finally:
            if not self.local_rank:
                self._wait_for_all()

    def total(self, arrays: Sequence[Tensor]) -> list[Tensor]:
        """The sums of every process's arrays, added pairwise, neighbours first.

        Each process adds up one stretch of the N numbers: two exchanges, in which it sends and
        receives about N numbers each, however many processes there are.
        """
        sizes = [array.numel() for array in arrays]
        stretch = -(-(sum(sizes) + 1) // self.size)
        padding = arrays[0].new_zeros(stretch * self.size - sum(sizes))
        padding[0] = self.stop_requested
        sent = torch.cat([*(array.flatten() for array in arrays), padding])
        received = torch.empty_like(sent)
        with self._reporting():
            dist.all_to_all_single(received, sent, group=self._group)
            added = pairwise_sum(received.split(stretch))
            dist.all_gather(list(sent.split(stretch)), added, self._group)
        *totals, padding = sent.split([*sizes, len(padding)])
        self._heed(padding[0])
        return [total.view_as(array) for total, array in zip(totals, arrays, strict=True)]

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        sent = rows.new_zeros(max(counts) + 1, rows.shape[1])
        sent[: len(rows)] = rows
        sent[-1] = self.stop_requested
        received = [torch.empty_like(sent) for _ in counts]
        with self._reporting():
            dist.all_gather(received, sent, self._group)
        self._heed(sum(each[-1, 0] for each in received))
        return torch.cat([each[:count] for each, count in zip(received, counts, strict=True)])

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        with self._reporting():
            for tensor in tensors:
                dist.broadcast(tensor, 0, self._group)

    def told_by_first(self, error: UserError) -> BaseException:
        if self.is_first:
            return error
        # torchrun ends all processes when the first of them has ended: let that be process 0.
        with suppress(RuntimeError):
            dist.broadcast(torch.zeros(1), 0, self._group)
        return SystemExit(error.exit_code)

    def begin_steps(self, timeout_seconds: float) -> None:
        with self._reporting():
            self._group = dist.new_group(timeout=timedelta(seconds=timeout_seconds))

    def remember_run(self, run: Path) -> None:
        if self.is_first:
            self._store.set(RUN_KEY, str(run))
        if self._trace:
            self._trace.touch()

    def remembered_run(self, *, is_resuming: bool) -> Path | None:
        """Find the run directory.

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
        self._wait_for_all()
        self._leave()

    def _leave(self) -> None:
        """End the threads that serve the group, which would abort a process that just exits."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def _wait_for_all(self) -> None:
        with self._reporting():
            dist.barrier(self._group)

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


def _meeting(store: TCPStore, rank: int, size: int) -> str:
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
