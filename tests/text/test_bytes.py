"""Bytes as the units of a text: every byte of every file is an id, and comes back as it was."""

import gzip
import itertools
import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.config.load import parse_config
from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.text import prepare as preparing
from charrnn.text import sources
from charrnn.text.corpus import Corpus, Split, open_corpus
from charrnn.text.file_kind import compression_of
from charrnn.text.prepare import prepare
from charrnn.text.prepared_source import with_prepared_options
from charrnn.text.vocabulary import Vocabulary

ALL_BYTES = bytes(range(256))
FILES = st.lists(
    st.binary(max_size=30).filter(lambda content: compression_of(content) is None)
    | st.text(max_size=12).map(lambda text: text.encode("utf-8", "replace"))
    | st.sampled_from([b"\xef\xbb\xbfa\r\nb\n", b"\xff\xfea\0b\0", b"%PDF-1.7", ALL_BYTES]),
    min_size=1,
    max_size=3,
)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(content: bytes = ALL_BYTES * 4, **options: Any) -> Corpus:
    Path("file").write_bytes(content)
    return prepare(DataConfig(source="file", unit="byte", **options)).corpus


def bytes_of(split: Split, made: Corpus) -> bytes:
    return made.vocabulary.decode(split.ids).encode("latin-1")


def lines_of(split: Split, made: Corpus) -> list[bytes]:
    assert split.starts is not None
    whole = bytes_of(split, made)
    return [whole[begin:end] for begin, end in itertools.pairwise(split.starts.tolist())]


def is_utf8(content: bytes) -> bool:
    """Whether all of it decodes, or all but a character that is cut off at the end."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


@settings(max_examples=40)
@given(files=FILES, has_lines=st.booleans(), size=st.integers(1, 20))
def test_every_byte_of_every_file_comes_back(
    files: list[bytes], has_lines: bool, size: int
) -> None:
    lines = [line for content in files for line in content.split(b"\n") if line]
    mode: Literal["lines", "stream"] = "lines" if has_lines else "stream"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as changes:
        changes.enter_context(patch.object(sources, "CHUNK_BYTES", size))
        changes.enter_context(patch.object(preparing, "BLOCK_IDS", size))
        changes.enter_context(patch.object(os, "fsync"))
        names = [str(Path(folder, str(number))) for number in range(len(files))]
        for name, content in zip(names, files, strict=True):
            Path(name).write_bytes(content)
        data = DataConfig(source=names, unit="byte", mode=mode, valid_fraction=0.5)
        try:
            made = prepare(data, out=Path(folder, "out")).corpus
        except UserError:
            assert len(lines) < 2 if has_lines else sum(map(len, files)) < 4
            return
        if has_lines:
            assert lines_of(made.train, made) + lines_of(made.valid, made) == lines
        else:
            assert bytes_of(made.train, made) + bytes_of(made.valid, made) == b"".join(files)
        assert made.vocabulary.is_utf8 == all(map(is_utf8, files))
        assert made.manifest.splits.valid.unknown == 0


def test_the_vocabulary_is_all_bytes_whatever_the_file_has() -> None:
    made = prepared(b"a" * 40)
    assert "".join(made.vocabulary.known).encode("latin-1") == ALL_BYTES
    assert (made.vocabulary.unit, made.vocabulary.is_utf8) == ("byte", True)
    assert Vocabulary.from_json(made.vocabulary.to_json(), source="x") == made.vocabulary


def test_what_is_compressed_is_read_as_the_bytes_in_it() -> None:
    made = prepared(gzip.compress(ALL_BYTES * 4))
    assert bytes_of(made.train, made) + bytes_of(made.valid, made) == ALL_BYTES * 4


def test_a_folder_is_read_whole_whatever_is_in_it() -> None:
    Path("folder").mkdir()
    files = {"a.png": b"\x89PNG\r\n\x1a\n", "b.txt": b"no line end", "c.zip": b"PK\x03\x04\0\xff"}
    for name, content in files.items():
        Path("folder", name).write_bytes(content)
    result = prepare(DataConfig(source="folder", unit="byte"))
    made = result.corpus
    assert bytes_of(made.train, made) + bytes_of(made.valid, made) == b"".join(files.values())
    assert result.left_out == ()


def test_what_is_built_in_is_read_as_bytes_too() -> None:
    made = prepare(DataConfig(source="builtin:names", unit="byte", mode="lines")).corpus
    assert made.vocabulary.is_utf8
    assert any(byte >= 0x80 for byte in bytes_of(made.train, made))


def test_a_separator_divides_by_its_bytes() -> None:
    content = "één→twee→drie→".encode()
    made = prepared(content, mode="examples", separator="→", valid_fraction=0.4)
    examples = [*lines_of(made.train, made), *lines_of(made.valid, made)]
    assert examples == ["één".encode(), b"twee", b"drie"]


# --- A split by size ----------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["byte", "character"])
def test_so_many_units_at_the_end_are_held_out(unit: Any) -> None:
    Path("file").write_text("ä" * 50, encoding="utf-8")
    made = prepare(DataConfig(source="file", unit=unit, valid_chars=7)).corpus
    total = 100 if unit == "byte" else 50
    assert (len(made.train.ids), len(made.valid.ids)) == (total - 7, 7)
    assert made.manifest.options.valid_chars == 7


@pytest.mark.parametrize("valid_chars", [1, 99, 100, 1000])
def test_a_split_that_leaves_too_little_is_refused(valid_chars: int) -> None:
    with pytest.raises(UserError, match="too short") as caught:
        prepared(b"a" * 100, valid_chars=valid_chars)
    assert caught.value.hint == "use a longer text, or another data.valid_chars"


@pytest.mark.parametrize(
    ("settings_of_data", "named"),
    [
        ({"unit": "byte", "encoding": "latin-1"}, "data.encoding"),
        ({"unit": "byte", "errors": "replace"}, "data.errors"),
        ({"unit": "byte", "normalize": "nfc"}, "data.normalize"),
        ({"unit": "byte", "min_count": 2}, "data.min_count"),
        ({"unit": "nibble"}, "data.unit"),
        ({"valid_chars": 5, "valid_fraction": 0.2}, "data.valid_chars"),
        ({"valid_chars": 5, "mode": "lines"}, "data.valid_chars"),
        ({"valid_chars": 5, "split": "blocks"}, "data.valid_chars"),
        ({"valid_chars": 5, "valid_source": "x"}, "data.valid_chars"),
        ({"valid_chars": 0}, "data.valid_chars"),
    ],
)
def test_settings_that_are_at_odds_are_refused_by_name(
    settings_of_data: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=f"{named}: "):
        parse_config({"data": settings_of_data}, source="x.yaml")


# --- A prepared text as the source --------------------------------------------------------------


def test_a_prepared_text_brings_its_unit_and_split_along() -> None:
    made = prepared(valid_chars=100)
    taken = with_prepared_options(DataConfig(source=str(made.path)))
    assert (taken.unit, taken.valid_chars) == ("byte", 100)
    assert prepare(taken).corpus.path == made.path


@pytest.mark.parametrize("other", [{"unit": "character"}, {"valid_chars": 5}])
def test_a_prepared_text_of_another_unit_or_split_is_refused(other: dict[str, Any]) -> None:
    data = DataConfig(source=str(prepared(valid_chars=100).path), **other)
    with pytest.raises(UserError, match="was prepared with data"):
        with_prepared_options(data, {f"data.{name}" for name in other})


# --- Files that were changed --------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "nibble"},
        {"unit": "character", "utf8": True},
        {"utf8": "yes"},
        {"characters": ["<pad>", "<unk>", "a"]},
        {"characters": ["<pad>", "<unk>", *map(chr, range(1, 257))]},
    ],
)
def test_a_vocabulary_of_bytes_that_was_changed_is_refused(change: dict[str, Any]) -> None:
    stored = prepared().vocabulary.to_json() | change
    with pytest.raises(UserError, match="damaged"):
        Vocabulary.from_json(stored, source="vocabulary.json")


def test_a_corpus_whose_files_disagree_about_the_unit_is_refused() -> None:
    path = prepared().path
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["options"]["unit"] = "character"
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="not the vocabulary"):
        open_corpus(path)


def test_characters_are_what_earlier_vocabularies_hold() -> None:
    stored = Vocabulary.from_characters("ab", lines=False).to_json()
    assert stored.keys() == {"format_version", "characters", "special_ids"}
    assert Vocabulary.from_json(stored, source="x").unit == "character"


def test_ids_of_text_in_latin_1_and_beyond_are_those_of_the_table() -> None:
    vocabulary = Vocabulary.from_characters("aé€\x80", lines=False)
    ids = [vocabulary.encode(text).tolist() for text in ("aéÿ\x80", "aé€\x80x")]
    at = {char: number for number, char in enumerate(vocabulary.characters)}
    assert ids == [[at["a"], at["é"], 1, at["\x80"]], [at["a"], at["é"], at["€"], at["\x80"], 1]]
    assert np.array_equal(vocabulary.encode(""), [])
