"""Many texts (continuous batching): made by a few threads, handed out in order, in bounded memory.

Texts are independent, so each thread works at texts of its own with single-threaded products: no
thread ever waits for another within a product. NumPy releases the GIL while it multiplies. A
sample waits until its slot is free in some thread. So that memory stays bounded, none is accepted
that is further than a window ahead of the text that is handed out next.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator

from charrnn.errors import UserError
from charrnn.generation.batching import BATCH_ROWS, Slot, Worker, slot_of
from charrnn.generation.generate import prefill
from charrnn.generation.rng import UniformStream
from charrnn.generation.seeds import Prefix
from charrnn.generation.sequence import GeneratedText, Sequence
from charrnn.generation.task import GenerationTask
from charrnn.processors import free_threads

WINDOW = 8 * BATCH_ROWS[-1]
"""How many samples may be under way or waiting at most, per thread."""
CHECK_SECONDS = 0.1


def generate_many(
    task: GenerationTask,
    sequences: Iterable[Sequence],
    *,
    batch_size: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Generator[GeneratedText, None, None]:
    """Make many texts; they come in order, each as soon as all before it are there.

    Args:
        task: what all texts share.
        sequences: in order of their samples, which count from 0; taken as there is room for
            them, on a thread of its own, so that waiting for the next one holds nothing up.
        batch_size: the most texts to be under way at once; left out, as many as
            keep all processors busy. It never changes a text.
        check: called before each wait, and ten times a second within one; it may raise.

    Raises:
        Exception: What `sequences` raises, after the texts before it; or what a thread met.
    """
    rows = BATCH_ROWS[-1]
    threads = free_threads()
    if batch_size is not None:
        threads = min(threads, -(-batch_size // rows))  # full batches are the cheapest
    share = rows if batch_size is None else batch_size // threads
    scheduler = BatchScheduler(task, sequences, share, threads)
    try:
        while (text := scheduler.next_text(check)) is not None:
            yield text
    finally:
        scheduler.stop()


def sequences_of(
    seeds: Iterable[str | UserError],
    task: GenerationTask,
    rng_seed: int,
    *,
    samples: int,
    scored: bool,
    strict: bool = True,
) -> Iterator[Sequence]:
    """Begin the texts of many seeds, in order; a seed with several samples is read once.

    An error among the seeds stands for one that could not be had. Unless `strict`, the texts of a
    seed that cannot be continued have ended before they begin, with that error.

    Raises:
        UserError: A seed has a character that the model does not know; names the seed.
    """
    for number, seed in enumerate(seeds):
        text = seed if isinstance(seed, str) else ""
        error = None
        try:
            prefix = prefix_of(seed, task, number + 1)
        except UserError as caught:
            if strict:
                raise
            prefix, error = Prefix([]), caught
        if samples > 1 and error is None:
            prefix = prefill(prefix, task.network)
        for sample in range(number * samples, (number + 1) * samples):
            uniforms = UniformStream(rng_seed, sample)
            yield Sequence(task, prefix, uniforms, seed=text, scored=scored, error=error)


def prefix_of(seed: str | UserError, task: GenerationTask, number: int | None) -> Prefix:
    """Where the text of a seed begins; `number` is its place among many.

    Raises:
        UserError: It has a character that the model does not know, or could not be had.
    """
    try:
        if isinstance(seed, UserError):
            raise seed
        return task.prefix(seed)
    except UserError as error:
        place = "" if number is None else f"seed {number:,}: "
        raise UserError(place + error.message, hint=error.hint) from error


class BatchScheduler:
    """Gives waiting sequences to the threads, and their texts back in order; guarded by a lock."""

    def __init__(
        self, task: GenerationTask, sequences: Iterable[Sequence], share: int, threads: int
    ) -> None:
        """Start the threads; each has `share` texts under way at most."""
        self._task = task
        self._sequences = sequences
        self._share = share
        self._window = WINDOW * threads
        self._changed = threading.Condition()
        self._waiting: dict[Slot, deque[Sequence]] = {}
        self._finished: dict[int, GeneratedText | BaseException] = {}
        """Texts by their number; an error is raised in the place of the text that it stands for."""
        self._accepted = 0
        self._handed_out = 0
        self._all_accepted = False
        self._stopped = False
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in (threading.Thread(target=self._feed, daemon=True), *self._workers):
            thread.start()

    def stop(self) -> None:
        """Stop the workers. The feeder may be waiting for input: a daemon, it is not joined."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._workers:
            thread.join()

    def next_text(self, check: Callable[[], None]) -> GeneratedText | None:
        """Wait for the next text in order; None after the last one."""
        timeout = 0.0
        while True:
            with self._changed:
                if self._changed.wait_for(self._has_news, timeout):
                    return self._hand_out()
            check()
            timeout = CHECK_SECONDS

    def _has_news(self) -> bool:
        """Whether the next text is there, or never will be."""
        return self._handed_out in self._finished or self._is_over()

    def _is_over(self) -> bool:
        return self._all_accepted and self._handed_out == self._accepted

    def _hand_out(self) -> GeneratedText | None:
        if self._is_over():
            return None
        text = self._finished.pop(self._handed_out)
        if isinstance(text, BaseException):
            raise text
        self._handed_out += 1
        self._changed.notify_all()
        return text

    def _feed(self) -> None:
        """Accept sequences while there are any; runs on a thread of its own."""
        error = None
        try:
            for sequence in self._sequences:
                if not self._accept(sequence):
                    return
        except BaseException as caught:  # noqa: BLE001 - raised again after the last text
            error = caught
        with self._changed:
            if error is not None:
                self._finished[self._accepted] = error
                self._accepted += 1
            self._all_accepted = True
            self._changed.notify_all()

    def _accept(self, sequence: Sequence) -> bool:
        """Let a sequence wait for its slot as soon as there is room; False when all is over."""
        with self._changed:
            while self._accepted >= self._handed_out + self._window and not self._stopped:
                self._changed.wait()
            if sequence.ended_by is not None:  # there is nothing to make of it
                self._finished[self._accepted] = sequence.result()
            else:
                self._waiting.setdefault(slot_of(self._accepted), deque()).append(sequence)
            self._accepted += 1
            self._changed.notify_all()
            return not self._stopped

    def _work(self) -> None:
        """Make texts while there are any to make; runs on threads of its own."""
        worker = Worker(self._task)
        try:
            while self._admit(worker):
                if ended := worker.advance():
                    self._finish(ended)
        except BaseException as error:  # noqa: BLE001 - raised again in place of the next text
            with self._changed:
                self._finished[self._handed_out] = error
                self._changed.notify_all()

    def _admit(self, worker: Worker) -> bool:
        """Begin sequences whose slots are free, waiting for some if need be; False at the end."""
        with self._changed:
            while not self._stopped:
                room = self._share - len(worker.taken)
                for sequence in self._admissible(worker.taken)[:room]:
                    slot = slot_of(sequence.uniforms.sample)
                    self._waiting[slot].popleft()
                    worker.begin(slot, sequence)
                if worker.taken:
                    return True
                if self._all_accepted and not self._admissible(set()):
                    return False
                self._changed.wait()
            return False

    def _admissible(self, taken: set[Slot]) -> list[Sequence]:
        """The first sequence that waits for each slot that is free, the earliest samples first."""
        first = [
            waiting[0] for slot, waiting in self._waiting.items() if waiting and slot not in taken
        ]
        return sorted(first, key=lambda sequence: sequence.uniforms.sample)

    def _finish(self, ended: list[Sequence]) -> None:
        texts = {sequence.uniforms.sample: sequence.result() for sequence in ended}
        with self._changed:
            self._finished |= texts
            self._changed.notify_all()
