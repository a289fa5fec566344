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
from charrnn.messages import join_words, nearest, quote

ErrorHandling = Literal["strict", "replace"]

BYTE_ORDER_MARK = "\ufeff"
NOT_FOR_FILES = frozenset({"idna", "punycode", "undefined"})
"""Codecs for single words, and the one that always fails."""

LIKELY_ENCODINGS = (
    *("cp1252", "cp1251", "cp1250", "gb18030", "shift_jis", "euc_jp", "euc_kr", "big5"),
    *("koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp437"),
)
"""What a text that is not UTF-8 is usually in, the more frequent first."""
SAMPLE_BYTES = 4096
GUESS_TOLERANCE = 0.05
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
"""What no text has in an encoding of `LIKELY_ENCODINGS`."""


class UndecodableError(UserError):
    """Bytes that are no text in the encoding; `likely` names those that they probably are in."""

    def __init__(self, message: str, likely: list[str]) -> None:
        hint = (
            f"its bytes look like {join_words(likely)}: --set data.encoding={likely[0]} reads it"
            if likely
            else "is it a text? if so, name its own encoding with --set data.encoding"
        )
        super().__init__(message, hint=f"{hint}; --set data.errors=replace reads on")
        self.likely = likely


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


def numbered(files: Iterable[Iterable[str]]) -> Iterator[tuple[int, str]]:
    """Put files end to end as they are; yields what `joined` yields."""
    return ((number, text) for number, texts in enumerate(files) for text in texts)


class Utf8Check:
    """Sees whether bytes, each as the character of its number, are UTF-8, but for their ends.

    A file that was cut off at a size may end in the middle of a character.
    """

    is_utf8 = True

    def __call__(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the bytes of one file, and look at them."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        for text in texts:
            if self.is_utf8:
                try:
                    decoder.decode(text.encode("latin-1"))
                except UnicodeDecodeError:
                    self.is_utf8 = False
            yield text


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


def whole_lines(texts: Iterable[str], *, is_exact: bool = False) -> Iterator[str]:
    r"""Yield parts of the text that are whole lines, each ended by ``\n``, the last one too.

    Only ``\n`` ends a line; one ``\r`` before it is dropped, unless it has to be exact.
    """
    for text in up_to_line_ends(texts):
        lines = text if text.endswith("\n") else text + "\n"
        yield lines if is_exact else lines.replace("\r\n", "\n")


def _undecodable(error: UnicodeError, offset: int, encoding: str, name: str) -> UndecodableError:
    if not isinstance(error, UnicodeDecodeError):
        return UndecodableError(f"{name}: not {encoding}: {error}", [])
    # The decoder saw the bytes up to `offset`, with what it had kept of the chunk before.
    position = offset - len(error.object) + error.start
    byte = error.object[error.start]
    sample = error.object[max(0, error.start - SAMPLE_BYTES // 2) :][:SAMPLE_BYTES]
    return UndecodableError(
        f"{name}: byte {position:,} (0x{byte:02x}) is not {encoding}: {error.reason}",
        likely_encodings(bytes(sample)),
    )


def likely_encodings(sample: bytes) -> list[str]:
    """Guess which encodings a sample of a text is in, the likeliest first; perhaps none."""
    if any(control in sample for control in CONTROL_BYTES):
        return []
    from charset_normalizer import from_bytes

    found = list(from_bytes(sample, cp_isolation=list(LIKELY_ENCODINGS)))
    if not found:
        return []
    best = found[0]
    likely = {
        encoding
        for each in found
        if each.chaos <= best.chaos + GUESS_TOLERANCE
        and each.coherence >= best.coherence - GUESS_TOLERANCE
        for encoding in each.could_be_from_charset
    }
    return [each.replace("_", "-") for each in LIKELY_ENCODINGS if each in likely][:2]


def _unknown_encoding(name: str) -> UserError:
    known = set(encodings.aliases.aliases) | set(encodings.aliases.aliases.values())
    near = nearest(name, known - NOT_FOR_FILES)
    return UserError(
        f"data.encoding: {quote(name)} is not a text encoding that Python knows",
        hint=f"did you mean {near}?" if near else "try utf-8, latin-1 or utf-16",
    )
