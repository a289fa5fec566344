"""n-gram models: what counting what followed the last few characters would have predicted.

Interpolated Kneser-Ney smoothing with three discounts (Chen & Goodman 1999). A context h gives

    p(x | h) = (c(h x) - D(c(h x)) + (the sum of the discounts after h) q(x | h')) / c(h)

where h' is h without its oldest character, and q is the same with another count: not how often
h' x was seen, but after how many different characters. The shortest context falls back on a
uniform distribution. So the probabilities of every context sum to one.

Contexts and grams are numbered, so that a text of any alphabet is counted by sorting integers.
Shapes: N places of the training text, M places that are predicted, C contexts, G grams (a context
and what followed it).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.explain.cells import Floats
from charrnn.explain.reading import Places, Reading
from charrnn.network import IdArray

MOST_TRAINING = 4_000_000
"""Characters of the training part that are counted: the last ones of a longer one."""
HIGHEST_ORDER = 8
LEAST_KEPT = 0.05
"""Share of a count that a discount leaves, and takes, at the least: texts can be strange."""

Flags = npt.NDArray[np.bool_]


class Sequence(NamedTuple):
    """A text for counting: its ids, and which of them are predicted."""

    ids_N: IdArray
    predicted_N: Flags


def sequence_of(reading: Reading, order: int) -> Sequence:
    """The text of a reading; each document begins with the id that its first target follows.

    In lines mode that id is repeated, so that no context of up to `order` reaches into the line
    before.
    """
    if not reading.is_lines:
        ids_N = np.concatenate([reading.inputs_N[:1], reading.targets_N]).astype(np.int64)
        predicted_N = np.arange(len(ids_N)) > 0
        return Sequence(ids_N, predicted_N)
    bos_id = reading.model.vocabulary.bos_id
    assert bos_id is not None
    repeats_N = np.ones(len(reading.inputs_N), np.int64)
    repeats_N[reading.documents[:-1]] = 1 + max(1, order)
    at_N = np.repeat(np.arange(len(repeats_N)), repeats_N)
    is_last_N = np.append(at_N[1:] != at_N[:-1], True)
    ids_N = np.where(is_last_N, reading.targets_N[at_N], bos_id)
    return Sequence(ids_N.astype(np.int64), is_last_N)


def kneser_ney(
    training: Sequence, text: Sequence, *, alphabet: int, ids: int, highest: int = HIGHEST_ORDER
) -> Iterator[Floats]:
    """Yield the probability of each predicted character of a text, for the orders 0 to `highest`.

    Args:
        training: what is counted.
        text: what is predicted.
        alphabet: how many ids can come: the uniform distribution is over these.
        ids: the number of ids there are, one more than the largest.
        highest: the longest context, in characters.
    """
    trained_M = np.flatnonzero(training.predicted_N)
    asked_M = np.flatnonzero(text.predicted_N)
    wanted_M = text.ids_N[asked_M]
    shorter_M: Floats = np.full(len(asked_M), 1 / alphabet)
    contexts_N: Places = np.zeros(len(training.ids_N), np.int64)
    asked_N: Places = np.zeros(len(text.ids_N), np.int64)
    grams = _Grams.of(contexts_N[trained_M], training.ids_N[trained_M], ids)
    for order in range(highest + 1):
        yield grams.probability(grams.counts_G, asked_N[asked_M], wanted_M, shorter_M)
        if order == highest:
            return
        older_N = _shifted(training.ids_N, order + 1, ids)
        asked_older_N = _shifted(text.ids_N, order + 1, ids)
        keys_N = contexts_N * (ids + 1) + older_N
        known_C, longer_N = np.unique(keys_N, return_inverse=True)
        longer = _Grams.of(longer_N[trained_M], training.ids_N[trained_M], ids)
        contexts_of_G = known_C[longer.keys_G // ids] // (ids + 1)
        extended_G = _find(grams.keys_G, contexts_of_G * ids + longer.keys_G % ids)
        kinds_G = np.bincount(extended_G, minlength=len(grams.keys_G))
        shorter_M = grams.probability(kinds_G, asked_N[asked_M], wanted_M, shorter_M)
        asked_keys_N = np.where(asked_N < 0, -1, asked_N * (ids + 1) + asked_older_N)
        contexts_N, asked_N, grams = longer_N, _find(known_C, asked_keys_N), longer


class _Grams(NamedTuple):
    """The different grams of one order."""

    keys_G: Places
    """Context times `ids`, plus what followed it; sorted."""
    counts_G: Places
    ids: int

    @classmethod
    def of(cls, contexts_M: Places, following_M: IdArray, ids: int) -> "_Grams":
        """Count grams."""
        keys_G, counts_G = np.unique(contexts_M * ids + following_M, return_counts=True)
        return cls(keys_G, counts_G, ids)

    def probability(
        self, counts_G: Places, contexts_M: Places, wanted_M: IdArray, shorter_M: Floats
    ) -> Floats:
        """p(x | h) from some counts; `shorter_M` where the context was never seen (-1)."""
        taken_G = _discounts(counts_G)
        contexts_G = self.keys_G // self.ids
        totals_C = np.bincount(contexts_G, counts_G)
        taken_C = np.bincount(contexts_G, taken_G)
        gram_M = _find(self.keys_G, contexts_M * self.ids + wanted_M)
        kept_M = np.where((gram_M >= 0) & (contexts_M >= 0), (counts_G - taken_G)[gram_M], 0)
        in_range_M = np.where(contexts_M < len(totals_C), contexts_M, -1)
        total_M = np.where(in_range_M >= 0, totals_C[in_range_M], 0)
        mixed_M = (kept_M + taken_C[in_range_M] * shorter_M) / np.maximum(total_M, 1)
        return np.where(total_M > 0, mixed_M, shorter_M)


def _discounts(counts_G: Places) -> Floats:
    """What each count is lowered by: one amount for counts of 1, of 2, and of 3 or more."""
    ones, twos, threes, fours = (max(1, int((counts_G == count).sum())) for count in range(1, 5))
    scale = ones / (ones + 2 * twos)
    discounts = [1 - 2 * scale * twos / ones, 2 - 3 * scale * threes / twos]
    discounts.append(3 - 4 * scale * fours / threes)
    bounded = [
        float(np.clip(discount, LEAST_KEPT * count, (1 - LEAST_KEPT) * count))
        for count, discount in enumerate(discounts, start=1)
    ]
    taken: Floats = np.array([0.0, *bounded])[np.minimum(counts_G, 3)]
    return taken


def _shifted(ids_N: IdArray, by: int, outside: int) -> Places:
    """The id `by` places before each, `outside` where the text has not begun."""
    older_N: Places = np.full(len(ids_N), outside, np.int64)
    older_N[by:] = ids_N[: len(ids_N) - by]
    return older_N


def _find(known: Places, wanted: Places) -> Places:
    """Where each number stands in a sorted array; -1 if it does not."""
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, -1)
