"""Texts read with a vocabulary that exists already."""

from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.text import sources
from charrnn.text.reading import read_text
from charrnn.text.vocabulary import Vocabulary
from tests.text.reference import lines_of


@pytest.mark.parametrize("lines", [False, True])
@given(text=st.text(st.sampled_from("abc\r\n\n\u20ac")), chunk=st.integers(1, 9))
def test_a_text_is_read_whole_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, lines: bool, text: str, chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "text.txt"
    path.write_bytes(text.encode())
    vocabulary = Vocabulary.from_characters("ab\r\n", lines=lines)
    with patch.object(sources, "CHUNK_BYTES", chunk):
        split = read_text([str(path)], DataConfig(), vocabulary)
    units = lines_of(text) if lines else list(text)
    assert split.ids.tolist() == vocabulary.encode("".join(units)).tolist()
    assert split.ids.dtype == vocabulary.id_type
    if lines:
        assert split.starts is not None
        lengths = [len(line) for line in units]
        assert split.starts.tolist() == [sum(lengths[:n]) for n in range(len(units) + 1)]
    else:
        assert split.starts is None


def test_the_text_is_decoded_as_the_models_own_text_was(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("e\u0301".encode("utf-16"))
    vocabulary = Vocabulary.from_characters("\u00e9", lines=False)
    data = DataConfig(encoding="utf-16", normalize="nfc")
    assert read_text([str(path)], data, vocabulary).ids.tolist() == [2]
    assert read_text([str(path)], DataConfig(), vocabulary).ids.tolist() == [1, 1]
    path.write_bytes("\u00e9".encode("latin-1"))
    with pytest.raises(UserError, match=r"text\.txt: byte 0 \(0xe9\) is not utf-8"):
        read_text([str(path)], DataConfig(), vocabulary)


def test_what_is_not_known_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcabd")
    told: list[str] = []
    vocabulary = Vocabulary.from_characters("ab", lines=False)
    read_text([str(path)], DataConfig(), vocabulary, unknown=told.extend)
    assert told == ["c", "d"]
