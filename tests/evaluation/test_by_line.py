"""What each line costs adds up to what the text costs, however the text arrives."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.evaluation.by_line import LineCost, cost_by_line
from charrnn.inference.network import NumpyNetwork
from charrnn.text.reading import Part
from charrnn.text.vocabulary import Vocabulary
from tests.models import DEFAULT_CARD, random_weights

LETTERS = "\n abc"
texts = st.text(LETTERS + "?", max_size=300)


def network_of(vocabulary: Vocabulary) -> NumpyNetwork:
    card = replace(
        DEFAULT_CARD,
        vocabulary_size=len(vocabulary),
        mode="lines" if vocabulary.has_lines else "stream",
    )
    return NumpyNetwork(random_weights(card), card)


STREAM = Vocabulary.from_characters(LETTERS, lines=False)
LINES = Vocabulary.from_characters(LETTERS.replace("\n", ""), lines=True)
A_S = Part(0, "a" * 5000, None)
NETWORKS = {False: network_of(STREAM), True: network_of(LINES)}


def bits_of(network: NumpyNetwork, inputs: list[int], targets: list[int]) -> list[float]:
    """The definition: one character after another, from a zero state."""
    if not inputs:
        return []
    logits, _ = network.advance(np.array([inputs]), network.initial_state(1))
    return [
        float((np.logaddexp.reduce(row.astype(float)) - row[target]) / np.log(2))
        for row, target in zip(logits[0], targets, strict=True)
    ]


def cut(text: str, places: list[int]) -> Iterator[Part]:
    """A text in parts."""
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    for begin, end in zip([0, *ends], ends, strict=False):
        if text[begin:end]:
            yield Part(0, text[begin:end], None)


@given(text=texts, places=st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=60)
def test_a_stream_costs_the_same_line_by_line_in_whatever_parts_it_comes(
    text: str, places: list[int]
) -> None:
    found = list(cost_by_line(NETWORKS[False], STREAM, cut(text, places)))
    ids = STREAM.encode(text).tolist()
    bits = [0.0, *bits_of(NETWORKS[False], ids[:-1], ids[1:])]
    lines = text.split("\n") if not text.endswith("\n") else text.split("\n")[:-1]
    assert [cost.text for cost in found] == (lines if text else [])
    assert [cost.number for cost in found] == list(range(1, len(found) + 1))
    at = 0
    for cost in found:
        end = at + len(cost.text) + 1
        assert cost.bits == pytest.approx(sum(bits[at:end]), abs=1e-3)
        assert cost.chars == len(bits[at:end]) - (at == 0)
        at = end


def examples(*parts: list[str]) -> Iterator[Part]:
    """Whole lines, in parts."""
    for lines in parts:
        yield Part(0, "".join(lines), np.array([len(line) for line in lines], np.int64))


@given(lines=st.lists(st.text("abc ?", max_size=80), max_size=20), at=st.integers(0, 20))
@settings(max_examples=60)
def test_lines_cost_what_each_costs_alone_and_empty_ones_are_left_out(
    lines: list[str], at: int
) -> None:
    found = list(cost_by_line(NETWORKS[True], LINES, examples(lines[:at], lines[at:])))
    expected = [(number, line) for number, line in enumerate(lines, start=1) if line]
    assert [(cost.number, cost.text) for cost in found] == expected
    for cost in found:
        ids = LINES.encode(cost.text).tolist()
        bits = bits_of(NETWORKS[True], [2, *ids], [*ids, 3])
        assert cost.bits == pytest.approx(sum(bits), abs=1e-3)
        assert cost.chars == len(bits)


def test_an_endless_text_is_scored_as_it_comes() -> None:
    asked = 0

    def endless() -> Iterator[Part]:
        nonlocal asked
        while True:
            asked += 1
            yield Part(0, "abc\n", None)

    costs = cost_by_line(NETWORKS[False], STREAM, endless())
    first = [next(costs) for _ in range(10)]
    assert [cost.number for cost in first] == list(range(1, 11))
    assert asked <= 12


def test_the_end_of_an_example_that_was_cut_costs_nothing() -> None:
    found = list(cost_by_line(NETWORKS[True], LINES, examples(["abc", "ab", "bca"]), cut_at=3))
    for cost, ended in zip(found, (False, True, False), strict=True):
        ids = LINES.encode(cost.text).tolist()
        inputs, targets = ([2, *ids], [*ids, 3]) if ended else ([2, *ids[:-1]], ids)
        assert cost.bits == pytest.approx(sum(bits_of(NETWORKS[True], inputs, targets)), abs=1e-3)
        assert cost.chars == len(targets)


def test_a_line_without_an_end_is_scored_whole_and_kept_in_part() -> None:
    (cost,) = cost_by_line(NETWORKS[False], STREAM, (A_S for _ in range(10)))
    assert isinstance(cost, LineCost)
    assert (cost.chars, len(cost.text)) == (49_999, 10_000)
