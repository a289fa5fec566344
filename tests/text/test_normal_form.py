"""Normalisation in parts is normalisation of the whole."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.text.normal_form import composed, starts_afresh

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
