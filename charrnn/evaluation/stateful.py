"""One long text read in parallel, with the result of reading it from beginning to end.

A recurrent network reads a text one character after another, and batch-of-one arithmetic leaves
most of a processor idle. So the text is cut into rows, and all rows are read at once from a zero
state, the state at the border of every chunk of columns being remembered. Then each row is read
again from the state that its predecessor ended with, its scores replaced, until its state at a
border agrees with the remembered one: from there on the network has forgotten where it started,
and the scores that stand are the true ones. A row that never agrees ends in another state, and
its successor is read again. What comes out is the sequential result by check, whatever the
network remembers.

Shapes: S parts of the state, L layers, B rows, C chunks, H hidden.
"""

from collections.abc import Callable
from itertools import count

import numpy as np

from charrnn.evaluation.scoring import (
    Counts,
    Flags,
    Rows,
    Score,
    Sums,
    count_ids,
    read_columns,
)
from charrnn.network import FloatArray, IdArray, Network

TOLERANCE = 1e-5
"""States agree when no number differs by more than this, or by this share of itself if above 1.

Products of other shapes round otherwise: the same state computed in one row and in thirty-two was
measured to differ by up to 2e-6. A tolerance below that would wait for an agreement that float32
cannot give, and at this one the loss differs in the ninth digit.
"""
PARALLEL_SWEEPS = 2
"""Corrections of all rows at once; a network that remembers longer is read row after row."""


class ParallelReading:
    """One stretch of text, cut into rows of equal length that are made to continue each other."""

    def __init__(
        self,
        network: Network,
        ids: IdArray,
        first_state_SL1H: FloatArray,
        *,
        row_length: int,
        chunk: int,
    ) -> None:
        """Cut ids into rows of `row_length` targets, a multiple of `chunk` columns."""
        self._network = network
        self._ids = ids
        self._rows = Rows.stretches(ids, row_length)
        self._chunk = chunk
        row_count = len(self._rows.lengths)
        chunks = -(-int(self._rows.lengths[0]) // chunk)
        self._starts_SLBH: FloatArray = np.repeat(first_state_SL1H, row_count, axis=2)
        self._starts_SLBH[:, :, 1:] = 0
        # NaN agrees with nothing, so the first sweep reads every row to its end.
        self._borders_CSLBH: FloatArray = np.full(
            (chunks, *self._starts_SLBH.shape), np.nan, np.float32
        )
        self._nats_BC: Sums = np.zeros((row_count, chunks))
        self._nats_BT: FloatArray = np.zeros((row_count, chunks * chunk), np.float32)
        self._correct_BC: Counts = np.zeros((row_count, chunks), np.int64)

    def run(self, progress: Callable[[int], None]) -> None:
        """Read the whole stretch; `progress` is told of each batch's targets, 0 in corrections."""
        self._sweep(np.arange(len(self._rows.lengths)), progress)
        exact = 1
        for sweep in count():
            ends_SLBH = self._borders_CSLBH[-1][:, :, exact - 1 : -1]
            mismatched = exact + np.flatnonzero(~agree(ends_SLBH, self._starts_SLBH[:, :, exact:]))
            if not len(mismatched):
                return
            if sweep >= PARALLEL_SWEEPS:
                mismatched = mismatched[:1]
            self._starts_SLBH[:, :, mismatched] = self._borders_CSLBH[-1][:, :, mismatched - 1]
            self._sweep(mismatched, lambda _targets: progress(0))
            exact = int(mismatched[0]) + 1

    def score(self, unknown_id: int) -> Score:
        """The sums over all targets of the stretch."""
        return Score(
            nats=float(self._nats_BC.sum()),
            chars=len(self._ids) - 1,
            correct=int(self._correct_BC.sum()),
            unknown_chars=int(count_ids(self._ids[1:], self._network.vocabulary_size)[unknown_id]),
        )

    def nats(self) -> FloatArray:
        """The negative log-likelihood of each target of the stretch, in its order, (targets,)."""
        row_length = int(self._rows.lengths[0])
        return self._nats_BT[:, :row_length].reshape(-1)[: len(self._ids) - 1]

    def last_state(self) -> FloatArray:
        """The state after the whole stretch, (S, L, 1, H), which must end where a chunk ends."""
        last_column = (int(self._rows.lengths[-1]) - 1) // self._chunk
        border_SLBH: FloatArray = self._borders_CSLBH[last_column]
        return border_SLBH[:, :, -1:]

    def _sweep(self, which: Counts, progress: Callable[[int], None]) -> None:
        """Read some rows from their starts until each agrees with what is remembered of it."""
        lengths = self._rows.lengths
        state_SLBH = self._starts_SLBH[:, :, which]
        for column, border_SLBH in enumerate(self._borders_CSLBH):
            begin = column * self._chunk
            going_on = lengths[which] > begin
            which, state_SLBH = which[going_on], state_SLBH[:, :, going_on]
            if not len(which):
                return
            end = min(begin + self._chunk, int(lengths[which[0]]))
            tally, state_SLBH = read_columns(
                self._network, self._rows, which, np.arange(begin, end), state_SLBH
            )
            self._nats_BC[which, column] = tally.nats_B
            self._nats_BT[which, begin:end] = tally.nats_BT
            self._correct_BC[which, column] = tally.correct_B
            progress(tally.targets)
            mismatched = ~agree(state_SLBH, border_SLBH[:, :, which])
            border_SLBH[:, :, which] = state_SLBH
            which, state_SLBH = which[mismatched], state_SLBH[:, :, mismatched]


def agree(state_SLBH: FloatArray, other_SLBH: FloatArray) -> Flags:
    """Which rows of two states are equal up to float32 rounding, (B,); NaN equals nothing."""
    with np.errstate(invalid="ignore"):
        allowed_SLBH = TOLERANCE * np.maximum(1, np.abs(other_SLBH))
        near_SLBH = np.abs(state_SLBH - other_SLBH) <= allowed_SLBH
    return np.asarray(near_SLBH.all(axis=(0, 1, 3)), np.bool_)
