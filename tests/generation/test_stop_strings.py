"""Stop strings: found where they are first complete, and nothing behind the cut ever shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.generation.options import GenerationOptions
from charrnn.generation.stop_strings import StopFinder


def cut(text: str, stops: list[str], *, keep: bool, min_length: int) -> tuple[str, bool]:
    """The reference: look at every beginning of the text, with plain string methods."""
    for end in range(1, len(text) + 1):
        for stop in sorted(stops, key=len, reverse=True):
            left = text[:end] if keep else text[: end - len(stop)]
            if text[:end].endswith(stop) and len(left) >= min_length:
                return left, True
    return text, False


texts = st.text("ab\n", max_size=30)
stop_lists = st.lists(st.text("ab\n", min_size=1, max_size=5), min_size=1, max_size=4)


@given(text=texts, stops=stop_lists, keep=st.booleans(), min_length=st.integers(0, 12))
def test_the_text_is_cut_where_a_stop_string_is_first_complete(
    text: str, stops: list[str], keep: bool, min_length: int
) -> None:
    finder = StopFinder(GenerationOptions(stop=stops, keep_stop=keep, min_length=min_length))
    released = ""
    for char in text:
        released += finder.feed(char)
        if finder.found:
            break
    else:
        released += finder.rest()
    assert (released, finder.found) == cut(text, stops, keep=keep, min_length=min_length)


@given(text=texts, stops=stop_lists)
def test_what_is_released_is_never_behind_a_later_cut(text: str, stops: list[str]) -> None:
    final, _ = cut(text, stops, keep=False, min_length=0)
    finder = StopFinder(GenerationOptions(stop=stops))
    released = ""
    for char in text:
        released += finder.feed(char)
        assert final.startswith(released)
        if finder.found:
            return


@given(text=texts, stops=stop_lists)
def test_no_more_is_held_back_than_a_stop_string_could_begin_with(
    text: str, stops: list[str]
) -> None:
    finder = StopFinder(GenerationOptions(stop=stops))
    fed = released = ""
    for char in text:
        fed += char
        released += finder.feed(char)
        if finder.found:
            return
        held = fed[len(released) :]
        assert not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize("keep", [False, True])
def test_the_longest_of_several_complete_stop_strings_counts(keep: bool) -> None:
    finder = StopFinder(GenerationOptions(stop=["c", "bc", "xbc"], keep_stop=keep))
    assert finder.feed("a") == "a"
    assert finder.feed("b") == ""
    assert finder.feed("c") == ("bc" if keep else "")
    assert finder.found
