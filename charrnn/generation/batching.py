"""Batches whose texts have the bits that they have in any company.

A product of R rows reads the weights once for all of them, which is several times cheaper than R
products of one row. But BLAS adds in another order when there are more or fewer rows, or when a
row stands elsewhere among them, and a last bit that differs can become another character. So a
sample has a slot that depends on its number alone: always the same row of a batch with the same
number of rows. The first sample has a batch of one row, which is how a single text is computed.

Shapes: R rows, V vocabulary, S parts of the state, L layers, H hidden.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.generation.generate import Stream
from charrnn.generation.sampling import BoolArray, log_normalizers
from charrnn.generation.sequence import Sequence
from charrnn.generation.task import GenerationTask
from charrnn.inference.network import NumpyStepper

BATCH_ROWS = (1, 4, 16, 64)
"""The rows of a thread's batches; samples beyond the first ones take turns in the last. Each has
four times the rows of the one before, so that a few texts do not pay for many idle rows."""


class Slot(NamedTuple):
    """Where a sample is computed: the batch of so many rows, and a row in it."""

    rows: int
    row: int


def slot_of(sample: int) -> Slot:
    """The slot of a sample."""
    for rows in BATCH_ROWS[:-1]:
        if sample < rows:
            return Slot(rows, sample)
        sample -= rows
    return Slot(BATCH_ROWS[-1], sample % BATCH_ROWS[-1])


class Worker:
    """The batches of one thread, made when they are first needed."""

    def __init__(self, task: GenerationTask) -> None:
        self._task = task
        self._batches: dict[int, SequenceBatch | SingleSequence] = {}
        self.taken: set[Slot] = set()
        """The slots in which texts are under way."""

    def begin(self, slot: Slot, sequence: Sequence) -> None:
        """Put a sequence into its slot, which is free."""
        if slot.rows not in self._batches:
            make = SingleSequence if slot.rows == 1 else SequenceBatch
            self._batches[slot.rows] = make(self._task, slot.rows)
        self._batches[slot.rows].begin(slot.row, sequence)
        self.taken.add(slot)

    def advance(self) -> list[Sequence]:
        """Move every text on by one character; return those that have ended."""
        busy = {slot.rows for slot in self.taken}
        ended = [each for rows in busy for each in self._batches[rows].advance()]
        self.taken -= {slot_of(sequence.uniforms.sample) for sequence in ended}
        return ended


class SingleSequence:
    """A batch of one row: NumPy multiplies a vector faster than a matrix of one row."""

    def __init__(self, task: GenerationTask, _rows: int) -> None:
        self._task = task

    def begin(self, _row: int, sequence: Sequence) -> None:
        """Begin a text."""
        self._stream = Stream(self._task, sequence)

    def advance(self) -> list[Sequence]:
        """Move the text on by one character; return it if it has ended."""
        self._stream.advance()
        return [self._stream.sequence] if self._stream.has_ended else []


class SequenceBatch:
    """The rows of a product, in each a text or none."""

    def __init__(self, task: GenerationTask, rows: int) -> None:
        """Begin with all rows idle; `rows` is 2 or more."""
        size = task.network.vocabulary_size
        self._sequences: dict[int, Sequence] = {}
        self._unread: dict[int, list[int]] = {}
        self._network = task.network
        self._stepper = NumpyStepper(task.network, rows)
        self._sampler = task.sampler(rows)
        self._ids_R = np.zeros(rows, np.intp)
        self._uniforms_R = np.ones(rows)
        self._allowed_RV = np.ones((rows, size), np.bool_) if task.is_masked else None

    def begin(self, row: int, sequence: Sequence) -> None:
        """Put a text into an idle row."""
        state_SL1H = sequence.prefix.state_SL1H
        if state_SL1H is None:
            state_SL1H = self._network.initial_state(1)
        self._stepper.set_row(row, state_SL1H)
        self._ids_R[row], *rest = sequence.prefix.ids
        self._unread[row] = rest[::-1]
        self._sequences[row] = sequence
        sequence.start_clock()

    def advance(self) -> list[Sequence]:
        """Read one id in every row, of a seed or drawn; return the texts that have ended."""
        self._stepper.read(self._ids_R)
        writing = [row for row in self._sequences if not self._unread[row]]
        for row in self._sequences.keys() - writing:
            self._ids_R[row] = self._unread[row].pop()
        return self._draw(writing) if writing else []

    def _draw(self, writing: list[int]) -> list[Sequence]:
        """Draw an id for each row that writes; return the texts that have ended."""
        for row in writing:
            self._uniforms_R[row] = self._sequences[row].uniforms.next()
        logits_RV = self._stepper.predict()
        drawn_R = self._sampler.draw_rows(logits_RV, self._uniforms_R, self._allowed(writing))
        scores = [0.0] * len(drawn_R)
        if self._sequences[writing[0]].is_scored:
            chosen_R = logits_RV[np.arange(len(drawn_R)), drawn_R]
            scores = (chosen_R - log_normalizers(logits_RV)).tolist()
        self._ids_R[writing] = drawn_R[writing]
        return self._take(writing, drawn_R, scores)

    def _allowed(self, writing: list[int]) -> BoolArray | None:
        """The ids that may be drawn in each row, (R, V)."""
        if self._allowed_RV is not None:
            self._allowed_RV[...] = True
            for row in writing:
                allowed_V = self._sequences[row].allowed()
                if allowed_V is not None:
                    self._allowed_RV[row] = allowed_V
        return self._allowed_RV

    def _take(
        self, writing: list[int], drawn_R: npt.NDArray[np.intp], scores: list[float]
    ) -> list[Sequence]:
        """Go on with the drawn ids; return the texts that end by them, their rows idle again."""
        for row, id_ in zip(writing, drawn_R[writing].tolist(), strict=True):
            self._sequences[row].take(id_, scores[row])
        ended = [row for row in writing if self._sequences[row].ended_by is not None]
        return [self._sequences.pop(row) for row in ended]
