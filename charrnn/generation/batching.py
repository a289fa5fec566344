"""Any number of texts, made by a few threads, handed out in order, in bounded memory.

Texts are independent, so each thread works at texts of its own with single-threaded products:
no thread ever waits for another within a product, which on a machine that has other work to do
would make a product many times slower. NumPy lets go of Python's lock while it multiplies.

A sample waits until its place is free on some thread's bench. So that memory stays bounded, no
job is accepted that is further than a window ahead of the text that is handed out next.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Self

from charrnn.generation.jobs import GeneratedText, Job
from charrnn.generation.rules import Rules
from charrnn.generation.tiles import TILE_ROWS, Bench, Place, place_of
from charrnn.inference.network import NumpyNetwork
from charrnn.machine import physical_bytes, processor_count
from charrnn.network import Network

WINDOW = 8 * TILE_ROWS[-1]
"""How many samples may be under way or waiting at most, per thread."""
MEMORY_SHARE = 0.25
"""The share of the machine's memory that the threads' buffers may take."""
BYTES_PER_LOGIT = 32
"""A row's buffers for each character of the vocabulary: logits, weights, sums, masks."""
CHECK_SECONDS = 0.1


def generate_many(
    network: Network,
    rules: Rules,
    jobs: Iterable[Job],
    *,
    batch_size: int | None = None,
    check: Callable[[], None] | None = None,
) -> Generator[GeneratedText, None, None]:
    """Make the texts of many jobs; they come in order, each as soon as all before it are there.

    Args:
        network: what predicts.
        rules: what all texts follow.
        jobs: in order of their samples, which count from 0; taken as there is room for them, on
            a thread of its own, so that waiting for the next one holds nothing up.
        batch_size: the most texts to be under way at once; left out, what memory and processors
            allow. It never changes a text.
        check: called before each wait, and ten times a second within one; it may raise.

    Raises:
        Exception: What the jobs' iterable raises, after the texts before it; or what a thread met.
    """
    threads = thread_count(network)
    if batch_size is None:
        batch_size = threads * TILE_ROWS[-1]
    threads = min(threads, -(-batch_size // TILE_ROWS[-1]))  # full tiles are the cheapest
    with _Crew(network, rules, jobs, batch_size, threads) as crew:
        yield from crew.results(check or _nothing)


def thread_count(network: Network) -> int:
    """As many threads as there are processors for us and memory for their buffers.

    One, if BLAS has threads of its own, or if the network is not NumPy's: then the processors are
    shared out already.
    """
    is_single = os.environ.get("OPENBLAS_NUM_THREADS") == "1"
    if not (is_single and isinstance(network, NumpyNetwork)):
        return 1
    tile_bytes = sum(TILE_ROWS) * network.vocabulary_size * BYTES_PER_LOGIT
    room = int(MEMORY_SHARE * (physical_bytes() or 0) / tile_bytes)
    return max(1, min(processor_count(), room))


def _nothing() -> None:
    """Check nothing."""


class _Crew:
    """The threads, and what lies between them, guarded by one lock."""

    def __init__(
        self, network: Network, rules: Rules, jobs: Iterable[Job], batch_size: int, threads: int
    ) -> None:
        self._network = network
        self._rules = rules
        self._jobs = jobs
        self._batch_size = batch_size
        self._share = -(-batch_size // threads)
        self._window = WINDOW * threads
        self._changed = threading.Condition()
        self._waiting: dict[Place, deque[Job]] = {}
        self._finished: dict[int, GeneratedText] = {}
        self._accepted = 0
        self._handed_out = 0
        self._under_way = 0
        self._all_accepted = False
        self._stopped = False
        self._faults: list[BaseException] = []
        self._last_words: list[BaseException] = []
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in (self._feeder, *self._workers):
            thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop the workers; the feeder may be waiting for input, and is left to itself."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def results(self, check: Callable[[], None]) -> Iterator[GeneratedText]:
        """The texts in order."""
        while (text := self._next_text(check)) is not None:
            yield text

    def _next_text(self, check: Callable[[], None]) -> GeneratedText | None:
        """Wait for the next text in order; None after the last one."""
        patience = 0.0
        while True:
            with self._changed:
                if self._changed.wait_for(self._has_news, patience):
                    return self._hand_out()
            check()
            patience = CHECK_SECONDS

    def _has_news(self) -> bool:
        """Whether the next text is there, or never will be."""
        return self._handed_out in self._finished or bool(self._faults) or self._is_over()

    def _is_over(self) -> bool:
        return self._all_accepted and self._handed_out == self._accepted

    def _hand_out(self) -> GeneratedText | None:
        for error in (*self._faults, *(self._last_words if self._is_over() else ())):
            raise error
        if self._is_over():
            return None
        text = self._finished.pop(self._handed_out)
        self._handed_out += 1
        self._changed.notify_all()
        return text

    def _feed(self) -> None:
        """Accept jobs while there are any; runs on a thread of its own."""
        try:
            for job in self._jobs:
                if not self._accept(job):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again after the last text
            self._last_words.append(error)
        with self._changed:
            self._all_accepted = True
            self._changed.notify_all()

    def _accept(self, job: Job) -> bool:
        """Let a job wait for its place as soon as there is room; False when nobody wants it."""
        with self._changed:
            while self._accepted >= self._handed_out + self._window and not self._stopped:
                self._changed.wait()
            self._waiting.setdefault(place_of(self._accepted), deque()).append(job)
            self._accepted += 1
            self._changed.notify_all()
            return not self._stopped

    def _work(self) -> None:
        """Make texts while there are any to make; runs on threads of its own."""
        bench = Bench(self._network, self._rules)
        try:
            while self._take_on(bench):
                if ended := bench.advance():
                    self._put_out(ended)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the texts come out
            with self._changed:
                self._faults.append(error)
                self._changed.notify_all()

    def _take_on(self, bench: Bench) -> bool:
        """Begin jobs whose places are free, waiting for some if need be; False at the end."""
        with self._changed:
            while not self._stopped:
                room = min(self._share - len(bench.taken), self._batch_size - self._under_way)
                for job in self._takable(bench.taken)[: max(room, 0)]:
                    place = place_of(job.uniforms.sample)
                    self._waiting[place].popleft()
                    self._under_way += 1
                    bench.begin(place, job)
                if bench.taken:
                    return True
                if self._all_accepted and not self._takable(set()):
                    return False
                self._changed.wait()
            return False

    def _takable(self, taken: set[Place]) -> list[Job]:
        """The first job that waits for each place that is not taken, the earliest samples first."""
        first = [jobs[0] for place, jobs in self._waiting.items() if jobs and place not in taken]
        return sorted(first, key=lambda job: job.uniforms.sample)

    def _put_out(self, ended: list[Job]) -> None:
        texts = {job.uniforms.sample: job.result() for job in ended}
        with self._changed:
            self._finished |= texts
            self._under_way -= len(ended)
            self._changed.notify_all()
