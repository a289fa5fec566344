"""The census finds what counting everything would find."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.text.census import Census
from charrnn.text.pieces import Mode, pieces_of
from tests.text.reference import lines_of

PARTS = st.lists(st.text(st.sampled_from("aab\n\u20ac\U0001f600") | st.characters(), max_size=9))


def census_of(parts: list[str], mode: Mode, min_count: int) -> Census:
    census = Census(min_count)
    for piece in pieces_of(parts, mode):
        census.add(piece)
    return census


@pytest.mark.parametrize("mode", ["stream", "lines"])
@given(parts=PARTS, min_count=st.integers(1, 4), data=st.data())
def test_the_vocabulary_is_that_of_the_units_before_any_split(
    mode: Mode, parts: list[str], min_count: int, data: st.DataObject
) -> None:
    text = "".join(parts)
    units = lines_of(text) if mode == "lines" else list(text)
    split = data.draw(st.integers(0, len(units)))
    counts = Counter("".join(units[:split]))
    expected = sorted(char for char, count in counts.items() if count >= min_count)
    assert census_of(parts, mode, min_count).settled_before(split) == expected


@given(PARTS, st.integers(1, 4))
def test_totals_are_those_of_the_text(parts: list[str], min_count: int) -> None:
    census = census_of(parts, "stream", min_count)
    text = "".join(parts)
    assert (census.units, census.characters) == (len(text), len(text))
    assert census.distinct() == len(set(text))


def test_a_long_text_of_settled_characters_is_passed_over_but_counted() -> None:
    census = census_of(["ab" * 1000, "ab" * 1000, "b" * 10 + "c"], "stream", 3)
    assert census.settled_before(census.units) == ["a", "b"]
    assert (census.characters, census.distinct()) == (4011, 3)
