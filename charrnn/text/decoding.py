"""From bytes to text, a chunk at a time: encodings, byte-order marks, files end to end, NFC, lines.

Whatever the size of the chunks, the text is the one that decoding all of a file at once gives.
Line ends are kept as they are. A fault is named by file and byte.
"""

import codecs
import encodings.aliases
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from charrnn.errors import UserError
from charrnn.messages import nearest, quote

ErrorHandling = Literal["strict", "replace"]

BYTE_ORDER_MARK = "\ufeff"
NOT_FOR_FILES = frozenset({"idna", "punycode", "undefined"})
"""Codecs for single words, and the one that always fails."""


def canonical_encoding(name: str) -> str:
    """Return Python's own name of a text encoding: `utf-8` for `UTF8`.

    Raises:
        UserError: There is no such encoding, or it does not make text of bytes.
    """
    try:
        info = codecs.lookup(name)
        b"a".decode(name)  # refuses a codec such as base64, which is none for text
    except UnicodeDecodeError:
        pass  # one letter is not a whole text in every encoding
    except (LookupError, ValueError) as error:
        raise _unknown_encoding(name) from error
    if info.name in NOT_FOR_FILES or info.incrementaldecoder is None:
        raise _unknown_encoding(name)
    return info.name


def decoded(
    chunks: Iterable[bytes], *, encoding: str, errors: ErrorHandling, name: str
) -> Iterator[str]:
    """Yield the text of one file, without its byte-order mark.

    Args:
        chunks: The file's bytes, cut anywhere; none is empty.
        encoding: As `canonical_encoding` gives it.
        errors: `strict` stops at what does not decode, `replace` puts U+FFFD in its place.
        name: The file's name, for messages.

    Raises:
        UserError: Naming the first byte that does not decode.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    offset, at_start = 0, True
    try:
        for chunk in chain(chunks, [b""]):
            offset += len(chunk)
            text = decoder.decode(chunk, final=not chunk)
            if text and at_start:
                text, at_start = text.removeprefix(BYTE_ORDER_MARK), False
            if text:
                yield text
    except UnicodeError as error:
        raise _undecodable(error, offset, encoding, name) from error


def joined(files: Iterable[Iterable[str]]) -> Iterator[tuple[int, str]]:
    """Put files end to end; yields parts of the text, each with the number of its file.

    Where a file has no line end at its end and another one follows, it is given one.
    """
    last_file, last = 0, "\n"
    for number, texts in enumerate(files):
        at_start = True
        for text in texts:
            if at_start and last != "\n":
                yield last_file, "\n"
            yield number, text
            at_start, last_file, last = False, number, text[-1]


def up_to_line_ends(texts: Iterable[str]) -> Iterator[str]:
    r"""Yield the same text in parts that end with ``\n``, all but the last."""
    held: list[str] = []
    for text in texts:
        lines, newline, beginning = text.rpartition("\n")
        if newline:
            yield "".join([*held, lines, newline])
            held = []
        held.append(beginning)
    if rest := "".join(held):
        yield rest


def composed(texts: Iterable[str]) -> Iterator[str]:
    """Yield the NFC form of `texts`: normalisation never moves anything over a line end."""
    return (unicodedata.normalize("NFC", text) for text in up_to_line_ends(texts))


def whole_lines(texts: Iterable[str]) -> Iterator[str]:
    r"""Yield parts of the text that are whole lines, each ended by ``\n``, the last one too.

    Only ``\n`` ends a line; one ``\r`` before it is dropped.
    """
    for text in up_to_line_ends(texts):
        lines = text if text.endswith("\n") else text + "\n"
        yield lines.replace("\r\n", "\n")


def _undecodable(error: UnicodeError, offset: int, encoding: str, name: str) -> UserError:
    hint = (
        "name the text's own encoding (data.encoding, for example latin-1 or cp1252), "
        "or read on with data.errors=replace"
    )
    if not isinstance(error, UnicodeDecodeError):
        return UserError(f"{name}: not {encoding}: {error}", hint=hint)
    # The decoder saw the bytes up to `offset`, with what it had kept of the chunk before.
    position = offset - len(error.object) + error.start
    byte = error.object[error.start]
    return UserError(
        f"{name}: byte {position:,} (0x{byte:02x}) is not {encoding}: {error.reason}", hint=hint
    )


def _unknown_encoding(name: str) -> UserError:
    known = set(encodings.aliases.aliases) | set(encodings.aliases.aliases.values())
    near = nearest(name, known - NOT_FOR_FILES)
    return UserError(
        f"data.encoding: {quote(name)} is not a text encoding that Python knows",
        hint=f"did you mean {near}?" if near else "try utf-8, latin-1 or utf-16",
    )
