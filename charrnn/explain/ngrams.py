"""n-gram models: what counting what followed the last few characters would have predicted.

Interpolated Witten-Bell smoothing (Witten & Bell 1991; method C of Bell, Cleary & Witten 1990): a
context h that was seen c(h) times, with T(h) different characters after it, gives

    p(x | h) = (c(h x) + T(h) p(x | h')) / (c(h) + T(h))

where h' is h without its oldest character, and the shortest context falls back on a uniform
distribution. So the probabilities of every context sum to one, and the orders 0, 1, 2, ... come out
of one another.

Shapes: N places of the training text, M places of the text that is predicted.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.explain.subject import Places, Subject
from charrnn.network import FloatArray, IdArray

MOST_TRAINING = 4_000_000
"""Characters of the training part that are counted: the last ones of a longer one."""
HIGHEST_ORDER = 8

Flags = npt.NDArray[np.bool_]


class Sequence(NamedTuple):
    """A text for counting: its ids, and which of them are predicted."""

    ids_N: IdArray
    predicted_N: Flags


def sequence_of(subject: Subject, order: int) -> Sequence:
    """The text of a subject; each document begins with the id that its first target follows.

    In lines mode that id is repeated, so that no context of up to `order` reaches into the line
    before.
    """
    if not subject.is_lines:
        ids_N = np.concatenate([subject.inputs_N[:1], subject.targets_N]).astype(np.int64)
        predicted_N = np.arange(len(ids_N)) > 0
        return Sequence(ids_N, predicted_N)
    repeats_N = np.ones(len(subject.inputs_N), np.int64)
    repeats_N[subject.documents[:-1]] = 1 + max(1, order)
    at_N = np.repeat(np.arange(len(repeats_N)), repeats_N)
    is_last_N = np.append(at_N[1:] != at_N[:-1], True)
    ids_N = np.where(is_last_N, subject.targets_N[at_N], subject.model.vocabulary.bos_id)
    return Sequence(ids_N.astype(np.int64), is_last_N)


def witten_bell(
    training: Sequence, text: Sequence, *, alphabet: int, ids: int, highest: int = HIGHEST_ORDER
) -> Iterator[FloatArray]:
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
    probability_M: FloatArray = np.full(len(asked_M), 1 / alphabet)
    contexts_N: Places = np.zeros(len(training.ids_N), np.int64)
    asked_contexts_N: Places = np.zeros(len(text.ids_N), np.int64)
    for order in range(highest + 1):
        if order:
            older_N = _shifted(training.ids_N, order, ids)
            asked_older_N = _shifted(text.ids_N, order, ids)
            keys = contexts_N * (ids + 1) + older_N
            known, contexts_N = np.unique(keys, return_inverse=True)
            asked_keys = asked_contexts_N * (ids + 1) + asked_older_N
            asked_keys[asked_contexts_N < 0] = -1
            asked_contexts_N = _find(known, asked_keys)
        grams, gram_counts = np.unique(
            contexts_N[trained_M] * ids + training.ids_N[trained_M], return_counts=True
        )
        size = int(contexts_N.max(initial=0)) + 1
        seen_C = np.bincount(grams // ids, weights=gram_counts, minlength=size)
        kinds_C = np.bincount(grams // ids, minlength=size)
        context_M = asked_contexts_N[asked_M]
        gram_M = _find(grams, context_M * ids + text.ids_N[asked_M])
        count_M = np.where((gram_M >= 0) & (context_M >= 0), gram_counts[gram_M], 0)
        total_M, kinds_M = seen_C[context_M] + kinds_C[context_M], kinds_C[context_M]
        is_known_M = (context_M >= 0) & (total_M > 0)
        probability_M = np.where(
            is_known_M,
            (count_M + kinds_M * probability_M) / np.maximum(total_M, 1),
            probability_M,
        )
        yield probability_M


def _shifted(ids_N: IdArray, by: int, outside: int) -> Places:
    """The id `by` places before each, `outside` where the text has not begun."""
    older_N: Places = np.full(len(ids_N), outside, np.int64)
    older_N[by:] = ids_N[: len(ids_N) - by]
    return older_N


def _find(known: Places, wanted: Places) -> Places:
    """Where each number stands in a sorted array; -1 if it does not."""
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, -1)
