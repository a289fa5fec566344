"""Seeds become ids; unknown characters are named, replaced, skipped or replaced by the nearest."""

import pytest

from charrnn.errors import UserError
from charrnn.generation.options import Unknown
from charrnn.generation.seeds import encode_seed, nearest_known, prefix_ids
from charrnn.text.vocabulary import Vocabulary

STREAM = Vocabulary.from_characters("\n abcdeß'\"-.AE", lines=False)
LINES = Vocabulary.from_characters(" abcde", lines=True)


def text_of(ids: list[int], vocabulary: Vocabulary = STREAM) -> str:
    return "".join(vocabulary.characters[id_] for id_ in ids)


def test_a_seed_of_known_characters_becomes_their_ids() -> None:
    assert text_of(encode_seed("abc\ned", STREAM)) == "abc\ned"


def test_a_line_begins_with_its_special_id() -> None:
    assert text_of(prefix_ids("ab", LINES), LINES) == "<bos>ab"
    assert text_of(prefix_ids("", LINES), LINES) == "<bos>"


@pytest.mark.parametrize(("chars", "expected"), [("xy\n z", "\n"), ("xy z", " "), ("zyx", "x")])
def test_a_stream_without_a_seed_begins_after_a_line_end_or_what_is_nearest_to_one(
    chars: str, expected: str
) -> None:
    vocabulary = Vocabulary.from_characters(chars, lines=False)
    assert text_of(prefix_ids("", vocabulary), vocabulary) == expected


@pytest.mark.parametrize(
    ("seed", "shown"),
    [
        ("abX", "'X' (U+0058 LATIN CAPITAL LETTER X), number 3 of the seed"),
        ("a\x1b[31m", "'\\x1b' (U+001B), number 2 of the seed"),
        ("\N{SNOWMAN}", "'\N{SNOWMAN}' (U+2603 SNOWMAN), number 1 of the seed"),
        ("a\udcff", "'\\udcff' (byte 0xFF, which is not UTF-8), number 2 of the seed"),
    ],
)
def test_an_unknown_character_is_named_with_code_point_place_and_option(
    seed: str, shown: str
) -> None:
    with pytest.raises(UserError) as caught:
        encode_seed(seed, STREAM)
    assert shown in caught.value.message
    assert "`unknown`" in caught.value.hint


def test_line_ends_of_windows_are_pointed_out() -> None:
    with pytest.raises(UserError, match=r"U\+000D") as caught:
        encode_seed("ab\r\n", STREAM)
    assert "`unknown` skip" in caught.value.hint
    assert text_of(encode_seed("ab\r\n", STREAM, "skip")) == "ab\n"


@pytest.mark.parametrize(
    ("unknown", "expected"), [("replace", "a<unk>b<unk>"), ("skip", "ab"), ("nearest", "aAba")]
)
def test_unknown_characters_are_read_as_the_option_says(unknown: Unknown, expected: str) -> None:
    assert text_of(encode_seed("aÄbà", STREAM, unknown)) == expected


@pytest.mark.parametrize(
    ("char", "expected"),
    [
        ("B", "b"),
        ("é", "e"),
        ("É", "E"),
        ("Ç", "c"),
        ("ﬀ", None),
        ("ẞ", "ß"),
        ("\N{LEFT DOUBLE QUOTATION MARK}", '"'),
        ("\N{RIGHT SINGLE QUOTATION MARK}", "'"),
        ("\N{HORIZONTAL ELLIPSIS}", "..."),
        ("\N{EM DASH}", "-"),
        ("\N{NO-BREAK SPACE}", " "),
        ("\N{FULLWIDTH LATIN SMALL LETTER A}", "a"),
        ("\N{GREEK SMALL LETTER ALPHA}", None),
    ],
)
def test_the_nearest_character_is_the_other_case_or_the_plainer_form(
    char: str, expected: str | None
) -> None:
    assert nearest_known(char, STREAM) == expected


def test_a_character_with_nothing_near_is_an_error_even_then() -> None:
    with pytest.raises(UserError, match="GREEK SMALL LETTER ALPHA"):
        encode_seed("aα", STREAM, "nearest")
