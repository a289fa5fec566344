"""Bytes to text, whatever the chunks."""

import codecs
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.text.decoding import (
    canonical_encoding,
    composed,
    decoded,
    joined,
    whole_lines,
)
from tests.text.reference import lines_of

ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "utf-7",
    "ascii",
    "iso8859-1",
    "cp1252",
    "gb18030",
    "shift_jis",
    "iso2022_jp",
    "big5hkscs",
]


PLAIN = st.characters(
    exclude_categories=["Cs"], exclude_characters="\x1b"
)  # ISO 2022 escapes with ESC


def chunks_of(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def decode(content: bytes, encoding: str = "utf-8", errors: str = "strict", size: int = 3) -> str:
    chunks = chunks_of(content, size)
    return "".join(decoded(chunks, encoding=encoding, errors=errors, name="x.txt"))  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(PLAIN), size=st.integers(1, 9))
def test_chunks_decode_as_the_whole(encoding: str, text: str, size: int) -> None:
    content = text.encode(encoding, "ignore")
    expected = content.decode(encoding).removeprefix("\ufeff")
    assert decode(content, encoding, size=size) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "gb18030", "utf-16-le"])
@given(content=st.binary(), size=st.integers(1, 9))
def test_replacing_never_stops_and_does_not_depend_on_chunks(
    encoding: str, content: bytes, size: int
) -> None:
    expected = content.decode(encoding, "replace").removeprefix("\ufeff")
    assert decode(content, encoding, "replace", size) == expected


@given(st.binary(), st.integers(1, 9))
def test_the_first_bad_byte_is_named_whatever_the_chunks(content: bytes, size: int) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        with pytest.raises(UserError, match=rf"x\.txt: byte {error.start:,} "):
            decode(content, size=size)
    else:
        assert decode(content, size=size) == content.decode("utf-8").removeprefix("\ufeff")


def test_a_bad_byte_is_named_with_what_to_do() -> None:
    with pytest.raises(UserError) as caught:
        decode("Viele Grüße aus München, schöne Tage!\n".encode("latin-1") * 20, size=100)
    assert caught.value.message == "x.txt: byte 8 (0xfc) is not utf-8: invalid start byte"
    assert "data.encoding=cp1252" in caught.value.hint
    assert "errors=replace" in caught.value.hint
    assert caught.value.exit_code == 2


def test_text_that_ends_inside_a_character_is_refused() -> None:
    with pytest.raises(UserError, match=r"byte 1 \(0xc3\) is not utf-8: unexpected end"):
        decode(b"a\xc3")


def test_utf_16_without_the_mark_that_it_needs_is_refused() -> None:
    with pytest.raises(UserError, match=r"x\.txt: not utf-16|is not utf-16"):
        decode(b"\xd8\x00\xd8\x00", "utf-16")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_is_dropped(encoding: str) -> None:
    has_its_own = encoding in {"utf-8-sig", "utf-16", "utf-32"}  # Python writes it
    assert decode(("a" if has_its_own else "\ufeffa").encode(encoding), encoding, size=1) == "a"


def test_a_file_of_nothing_but_a_mark_is_empty() -> None:
    assert decode(codecs.BOM_UTF8) == ""


def test_a_mark_inside_the_text_stays() -> None:
    assert decode("a\ufeffb".encode()) == "a\ufeffb"


def test_line_ends_stay_as_they_are() -> None:
    text = "a\r\nb\rc\nd\u2028e\x85f\x0c"
    assert decode(text.encode()) == text


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("utf-8", "utf-8"), ("UTF8", "utf-8"), ("Latin-1", "iso8859-1"), ("cp65001", "utf-8")],
)
def test_an_encoding_has_one_name(name: str, canonical: str) -> None:
    assert canonical_encoding(name) == canonical


@pytest.mark.parametrize("name", ["utf-9", "", "\0", "base64", "rot13", "idna", "undefined", "é"])
def test_what_is_no_text_encoding_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"data\.encoding"):
        canonical_encoding(name)


def test_a_misspelt_encoding_is_told_a_near_one() -> None:
    with pytest.raises(UserError) as caught:
        canonical_encoding("latin-l")
    assert "latin" in caught.value.hint


# --- Several files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ([["a"], ["b"]], "a\nb"),
        ([["a\n"], ["b"]], "a\nb"),
        ([["a"], [], ["b"]], "a\nb"),
        ([[], ["a"], []], "a"),
        ([["a", "b"], ["c", "d"]], "ab\ncd"),
        ([["a"], ["\n"]], "a\n\n"),
    ],
)
def test_a_line_end_is_put_only_where_one_is_missing(files: list[list[str]], text: str) -> None:
    assert "".join(part for _, part in joined(files)) == text


def test_a_missing_line_end_belongs_to_the_file_that_lacks_it() -> None:
    assert list(joined([["a"], [], ["b", "c\n"], ["d"]])) == [
        (0, "a"),
        (0, "\n"),
        (2, "b"),
        (2, "c\n"),
        (3, "d"),
    ]


# --- Unicode -------------------------------------------------------------------------------------

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


def test_what_stands_before_a_line_end_is_passed_on_at_once() -> None:
    assert list(composed(iter(["ab", "c\nd", "e"]))) == ["abc\n", "de"]


# --- Lines --------------------------------------------------------------------------------------

# Texts in which line ends of every kind are frequent, in parts of any length.
PARTS = st.lists(st.text(st.sampled_from("ab\u20ac\r\n\n\x0b\x85\u2028"), max_size=6), max_size=8)


def kept_lines(parts: list[str]) -> list[str]:
    return [line for line in "".join(whole_lines(parts)).split("\n") if line]


@given(PARTS)
def test_lines_are_those_of_the_whole_text(parts: list[str]) -> None:
    assert kept_lines(parts) == lines_of("".join(parts))


@given(PARTS)
def test_every_part_is_whole_lines(parts: list[str]) -> None:
    assert all(part.endswith("\n") for part in whole_lines(parts))


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    assert kept_lines([f"a{separator}b\nc"]) == [f"a{separator}b", "c"]
