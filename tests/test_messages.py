"""Values in messages: told apart, kept short, made harmless."""

import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.console import escape_controls
from charrnn.messages import (
    byte_size,
    format_name,
    format_value,
    join_words,
    nearest,
    quote,
    shell_word,
)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (10, "10"),
        (0.001, "0.001"),
        ("10", 'the text "10"'),
        ("", 'the text ""'),
        ([], "the list []"),
        (["a", 1, None], 'the list ["a", 1, null]'),
        (list("abcd") * 9, 'the list ["a", "b", "c", "d", "a", "b", "c", "d", "a", "b", "c", "d"…'),
        ({"a": 1}, "a mapping"),
        (2**1000, "a whole number of 1,001 bits"),
    ],
)
def test_a_value_is_shown_so_that_its_type_is_seen(value: object, words: str) -> None:
    assert format_value(value) == words


@given(st.recursive(st.text() | st.integers(), st.lists, max_leaves=20))
def test_nothing_that_is_shown_can_act_on_a_terminal_or_break_the_line(value: object) -> None:
    text = format_value(value)
    assert escape_controls(text, keep=frozenset()) == text
    assert "\n" not in text


def test_long_text_is_shortened() -> None:
    assert len(quote("x" * 10_000)) < 100
    assert len(format_name("x" * 10_000)) < 100


@pytest.mark.parametrize("name", ["", " padded", "line\nbreak", "\x1b[31m", "\u202eright to left"])
def test_a_name_that_could_mislead_stands_in_quotation_marks(name: str) -> None:
    assert format_name(name).startswith('"')


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=20))
@settings(max_examples=15)
def test_a_shell_reads_every_word_as_it_was(words: list[str]) -> None:
    line = " ".join(map(shell_word, words))
    assert escape_controls(line, keep=frozenset()) == line
    script = f"printf '%s\\0' {line}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == (words or [""])


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_words_are_listed_as_people_do(words: Sequence[str], text: str) -> None:
    assert join_words(words) == text


def test_the_nearest_name_is_found_whatever_its_case_and_hyphens() -> None:
    known = ["hidden_size", "layers"]
    assert nearest("hiden_size", known) == "hidden_size"
    assert nearest("Hidden-Size", known) == "hidden_size"
    assert nearest("zzz", known) is None
    assert nearest("x" * 1_000_000, known) is None


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (25_276_514_304, "25.3 GB")],
)
def test_bytes_are_shown_in_powers_of_ten(count: int, text: str) -> None:
    assert byte_size(count) == text


def test_even_absurd_numbers_of_bytes_can_be_shown() -> None:
    assert byte_size(5 * 10**18) == "5,000.0 PB"
