"""Normalisation in parts is normalisation of the whole."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.text.normal_form import END_OF_MARKS, composed, starts_afresh

# Where composition is likely: letters, marks, Hangul, kana, singletons, odd combining classes.
TROUBLE = (
    "aeo\u0301\u0323\u0327\u0344\u0f73\u1100\u1161\u11a8\uac00\u304b\u3099\u212b\u0958\u09c7\u09be"
)
TEXTS = st.lists(st.text(st.sampled_from(TROUBLE) | st.characters()))


@given(TEXTS)
@example(["e", "\u0301"])
@example(["\u1100", "\u1161", "\u11a8"])
@example(["\u0323", "\u0301\u0323", "a"])
@example(["\u09c7", "\u09be"])
def test_parts_normalise_as_the_whole(texts: list[str]) -> None:
    assert "".join(composed(texts)) == unicodedata.normalize("NFC", "".join(texts))


@given(st.text(st.sampled_from(TROUBLE), min_size=1), st.text(st.sampled_from(TROUBLE)))
def test_nothing_joins_a_character_that_starts_afresh(before: str, after: str) -> None:
    for char in TROUBLE:
        if starts_afresh(char):
            whole = unicodedata.normalize("NFC", before + char + after)
            apart = unicodedata.normalize("NFC", before) + unicodedata.normalize(
                "NFC", char + after
            )
            assert whole == apart


@pytest.mark.parametrize("char", "\u0301\u1161\u11a8\u3099\u0344\u0f73\u09be")
def test_what_may_join_what_stands_before_it_is_known(char: str) -> None:
    assert not starts_afresh(char)


def test_nearly_every_character_starts_afresh_so_that_little_is_held_back() -> None:
    letters = [chr(point) for point in range(sys.maxunicode + 1) if chr(point).isalpha()]
    assert sum(map(starts_afresh, letters)) > 0.99 * len(letters)


def test_ascii_is_passed_on_at_once_but_for_its_last_character() -> None:
    parts = composed(iter(["abc", "def"]))
    assert next(parts) == "ab"


@given(
    before=st.sampled_from("a\u00e9\uac00\u0301"),
    marks=st.lists(st.sampled_from("\u0301\u0323\u0327\u0344\u0f71\u0f73\u0f81\u3099\u0345")),
    times=st.integers(1, 40),
    after=st.sampled_from("a\u0301\u1161"),
)
def test_long_runs_of_marks_are_sorted_as_python_does_it(
    before: str, marks: list[str], times: int, after: str
) -> None:
    text = before + "".join(marks) * times + after
    assert "".join(composed([text])) == unicodedata.normalize("NFC", text)


def test_a_character_with_half_a_million_marks_is_read_in_no_time() -> None:
    """Sorted by insertion they would take hours."""
    marks = "\u0301\u0316" * 250_000
    assert "".join(composed(["a" + marks])) == "\u00e1" + "\u0316" * 250_000 + "\u0301" * 249_999


def test_no_mark_stands_where_none_is_looked_for() -> None:
    assert not any(map(unicodedata.combining, map(chr, range(END_OF_MARKS, sys.maxunicode + 1))))
