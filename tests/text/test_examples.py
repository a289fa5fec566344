r"""What a separator divides a text into: whatever the parts it is read in, and back again."""

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.text.examples import examples_of

SEPARATORS = ["line", "blank", "file", "%", "\n%\n", "\n\n", "aa", "\u20ac\u20ac\u20ac"]
LETTERS = st.sampled_from("ab% \t\u20ac\r\n\n\n")
TEXTS = st.text(LETTERS, max_size=60)


def cut_up(text: str, sizes: list[int]) -> list[str]:
    """A text in parts of these sizes, over and over; none is empty."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        size = sizes[len(parts) % len(sizes)]
        parts.append(text[at : at + size])
        at += size
    return parts


def divided(text: str, separator: str, sizes: list[int] | None = None) -> list[str]:
    """The examples of a text in which something stands."""
    parts = cut_up(text, sizes or [len(text) or 1])
    return [each for some in examples_of(parts, separator) for each in some if each]


def paragraphs(text: str) -> list[str]:
    """The definition of `blank`: lines that are not, as long as they follow each other."""
    groups = groupby(text.split("\n"), key=lambda line: not line.strip())
    return ["\n".join(lines) for is_blank, lines in groups if not is_blank]


@pytest.mark.parametrize("separator", SEPARATORS)
@settings(max_examples=40)
@given(text=TEXTS, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_examples_do_not_depend_on_the_parts_that_a_text_comes_in(
    separator: str, text: str, sizes: list[int]
) -> None:
    assert divided(text, separator, sizes) == divided(text, separator)


@pytest.mark.parametrize(
    "separator", [each for each in SEPARATORS if each not in {"blank", "file"}]
)
@settings(max_examples=40)
@given(text=st.text(st.sampled_from("ab% \u20ac\n\n"), max_size=60))
def test_what_a_text_is_divided_into_gives_it_back_when_joined(separator: str, text: str) -> None:
    between = "\n" if separator == "line" else separator
    whole = text if text.endswith("\n") or not text else text + "\n"
    examples = [each for some in examples_of([text], separator) for each in some]
    joined = between.join(examples)
    # The last line end belongs to no example, nor does a separator that nothing follows.
    assert whole in {joined + rest for rest in ("", "\n", between, between + "\n")}


@pytest.mark.parametrize(
    ("separator", "between"), [("line", "\n"), ("blank", "\n\n"), ("%", "%"), ("\n%\n", "\n%\n")]
)
@settings(max_examples=40)
@given(st.lists(st.text("ab\u20ac ", min_size=1).map("a{}b".format), min_size=1, max_size=8))
def test_examples_that_are_joined_come_back(
    separator: str, between: str, examples: list[str]
) -> None:
    assert divided(between.join(examples), separator, [5, 1]) == examples
    assert divided(between.join(examples) + "\n", separator, [2]) == examples


@settings(max_examples=80)
@given(text=TEXTS, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_blank_lines_divide_paragraphs_however_many_they_are(text: str, sizes: list[int]) -> None:
    assert divided(text, "blank", sizes) == paragraphs((text + "\n").replace("\r\n", "\n")[:-1])


def test_a_poem_keeps_its_indentation_and_loses_only_what_is_around_it() -> None:
    text = "\r\n  \r\n  Tyger,\r\n\tburning \r\n \t\r\n\r\nbright\r\n\r\n"
    assert divided(text, "blank", [3]) == ["  Tyger,\n\tburning ", "bright"]


def test_a_file_is_one_example_without_its_last_line_end() -> None:
    assert divided("a\r\n\r\nb\n", "file") == ["a\n\nb"]
    assert divided("a\n\n", "file") == ["a\n"]


def test_a_separator_at_the_very_end_begins_no_example() -> None:
    assert divided("a\n%\nb\n%\n", "\n%\n") == ["a", "b"]
    assert divided("a\n%\nb\n%", "\n%\n") == ["a", "b"]
