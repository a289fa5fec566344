"""Characters to ids and back, and the JSON that keeps them."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.text.vocabulary import Vocabulary, code_points_of

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS)


def stream(chars: str) -> Vocabulary:
    return Vocabulary.from_characters(chars, lines=False)


@given(TEXT, st.booleans())
def test_any_text_comes_back_from_the_ids_of_its_own_vocabulary(text: str, lines: bool) -> None:
    vocabulary = Vocabulary.from_characters(text, lines=lines)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(TEXT, TEXT)
def test_ids_are_those_of_the_usual_dictionary(known: str, text: str) -> None:
    vocabulary = stream(known)
    stoi = {char: id_ for id_, char in enumerate(vocabulary.characters)}
    assert vocabulary.encode(text).tolist() == [stoi.get(char, 1) for char in text]


@given(TEXT, TEXT)
def test_what_is_not_known_is_told_with_its_position(known: str, text: str) -> None:
    expected = [(index, char) for index, char in enumerate(text) if char not in known]
    assert stream(known).unknown_in(text) == expected


@given(TEXT)
def test_characters_stand_in_sorted_order_whatever_order_they_came_in(text: str) -> None:
    vocabulary = stream(text)
    assert list(vocabulary.characters[2:]) == sorted(set(text))
    assert stream(text[::-1]) == vocabulary


def test_special_ids_come_first_in_both_modes() -> None:
    stream_mode = Vocabulary.from_characters("a", lines=False)
    lines_mode = Vocabulary.from_characters("a", lines=True)
    assert stream_mode.characters == ("<pad>", "<unk>", "a")
    assert lines_mode.characters == ("<pad>", "<unk>", "<bos>", "<eos>", "a")
    assert (stream_mode.pad_id, stream_mode.unk_id, stream_mode.bos_id) == (0, 1, None)
    assert (lines_mode.bos_id, lines_mode.eos_id, stream_mode.eos_id) == (2, 3, None)


def test_a_text_can_spell_the_name_of_a_special_without_becoming_one() -> None:
    vocabulary = stream("<pad>")
    ids = vocabulary.encode("<pad>")
    assert vocabulary.pad_id not in ids
    assert vocabulary.decode(ids) == "<pad>"
    assert "<pad>" not in vocabulary
    assert "p" in vocabulary


def test_specials_decode_to_nothing_and_the_unknown_to_its_sign() -> None:
    vocabulary = Vocabulary.from_characters("ab", lines=True)
    assert vocabulary.decode(np.array([2, 4, 1, 5, 3, 0])) == "a\N{REPLACEMENT CHARACTER}b"


def test_an_id_beyond_the_vocabulary_is_not_decoded() -> None:
    with pytest.raises(IndexError):
        stream("ab").decode(np.array([4]))


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(2, "uint8"), (256, "uint8"), (257, "uint16"), (65_536, "uint16"), (65_537, "uint32")],
)
def test_ids_take_the_smallest_type_that_holds_them(size: int, dtype: str) -> None:
    vocabulary = stream("".join(map(chr, range(0x10000, 0x10000 + size - 2))))
    assert len(vocabulary) == size
    assert vocabulary.id_type == np.dtype(dtype)


@pytest.mark.parametrize("count", [254, 255])
def test_a_vocabulary_around_one_byte_round_trips(count: int) -> None:
    text = "".join(map(chr, range(count)))
    vocabulary = stream(text)
    assert vocabulary.encode(text).dtype == (np.uint8 if count == 254 else np.uint16)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_half_of_a_surrogate_pair_is_no_character() -> None:
    for half in ("\ud800", "\udfff"):
        with pytest.raises(ValueError, match="not a Unicode character"):
            stream(half)
    assert stream("\ud7ff\ue000").encode("\ud7ff\ue000").tolist() == [2, 3]
    assert stream("a").encode("a\ud800").tolist() == [2, 1]


# --- Code points --------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_code_points_are_those_that_python_counts(text: str) -> None:
    assert code_points_of(text).tolist() == [ord(char) for char in text]


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_takes_one_byte_a_character(text: str) -> None:
    assert code_points_of(text).dtype == np.uint8


def test_trailing_zeros_are_characters_like_any_other() -> None:
    assert code_points_of("\N{GREEK SMALL LETTER ALPHA}\0\0").tolist() == [0x3B1, 0, 0]


# --- JSON ---------------------------------------------------------------------------------------


@given(TEXT, st.booleans())
def test_json_keeps_everything(text: str, lines: bool) -> None:
    vocabulary = Vocabulary.from_characters(text, lines=lines)
    restored = json.loads(json.dumps(vocabulary.to_json()))
    assert Vocabulary.from_json(restored, source="vocabulary.json") == vocabulary


def test_json_is_what_the_run_directory_promises() -> None:
    assert Vocabulary.from_characters("ba", lines=True).to_json() == {
        "format_version": 1,
        "characters": ["<pad>", "<unk>", "<bos>", "<eos>", "a", "b"],
        "special_ids": {"pad": 0, "unk": 1, "bos": 2, "eos": 3},
    }


def changed(**changes: Any) -> dict[str, Any]:
    return {**stream("ab").to_json(), **changes}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "format version null"),
        (changed(format_version=2), "format version 2"),
        (changed(format_version=True), "format_version: expected int, got bool"),
        (changed(format_version="\x1b[2J" * 1000), "format version the text"),
        (changed(characters=None), "characters: expected array, got null"),
        (changed(characters=[]), "not the special ids"),
        (changed(characters=["<unk>", "<pad>"]), "not the special ids"),
        (changed(characters=["<pad>", "<unk>", "ab"]), "not a Unicode character"),
        (changed(characters=["<pad>", "<unk>", ""]), "not a Unicode character"),
        (changed(characters=["<pad>", "<unk>", 7]), "characters[2]: expected str, got int"),
        (changed(characters=["<pad>", "<unk>", ["a"]]), "characters[2]: expected str, got array"),
        (changed(characters=["<pad>", "<unk>", "\ud800"]), "not a Unicode character"),
        (changed(characters=["<pad>", "<unk>", "a", "<eos>"]), "not a Unicode character"),
        (changed(characters=["<pad>", "<unk>", "a", "a"]), "sorted order"),
        (changed(characters=["<pad>", "<unk>", "b", "a"]), "sorted order"),
        (changed(special_ids={"pad": 1, "unk": 0}), "not the special ids"),
        (changed(special_ids=None), "special_ids"),
    ],
)
def test_json_that_is_not_a_vocabulary_is_refused_by_name(data: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=r"runs/x/vocabulary\.json") as caught:
        Vocabulary.from_json(data, source="runs/x/vocabulary.json")
    assert told in caught.value.message
    assert caught.value.exit_code == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    )
)
def test_no_json_value_breaks_the_reader(value: object) -> None:
    for data in ({"format_version": value}, changed(characters=value), changed(special_ids=value)):
        try:
            assert isinstance(Vocabulary.from_json(data, source="x"), Vocabulary)
        except UserError:
            continue
