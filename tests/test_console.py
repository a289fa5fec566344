"""What may reach a terminal: what scripts need, and nothing that acts on it."""

import json
import sys
import unicodedata

import pytest

from charrnn.console import as_json, escape_controls

PERSIAN = "می\u200cروم کتاب\u200cها"
HINDI = "क्\u200dष र्\u200dय"
EMOJI = "\U0001f3f3\ufe0f\u200d\U0001f308 1\ufe0f\u20e3 \U0001f469\U0001f3fd\u200d\U0001f680"
FLAG = "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in "gbsct") + "\U000e007f"
MARKS = "abc\u200f\u200e \u061c"


@pytest.mark.parametrize("text", [PERSIAN, HINDI, EMOJI, FLAG, MARKS, "soft\u00adhyphen"])
def test_what_scripts_and_emoji_need_is_shown_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\x1b", r"\x1b"),
        ("\x07", r"\x07"),
        ("\x9b", r"\x9b"),
        ("\r", r"\r"),
        ("\u202e", r"\u202e"),
        ("\u2066", r"\u2066"),
        ("\u2028", r"\u2028"),
        ("\U000e0fff", r"\U000e0fff"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_can_harm_is_escaped(char: str, shown: str) -> None:
    assert escape_controls(f"a{char}b") == f"a{shown}b"


def test_of_all_characters_those_are_escaped_that_act_reverse_or_are_not_assigned() -> None:
    """Held to Unicode's own categories and bidirectional classes, character by character."""
    embedded = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for char in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(char)
        harms = category in {"Cc", "Cs", "Cn", "Zl", "Zp"}
        harms = harms or (category == "Cf" and unicodedata.bidirectional(char) in embedded)
        assert (escape_controls(char, keep=frozenset()) != char) == harms, hex(ord(char))


def test_json_has_nothing_that_a_terminal_does_not_print() -> None:
    value = {"".join(map(chr, range(0x2FFF))): PERSIAN}
    assert as_json(value).isascii()
    assert as_json(value).isprintable()
    assert json.loads(as_json(value)) == value
