"""Text as code points, and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charrnn.text.code_points import code_points_of, is_surrogate, text_of

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_code_points_are_those_that_python_counts(text: str) -> None:
    assert code_points_of(text).tolist() == [ord(char) for char in text]


@given(ANY_TEXT)
def test_text_comes_back_from_its_code_points(text: str) -> None:
    assert text_of(code_points_of(text)) == text


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_takes_one_byte_a_character(text: str) -> None:
    assert code_points_of(text).dtype == np.uint8


def test_trailing_zeros_are_characters_like_any_other() -> None:
    assert code_points_of("\N{GREEK SMALL LETTER ALPHA}\0\0").tolist() == [0x3B1, 0, 0]


def test_surrogates_are_told_from_their_neighbours() -> None:
    halves = [is_surrogate(point) for point in (0xD7FF, 0xD800, 0xDFFF, 0xE000)]
    assert halves == [False, True, True, False]
