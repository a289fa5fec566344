"""How much an output copies: checked against a count that tries every span."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.generation import novelty
from charrnn.generation.novelty import Novelty, measure_novelty

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


def check(lines: list[str], output: str, span: int, found: Novelty) -> None:
    """Hold a measurement against the slow count, and its places against the texts themselves."""
    text = "".join(lines)
    assert found.span == span
    assert found.copied_share == pytest.approx(share_by_trying(lines, output, span))
    assert found.longest == longest_by_trying(lines, output)
    if found.longest == 0:
        assert found.longest_at_output is found.longest_at_train is None
        return
    assert found.longest_at_output is not None
    assert found.longest_at_train is not None
    begin, end = found.longest_at_train, found.longest_at_train + found.longest
    at_output = output[found.longest_at_output : found.longest_at_output + found.longest]
    assert text[begin:end] == at_output
    borders = np.cumsum([0, *map(len, lines)]).tolist()
    assert any(first <= begin and end <= last for first, last in pairwise(borders))


LINES = st.lists(st.text("ab", max_size=30), max_size=6)
OUTPUTS = st.text("abc", max_size=25)
SPANS = st.integers(1, 8)


@settings(max_examples=300, deadline=None)
@given(st.text("ab", max_size=80), OUTPUTS, SPANS)
def test_a_measurement_agrees_with_trying_every_span(text: str, output: str, span: int) -> None:
    check([text], output, span, measure_novelty(ids_of(text), ids_of(output), span))


@settings(max_examples=300, deadline=None)
@given(LINES, OUTPUTS, SPANS)
def test_spans_do_not_reach_across_lines(lines: list[str], output: str, span: int) -> None:
    text = ids_of("".join(lines))
    found = measure_novelty(text, ids_of(output), span, starts=starts_of(lines))
    check(lines, output, span, found)


@pytest.mark.parametrize("chunk", [1, 2, 7])
@settings(max_examples=60, deadline=None)
@given(LINES, OUTPUTS, SPANS)
def test_the_size_of_the_chunks_changes_nothing(
    chunk: int, lines: list[str], output: str, span: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(novelty, "CHUNK", chunk)
        patch.setattr(novelty, "COMPARED_AT_ONCE", 3)
        text = ids_of("".join(lines))
        found = measure_novelty(text, ids_of(output), span, starts=starts_of(lines))
    check(lines, output, span, found)


def colliding_codes(ids: Ids) -> npt.NDArray[np.uint64]:
    return np.zeros(len(ids), dtype=np.uint64)


@settings(max_examples=100, deadline=None)
@given(LINES, OUTPUTS, SPANS)
def test_windows_that_all_share_one_hash_are_still_told_apart(
    lines: list[str], output: str, span: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(novelty, "_codes", colliding_codes)
        text = ids_of("".join(lines))
        found = measure_novelty(text, ids_of(output), span, starts=starts_of(lines))
    check(lines, output, span, found)


def test_a_copied_stretch_in_a_large_text_is_found_where_it_stands() -> None:
    generator = np.random.default_rng(5)
    train = generator.integers(0, 60, size=700_000, dtype=np.uint8)
    fresh = generator.integers(0, 60, size=2_000, dtype=np.uint8)
    output = np.concatenate([fresh[:900], train[400_000:400_333], fresh[900:]])
    found = measure_novelty(train, output, 50)
    assert (found.longest_at_output, found.longest_at_train) == (900, 400_000)
    assert found.longest in (333, 334)  # by chance the next character may agree, too
    assert found.copied_share == pytest.approx(found.longest / len(output))


def test_an_output_copied_as_a_whole_has_a_share_of_one() -> None:
    train = np.arange(5_000) % 97
    assert measure_novelty(train, train[1_234:4_321], 20).copied_share == 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64])
def test_the_type_of_the_ids_does_not_matter(dtype: type[np.signedinteger]) -> None:
    train = np.tile(np.arange(100, dtype=dtype), 3)
    output = np.arange(90, 110) % 100
    assert measure_novelty(train, output, 5) == Novelty(5, 1.0, 20, 0, 90)


def test_the_longest_span_is_told_even_if_it_is_too_short_to_count() -> None:
    found = measure_novelty(ids_of("the quick brown fox"), ids_of("a quick one"), 10)
    assert found == Novelty(10, 0.0, 7, 1, 3)


@pytest.mark.parametrize(("train", "output"), [("", "abc"), ("abc", ""), ("", ""), ("abc", "xyz")])
def test_nothing_in_common_is_no_share_and_no_place(train: str, output: str) -> None:
    assert measure_novelty(ids_of(train), ids_of(output), 2) == Novelty(2, 0.0, 0, None, None)


def test_a_span_of_no_characters_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        measure_novelty(ids_of("abc"), ids_of("abc"), 0)
