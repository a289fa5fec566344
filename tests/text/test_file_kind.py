"""What a file is by its first bytes: compressed, UTF-16, a document, a text."""

import bz2
import gzip
import io
import itertools
import lzma
import sys
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.text import file_kind
from charrnn.text.file_kind import (
    compression_of,
    decompressed,
    document_format,
    unicode_encoding,
)

ENGLISH = "Over all the hilltops there is quiet now.\n" * 5
ALPHABETS = {
    "english": ENGLISH,
    "french": "Été à la plage — naïve façade, œuvre “citée”…\n" * 5,
    "russian": "Все счастливые семьи похожи друг на друга.\n" * 5,
    "greek": "Μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος\n" * 5,
    "hebrew": "בראשית ברא אלהים את השמים ואת הארץ\n" * 5,
    "arabic": "بسم الله الرحمن الرحيم\n" * 5,
}


def zstd(content: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd as module

        return bytes(module.compress(content))
    return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(content))


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
}


def read(content: bytes, size: int = 7) -> bytes:
    compression = compression_of(content)
    assert compression is not None
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(decompressed(chunks, compression, "x"))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressed_bytes_are_known_and_come_back_whatever_the_chunks(name: str) -> None:
    for content in (b"", b"a", ENGLISH.encode() * 100):
        compressed = COMPRESSORS[name](content)
        assert compression_of(compressed) == name
        assert read(compressed) == read(compressed, 10**6) == content


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressed_files_put_end_to_end_are_one(name: str) -> None:
    compress = COMPRESSORS[name]
    assert read(compress(b"first, ") + compress(b"second")) == b"first, second"


@pytest.mark.parametrize("name", COMPRESSORS)
def test_what_is_cut_short_or_damaged_is_refused(name: str) -> None:
    whole = COMPRESSORS[name](ENGLISH.encode() * 100)
    with pytest.raises(UserError, match=f"x is {name} data that is cut short"):
        read(whole[:-5])
    with pytest.raises(UserError, match=f"x is damaged {name} data"):
        read(whole + b"this is no member")


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_small_file_that_becomes_a_huge_one_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_kind, "SMALL_BYTES", 1_000_000)
    bomb = COMPRESSORS[name](bytes(5_000_000))
    with pytest.raises(UserError, match="x grows more than 500 times"):
        read(bomb, 4096)
    assert read(COMPRESSORS[name](bytes(900_000))) == bytes(900_000)


@given(st.text())
@settings(max_examples=50)
def test_a_text_in_utf_8_is_never_taken_for_anything_else(text: str) -> None:
    content = text.encode()
    assert compression_of(content) is None
    assert document_format(content) is None or text.startswith(("%PDF-", "GIF8"))
    assert unicode_encoding(content) in {None, "utf-8"} or "\0" in text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("language", ALPHABETS)
def test_utf_16_of_an_alphabet_is_known_without_a_mark(language: str, encoding: str) -> None:
    assert unicode_encoding(ALPHABETS[language].encode(encoding)) == encoding


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_names_the_encoding(encoding: str) -> None:
    assert unicode_encoding("\ufeff水は流れる".encode(encoding)) == encoding


@pytest.mark.parametrize(
    "text",
    [
        "a\0b\0c",
        "notes.txt\0letters/one.txt\0diary.md\0" * 9,
        "\0" * 100,
        "column\0one\0two\0three\0" * 20,
        "水は低きに流れる。" * 20,
    ],
)
def test_nul_characters_in_a_text_do_not_make_it_utf_16(text: str) -> None:
    assert unicode_encoding(text.encode()) is None


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, "content")
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (archive("poems.txt"), "a zip archive"),
        (archive("[Content_Types].xml", "_rels/.rels", "word/document.xml"), "a Word document"),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
        (archive(), "a zip archive"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image"),
        (b"name".ljust(257, b"\0") + b"ustar\0", "a tar archive"),
        (b'<!doctype html>\n<meta name="generator" content="charrnn 1.0">', "a page that charrnn"),
        (b'<!doctype html>\n<meta name="generator" content="pandoc">', None),
        (b"Once upon a time", None),
        (b"", None),
    ],
    ids=itertools.count(),
)
def test_documents_are_known_by_name(head: bytes, name: str | None) -> None:
    found = document_format(head)
    assert found is None if name is None else found is not None and found.startswith(name)
