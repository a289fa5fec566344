"""How much an output copies: checked against a count that tries every span."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.generation.novelty import Novelty, NoveltyMeter

Ids = npt.NDArray[np.uint8]


def ids_of(text: str) -> Ids:
    return np.frombuffer(text.encode("ascii"), dtype=np.uint8)


def starts_of(lines: list[str]) -> npt.NDArray[np.uint64]:
    return np.cumsum([0, *map(len, lines)]).astype(np.uint64)


def share_by_trying(lines: list[str], output: str, span: int) -> float:
    covered = set[int]()
    for place in range(len(output) - span + 1):
        if any(output[place : place + span] in line for line in lines):
            covered.update(range(place, place + span))
    return len(covered) / len(output) if output else 0.0


def longest_by_trying(lines: list[str], output: str) -> int:
    return max(
        (
            end - begin
            for begin in range(len(output))
            for end in range(begin + 1, len(output) + 1)
            if any(output[begin:end] in line for line in lines)
        ),
        default=0,
    )


def measure(
    train: npt.NDArray[Any],
    output: npt.NDArray[Any],
    span: int,
    starts: npt.NDArray[np.uint64] | None = None,
) -> Novelty:
    return NoveltyMeter(train, span, starts=starts).measure(output)


def check(lines: list[str], output: str, span: int, found: Novelty) -> None:
    """Hold a measurement against the slow count."""
    assert found.span == span
    assert found.copied_share == pytest.approx(share_by_trying(lines, output, span))
    assert found.longest == longest_by_trying(lines, output)


LINES = st.lists(st.text("ab", max_size=30), max_size=6)
OUTPUTS = st.text("abc", max_size=25)
SPANS = st.integers(1, 8)


@settings(max_examples=300, deadline=None)
@given(st.text("ab", max_size=80), OUTPUTS, SPANS)
def test_a_measurement_agrees_with_trying_every_span(text: str, output: str, span: int) -> None:
    check([text], output, span, measure(ids_of(text), ids_of(output), span))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 600), max_size=60), st.lists(st.integers(0, 600), max_size=20), SPANS
)
def test_ids_that_are_wider_than_a_byte_are_told_apart(
    train: list[int], output: list[int], span: int
) -> None:
    found = measure(np.array(train, np.uint16), np.array(output, np.uint16), span)
    text, made = ("".join(map(chr, ids)) for ids in (train, output))
    check([text], made, span, found)


@settings(max_examples=300, deadline=None)
@given(LINES, OUTPUTS, SPANS)
def test_spans_do_not_reach_across_lines(lines: list[str], output: str, span: int) -> None:
    text = ids_of("".join(lines))
    found = measure(text, ids_of(output), span, starts=starts_of(lines))
    check(lines, output, span, found)


def test_a_copied_stretch_in_a_large_text_is_found() -> None:
    generator = np.random.default_rng(5)
    train = generator.integers(0, 60, size=700_000, dtype=np.uint8)
    fresh = generator.integers(0, 60, size=2_000, dtype=np.uint8)
    output = np.concatenate([fresh[:900], train[400_000:400_333], fresh[900:]])
    found = measure(train, output, 50)
    assert found.longest in (333, 334)  # by chance the next character may agree, too
    assert found.copied_share == pytest.approx(found.longest / len(output))


def test_an_output_copied_as_a_whole_has_a_share_of_one() -> None:
    train = np.arange(5_000) % 97
    assert measure(train, train[1_234:4_321], 20).copied_share == 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64])
def test_the_type_of_the_ids_does_not_matter(dtype: type[np.signedinteger]) -> None:
    train = np.tile(np.arange(100, dtype=dtype), 3)
    output = np.arange(90, 110) % 100
    assert measure(train, output, 5) == Novelty(5, 1.0, 20)


def test_the_longest_span_is_told_even_if_it_is_too_short_to_count() -> None:
    found = measure(ids_of("the quick brown fox"), ids_of("a quick one"), 10)
    assert found == Novelty(10, 0.0, 7)


@pytest.mark.parametrize(("train", "output"), [("", "abc"), ("abc", ""), ("", ""), ("abc", "xyz")])
def test_nothing_in_common_is_no_share_and_no_span(train: str, output: str) -> None:
    assert measure(ids_of(train), ids_of(output), 2) == Novelty(2, 0.0, 0)
