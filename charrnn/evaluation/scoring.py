"""Reading texts side by side and counting how well each next character was predicted.

A row is one stretch of text that a network reads from left to right; many rows are read at once.
Columns are the steps in time that all rows take together, a chunk of them at a time, so that
memory depends on rows x chunk x vocabulary and never on the length of a text.

Shapes: S parts of the state, L layers, B rows, T time, H hidden, V vocabulary.
"""

import math
import operator
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from charrnn.errors import RunFailedError
from charrnn.messages import format_path
from charrnn.network import FloatArray, IdArray, Network
from charrnn.text.vocabulary import Vocabulary

Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]
Starts = npt.NDArray[np.unsignedinteger[Any]] | npt.NDArray[np.signedinteger[Any]]
Flags = npt.NDArray[np.bool_]

LONGEST_CHUNK = 64
LOGITS_AT_ONCE = 8_000_000  # float32 numbers: 32 MB, and as much again for their exponentials
IDS_AT_ONCE = 1 << 20
LARGEST_LOSS = 700.0
"""In nats; the perplexity of a larger one would be no finite number."""


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over the targets of a text; everything else is a quotient of them."""

    nats: float = 0.0
    """Negative log-likelihood of all targets, in nats."""
    chars: int = 0
    """Targets counted."""
    correct: int = 0
    """Targets that were the most probable character."""
    unknown_chars: int = 0
    """Targets that the vocabulary knows only as <unk>."""

    def __add__(self, other: "Score") -> "Score":
        return Score(*map(operator.add, astuple(self), astuple(other)))

    @property
    def loss_nats(self) -> float:
        """Mean negative log-likelihood per target, in nats; NaN where nothing was counted."""
        return self.nats / self.chars if self.chars else math.nan

    @property
    def bits(self) -> float:
        """Negative log-likelihood of all targets, in bits."""
        return self.nats / math.log(2)

    @property
    def bits_per_char(self) -> float:
        """The loss in bits."""
        return self.loss_nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many equally likely characters the network hesitates."""
        try:
            return math.exp(self.loss_nats)
        except OverflowError:
            return math.inf

    @property
    def accuracy(self) -> float:
        """The share of targets that were the most probable character."""
        return self.correct / self.chars if self.chars else math.nan


class Rows:
    """Stretches of a text that are read side by side, the longest first.

    Args:
        ids: the text.
        offsets: where in it the first input of each row stands.
        lengths: how many targets each row has, in descending order.
        bos_id: what each row reads first, in place of what stands in the text.
        eos_id: what is the last target of each ended row, in place of what stands in the text.
        ended: which rows end with `eos_id`.
    """

    def __init__(
        self,
        ids: IdArray,
        offsets: Counts,
        lengths: Counts,
        *,
        bos_id: int | None = None,
        eos_id: int | None = None,
        ended: Flags | None = None,
    ) -> None:
        self.lengths = lengths
        self._ids = np.asarray(ids) if len(ids) else np.zeros(1, np.uint8)
        self._offsets = offsets
        self._bos_id = bos_id
        self._eos_id = eos_id
        self._last = lengths - 1 if ended is None else np.where(ended, lengths - 1, -1)

    @classmethod
    def stretches(cls, ids: IdArray, length: int) -> "Rows":
        """One text cut into rows of so many targets; only the last can have fewer."""
        offsets: Counts = np.arange(0, len(ids) - 1, length, dtype=np.int64)
        return cls(ids, offsets, np.minimum(length, len(ids) - 1 - offsets))

    @classmethod
    def spread(cls, ids: IdArray, count: int, length: int) -> "Rows":
        """So many rows of so many targets, evenly spread over one text."""
        offsets: Counts = np.linspace(0, len(ids) - 1 - length, count).astype(np.int64)
        return cls(ids, offsets, np.full(count, length))

    @classmethod
    def lines(
        cls, ids: IdArray, starts: Starts, vocabulary: Vocabulary, cut_at: int | None = None
    ) -> "Rows":
        """Whole lines: read from <bos>, and <eos> is a target like any other.

        Those of length `cut_at` were cut, and have no <eos>.
        """
        borders = np.asarray(starts).astype(np.int64)
        ended = has_end(starts, cut_at)
        lengths = np.diff(borders) + ended
        order = longest_first(lengths)
        return cls(
            ids,
            borders[:-1][order] - 1,
            lengths[order],
            bos_id=vocabulary.bos_id,
            eos_id=vocabulary.eos_id,
            ended=ended[order],
        )

    def every(self, step: int) -> "Rows":
        """Every `step`-th of these rows."""
        return Rows(
            self._ids,
            self._offsets[::step],
            self.lengths[::step],
            bos_id=self._bos_id,
            eos_id=self._eos_id,
            ended=self._last[::step] >= 0,
        )

    def columns(self, which: Counts, times_T: Counts) -> tuple[Counts, Counts]:
        """Inputs and targets of some rows at some steps in time, each (B, T).

        Beyond a row's length they hold arbitrary ids, which must not be counted.
        """
        places_BT = self._offsets[which, None] + times_T
        inputs_BT = self._ids.take(places_BT, mode="clip").astype(np.int64)
        targets_BT = self._ids.take(places_BT + 1, mode="clip").astype(np.int64)
        if self._bos_id is not None:
            inputs_BT[:, times_T == 0] = self._bos_id
        if self._eos_id is not None:
            targets_BT[times_T == self._last[which, None]] = self._eos_id
        return inputs_BT, targets_BT


def check_finite(loss_nats: float, run: Path) -> None:
    """Refuse to report what is no number.

    Raises:
        RunFailedError: The network's weights are such that its predictions overflow.
    """
    if not loss_nats < LARGEST_LOSS:
        raise RunFailedError(
            f"the loss is {loss_nats:.4g}: the weights of {format_path(run)} are of no use",
            hint="train it again, with a lower train.learning_rate",
        )


Scored = tuple[FloatArray, Counts, FloatArray]
"""Nats of each target (B, T), each row's hits (B,), and the state after the columns."""


@runtime_checkable
class ScoringNetwork(Protocol):
    """A network that scores rows where it reads them, so that no logits need to travel."""

    def score(
        self,
        inputs_BT: IdArray,
        targets_BT: IdArray,
        counted_BT: Flags,
        state_SLBH: FloatArray,
    ) -> "Scored":
        """Do as `advance_and_score` does."""


class Tally(NamedTuple):
    """What some columns of some rows amounted to."""

    nats_B: Sums
    """Each row's negative log-likelihood, in nats."""
    nats_BT: FloatArray
    """That of each target; 0 where there is none."""
    correct_B: Counts
    """Each row's targets that were most probable."""
    targets: int
    """The targets of all rows together."""


def has_end(starts: Starts, cut_at: int | None) -> Flags:
    """Which lines or examples have an end to predict: those that were not cut."""
    flags: Flags = np.diff(starts) != (-1 if cut_at is None else cut_at)
    return flags


def longest_first(lengths: Counts) -> Counts:
    """The order in which lines are read, those of equal length as they stand in the text."""
    return np.argsort(-lengths, kind="stable")


def read_columns(
    network: Network, rows: Rows, which: Counts, times_T: Counts, state_SLBH: FloatArray
) -> tuple[Tally, FloatArray]:
    """Read some columns of some rows, from a state of each of them.

    Returns the tally, and the state after the last column, (S, L, B, H), which means something
    only for rows that reach so far.
    """
    inputs_BT, targets_BT = rows.columns(which, times_T)
    counted_BT = times_T < rows.lengths[which, None]
    score = (
        network.score
        if isinstance(network, ScoringNetwork)
        else partial(advance_and_score, network)
    )
    nats_BT, correct_B, state_SLBH = score(inputs_BT, targets_BT, counted_BT, state_SLBH)
    nats_B = nats_BT.sum(axis=1, dtype=np.float64)
    return Tally(nats_B, nats_BT, correct_B, int(counted_BT.sum())), state_SLBH


def advance_and_score(
    network: Network,
    inputs_BT: IdArray,
    targets_BT: IdArray,
    counted_BT: Flags,
    state_SLBH: FloatArray,
) -> Scored:
    """Read some columns; `nats_and_correct` of what was predicted, and the state after them."""
    logits_BTV, state_SLBH = network.advance(inputs_BT, state_SLBH)
    return *nats_and_correct(logits_BTV, targets_BT, counted_BT), state_SLBH


def nats_and_correct(
    logits_BTV: FloatArray, targets_BT: IdArray, counted_BT: Flags
) -> tuple[FloatArray, Counts]:
    """Compute each target's negative log-likelihood, and count the most probable of each row.

    Args:
        logits_BTV: the predictions, float32.
        targets_BT: what came next.
        counted_BT: which targets count; padding does not.

    Returns:
        Nats, (B, T) with 0 where nothing counts, and hits, (B,). The log-softmax is taken in
        float32 after its maximum is subtracted. Logits that are not finite give nats that are not
        finite: it is for the caller to judge them.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        best_BT1 = logits_BTV.argmax(axis=-1)[..., None]
        highest_BT1 = np.take_along_axis(logits_BTV, best_BT1, axis=-1)
        exponentials_BTV = logits_BTV - highest_BT1
        np.exp(exponentials_BTV, out=exponentials_BTV)
        targets_BT1 = targets_BT[..., None].astype(np.int64)
        chosen_BT1 = np.take_along_axis(logits_BTV, targets_BT1, axis=-1)
        margins_BT = (highest_BT1 - chosen_BT1)[..., 0]
        nats_BT = np.log(exponentials_BTV.sum(axis=-1)) + margins_BT
    correct_BT = (best_BT1 == targets_BT1)[..., 0] & counted_BT
    return np.where(counted_BT, nats_BT, np.float32(0)), correct_BT.sum(axis=1)


def columns_at_once(network: Network, row_count: int) -> int:
    """How many columns of so many rows can be read at once in bounded memory."""
    return max(1, min(LONGEST_CHUNK, LOGITS_AT_ONCE // (row_count * network.vocabulary_size)))


def count_ids(ids: IdArray, vocabulary_size: int) -> Counts:
    """How often each id occurs, (V,), without a temporary as long as the text."""
    counts_V: Counts = np.zeros(vocabulary_size, np.int64)
    for begin in range(0, len(ids), IDS_AT_ONCE):
        counts_V += np.bincount(ids[begin : begin + IDS_AT_ONCE], minlength=vocabulary_size)
    return counts_V
