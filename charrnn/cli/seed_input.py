r"""Where seeds come from: the command line, a file, stdin; one, or one a line.

stdin is read only when it is asked for, so that a pipe that was left open holds nothing up.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

from charrnn.errors import RunFailedError, UserError
from charrnn.files import expanded
from charrnn.messages import one_line, reason

READ_BYTES = 1 << 16
LONGEST_SEED_BYTES = 1 << 24
"""An hour of reading for a network; a longer input is probably an endless device."""
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
STDIN = "-"
UTF_8 = "utf-8"

ESCAPE = re.compile(
    r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[ntr0\\]|(?P<unknown>.?))", re.DOTALL
)


def read_seed(path: str, own_encoding: str | None = UTF_8) -> str:
    """The whole of a file as a seed, or of stdin for `-`.

    What is not UTF-8 is taken to be in `own_encoding`, that of the text which the model learned;
    None is binary data, of which each byte is the character of its number.

    Raises:
        UserError: It cannot be read, is not text, or far too long.
    """
    data = bytearray()
    for piece in _pieces(path):
        data += piece
        _check_length(data, _name(path))
    return _decoded(data, path, own_encoding).removeprefix(BYTE_ORDER_MARK)


def read_seeds(
    path: str, own_encoding: str | None = UTF_8, *, escapes: bool = False
) -> Iterator[str | UserError]:
    """The lines of a file, or of stdin for `-`, each without its end, as they come in.

    `own_encoding` as for `read_seed`. In the place of a line that is not text, or has a wrong
    escape, comes the error.

    Raises:
        UserError: It cannot be read, or a line is far too long.
    """
    for number, line in enumerate(_lines(path), start=1):
        yield _seed_of(line, path, own_encoding, number, escapes=escapes)


def _seed_of(
    line: bytes, path: str, own_encoding: str | None, number: int, *, escapes: bool
) -> str | UserError:
    try:
        seed = _decoded(line, path, own_encoding, f", line {number:,}").removesuffix("\r")
        seed = seed.removeprefix(BYTE_ORDER_MARK) if number == 1 else seed
        return unescaped(seed) if escapes else seed
    except UserError as error:
        return error


def unescaped(text: str) -> str:
    r"""Text with its escapes read: \n \t \r \0 \\ \xHH \uHHHH \UHHHHHHHH.

    Raises:
        UserError: A backslash stands before something else.
    """
    return ESCAPE.sub(_unescape, text)


def _unescape(match: re.Match[str]) -> str:
    try:
        if match["unknown"] is None:
            return match[0].encode("ascii").decode("unicode_escape")
    except UnicodeDecodeError:
        pass
    raise UserError(
        f"--escapes: {one_line(match[0])} is not an escape",
        hint=r"known are \n \t \r \0 \\ \xHH \uHHHH \UHHHHHHHH; \\ is a backslash",
    )


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a file, whatever the sizes of the pieces that it comes in."""
    rest = b""
    for piece in _pieces(path):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        _check_length(rest, f"a line of {_name(path)}")
    if rest:
        yield rest


def _pieces(path: str) -> Iterator[bytes]:
    """What is in a file, or in stdin for `-`, piece by piece, as it comes in.

    Reads the descriptor itself: a buffered reader would wait for more than there is, and could
    not be left alone in the middle of a read when the process ends.
    """
    if path == STDIN and sys.stdin is None:
        raise RunFailedError("stdin is closed", hint="`-` reads the seed from stdin")
    try:
        with open(
            0 if path == STDIN else expanded(path), "rb", buffering=0, closefd=path != STDIN
        ) as file:
            while piece := os.read(file.fileno(), READ_BYTES):
                yield piece
    except OSError as error:
        raise UserError(f"cannot read {_name(path)}: {reason(error)}") from error


def _check_length(data: bytes | bytearray, name: str) -> None:
    if len(data) > LONGEST_SEED_BYTES:
        raise UserError(
            f"{name} has more than {LONGEST_SEED_BYTES:,} bytes, too many for a seed",
            hint="a network remembers some hundred characters; give it the end of the text",
        )


def _decoded(data: bytes | bytearray, path: str, own_encoding: str | None, place: str = "") -> str:
    if own_encoding is None:
        return data.decode("latin-1")
    encoding = sys.stdin.encoding if path == STDIN else UTF_8
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        from charrnn.text.file_kind import compression_of, document_format, unicode_encoding

        if kind := compression_of(bytes(data)) or document_format(bytes(data)):
            raise UserError(
                f"{_name(path)} is {kind}, not text", hint="save what is in it as plain text"
            ) from None
        with suppress(UnicodeError, LookupError):
            return data.decode(unicode_encoding(data) or own_encoding)
        byte = f"byte {data[error.start]:#04x} at offset {error.start}"
        raise UserError(
            f"{_name(path)}{place} is not {encoding} text: {byte}",
            hint="`iconv` converts text from one encoding to another",
        ) from error


def _name(path: str) -> str:
    return "stdin" if path == STDIN else path
