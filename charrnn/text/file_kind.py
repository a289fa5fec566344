"""What a file is by its first bytes: text, compressed text, or nothing that can be read as text.

A byte-order mark, the magic number of a compressed file and those of common documents cannot stand
at the beginning of a text, so what they say goes before any setting.
"""

import importlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from charrnn.errors import UserError
from charrnn.messages import reason

HEAD_BYTES = 4096
"""How much of the beginning of a file is looked at."""

COMPRESSED = {
    b"\x1f\x8b\x08": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
BZIP2_BLOCKS = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
"""What follows `BZh` and a digit: the first block, or the end of an empty file."""

FORMATS = (
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (such as doc or xls)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\0", "an SQLite database"),
)
ZIP, ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
ZIPPED = (
    (b"word/", "a Word document (docx)"),
    (b"xl/", "an Excel workbook (xlsx)"),
    (b"ppt/", "a PowerPoint presentation (pptx)"),
    (b"application/epub+zip", "an EPUB book"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file (such as odt)"),
)
"""What stands in the first bytes of a zip archive that is a document."""
TAR, TAR_PLACE = b"ustar", 257
OWN_PAGE = b'<meta name="generator" content="charrnn'
OWN_PLOT = b"<dc:title>charrnn</dc:title>"

BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\xef\xbb\xbf", "utf-8"),
)
FEWEST_UTF16_BYTES = 16
LARGEST_ALPHABET = 8
"""The most blocks of 256 characters that a text in an alphabet takes its characters from."""

SLICE_BYTES = 4096
"""So much is decompressed at a time: little, for each byte may become thousands."""
LARGEST_GROWTH = 500
"""The most that a text grows when it is decompressed, once it is more than `SMALL_BYTES`."""
SMALL_BYTES = 64 * 1024 * 1024


class NotTextError(UserError):
    """A file that is a document, an image, an archive, anything but text."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="save what is in it as plain text, and name that file")


def compression_of(head: bytes) -> str | None:
    """Return what a file that begins with `head` is compressed with; None if it is not."""
    for magic, name in COMPRESSED.items():
        if head.startswith(magic) and (name != "bzip2" or head[4:10] in BZIP2_BLOCKS):
            return name
    return None


def document_format(head: bytes) -> str | None:
    """Return what a file that begins with `head` is if it is a known format that is no text."""
    if head.startswith((ZIP, ZIP_END)):
        return next((name for mark, name in ZIPPED if mark in head), "a zip archive")
    if head[TAR_PLACE:].startswith(TAR):
        return "a tar archive"
    if OWN_PAGE in head:
        return "a page that charrnn made"
    if OWN_PLOT in head:
        return "a picture that charrnn made"
    return next((name for magic, name in FORMATS if head.startswith(magic)), None)


def unicode_encoding(head: bytes | bytearray) -> str | None:
    """Return the encoding that a byte-order mark names, or UTF-16 if zeros tell; else None."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    return _utf16_by_zeros(head)


def _utf16_by_zeros(head: bytes | bytearray) -> str | None:
    """Recognise UTF-16 of an alphabet: every second byte is one of few, zero often among them."""
    if len(head) < FEWEST_UTF16_BYTES:
        return None
    even, odd = head[::2], head[1::2]
    for encoding, low, high in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
        zeros = high.count(0)
        if zeros * 10 >= len(high) and not low.count(0) and len(set(high)) <= LARGEST_ALPHABET:
            return encoding
    return None


def decompressed(chunks: Iterable[bytes], compression: str, name: str) -> Iterator[bytes]:
    """Yield the content of a compressed file; `name` is the file's, for messages.

    Files put end to end (`cat a.gz b.gz`) are read as one.

    Raises:
        UserError: It is damaged or cut short, or grows out of all proportion, or what reads it is
            not installed.
    """
    begin, failures = _decompressor(compression, name)
    decompressor = begin()
    taken = made = 0
    for part in _slices(chunks):
        rest = part
        taken += len(part)
        while rest:
            if decompressor.eof:
                decompressor = begin()
            try:
                content = decompressor.decompress(rest)
            except failures as error:
                raise UserError(f"{name} is damaged {compression} data: {reason(error)}") from error
            made += len(content)
            _check_growth(taken, made, name)
            if content:
                yield content
            rest = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise UserError(f"{name} is {compression} data that is cut short")


def _check_growth(taken: int, made: int, name: str) -> None:
    if made > max(SMALL_BYTES, LARGEST_GROWTH * taken):
        raise UserError(
            f"{name} grows more than {LARGEST_GROWTH} times when it is decompressed",
            hint="if it is a text all the same, decompress it first",
        )


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), SLICE_BYTES):
            yield chunk[start : start + SLICE_BYTES]


def _decompressor(
    compression: str, name: str
) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """Return what makes a decompressor, and what that raises for damaged data."""
    if compression == "gzip":
        return lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), (zlib.error,)
    try:
        if compression == "zstd":
            return _zstd()
        module = importlib.import_module("lzma" if compression == "xz" else "bz2")
    except ImportError as error:
        raise UserError(
            f"{name} is compressed with {compression}, which this Python cannot read",
            hint="`pip install zstandard` teaches it, and so does Python 3.14"
            if compression == "zstd"
            else "decompress it, and name the file that comes out",
        ) from error
    if compression == "xz":
        return module.LZMADecompressor, (module.LZMAError,)
    return module.BZ2Decompressor, (OSError, ValueError)


def _zstd() -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """Take Python's own module, which 3.14 brought, or the package that was there before it."""
    if sys.version_info >= (3, 14):
        module = importlib.import_module("compression.zstd")
        return module.ZstdDecompressor, (module.ZstdError,)
    package = importlib.import_module("zstandard")
    return lambda: package.ZstdDecompressor().decompressobj(), (package.ZstdError,)
