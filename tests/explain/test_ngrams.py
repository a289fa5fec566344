"""The n-gram models are Kneser-Ney's as the definition counts them, and sum to one."""

from collections import Counter
from collections.abc import Sequence as Texts

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.explain.ngrams import Sequence, kneser_ney

IDS = 4
HIGHEST = 3
texts = st.lists(st.integers(0, IDS - 1), min_size=2, max_size=60)
Gram = tuple[int, ...]


def sequence(ids: Texts[int]) -> Sequence:
    """A text in which all but the first character is predicted."""
    return Sequence(np.array(ids, np.int64), np.arange(len(ids)) > 0)


def probabilities(training: Texts[int], text: Texts[int]) -> list[list[float]]:
    """For each order, the probability of every character of a text but the first."""
    found = kneser_ney(sequence(training), sequence(text), alphabet=IDS, ids=IDS, highest=HIGHEST)
    return [each.tolist() for each in found]


class Definition:
    """Chen & Goodman's interpolated Kneser-Ney over grams that are written out as tuples."""

    def __init__(self, ids: Texts[int], order: int) -> None:
        padded = [-1] * (HIGHEST + 1) + list(ids)
        places = range(HIGHEST + 2, len(padded))  # the very first character is not predicted
        self.counts: list[Counter[Gram]] = []
        for length in range(order + 1):
            grams = [tuple(padded[at - length : at + 1]) for at in places]
            longer = {tuple(padded[at - length - 1 : at + 1]) for at in places}
            kinds = Counter(gram[1:] for gram in longer)
            self.counts.append(Counter(grams) if length == order else kinds)

    def discount(self, length: int, count: int) -> float:
        counts = list(self.counts[length].values())
        ones, twos, threes, fours = (max(1, counts.count(each)) for each in range(1, 5))
        scale = ones / (ones + 2 * twos)
        wanted = {1: 1 - 2 * scale * twos / ones, 2: 2 - 3 * scale * threes / twos}
        capped = min(count, 3)
        amount = wanted.get(capped, 3 - 4 * scale * fours / threes)
        return min(max(amount, 0.05 * capped), 0.95 * capped)

    def probability(self, context: Gram, char: int) -> float:
        shorter = self.probability(context[1:], char) if context else 1 / IDS
        counts = self.counts[len(context)]
        after = {gram: count for gram, count in counts.items() if gram[:-1] == context}
        if not after:
            return shorter
        taken = {gram: self.discount(len(context), count) for gram, count in after.items()}
        gram = (*context, char)
        kept = after.get(gram, 0) - taken.get(gram, 0)
        return (kept + sum(taken.values()) * shorter) / sum(after.values())


@given(training=texts, text=texts)
@settings(max_examples=60)
def test_every_probability_is_that_of_the_definition(training: list[int], text: list[int]) -> None:
    padded = [-1] * HIGHEST + text
    for order, found in enumerate(probabilities(training, text)):
        definition = Definition(training, order)
        expected = [
            definition.probability(tuple(padded[at - order : at]), padded[at])
            for at in range(HIGHEST + 1, len(padded))
        ]
        assert found == pytest.approx(expected)


@given(training=texts, context=texts)
@settings(max_examples=60)
def test_the_probabilities_after_any_context_sum_to_one(
    training: list[int], context: list[int]
) -> None:
    last = [
        [order[-1] for order in probabilities(training, [*context, char])] for char in range(IDS)
    ]
    for of_order in zip(*last, strict=True):
        assert sum(of_order) == pytest.approx(1)
        assert min(of_order) > 0


def test_a_text_that_was_counted_costs_less_with_every_order() -> None:
    text = [0, 1, 2, 3, 2, 1] * 50
    costs = [-sum(np.log2(order)) for order in probabilities(text, text)]
    assert costs == sorted(costs, reverse=True)
