r"""Where seeds come from: the command line, a file, stdin; one, or one a line.

stdin is read only when it is asked for, so that a pipe that was left open holds nothing up.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from charrnn.console import escape_controls
from charrnn.errors import RunFailedError, UserError

READ_BYTES = 1 << 16
LONGEST_LINE_BYTES = 1 << 24
LONGEST_SEED_BYTES = 1 << 26
"""Hours of reading for a network; a longer input is probably an endless device."""
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
STDIN = "-"

ESCAPE = re.compile(
    r"\\(?:u(?P<u>[0-9A-Fa-f]{4})|U(?P<U>[0-9A-Fa-f]{8})|x(?P<x>[0-9A-Fa-f]{2})|(?P<other>.?))",
    re.DOTALL,
)
SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "0": "\0"}


def read_seed(path: str) -> str:
    """The whole of a file as a seed, or of stdin for `-`.

    Raises:
        UserError: It cannot be read, is not text, or far too long.
    """
    descriptor, name, encoding = _open(path)
    data = bytearray()
    for piece in _pieces(descriptor, name):
        data += piece
        if len(data) > LONGEST_SEED_BYTES:
            raise UserError(
                f"{name} has more than {LONGEST_SEED_BYTES:,} bytes, too many for a seed",
                hint="a network remembers some hundred characters; give it the end of the text",
            )
    return _decoded(data, encoding, name).removeprefix(BYTE_ORDER_MARK)


def read_seeds(path: str) -> Iterator[str]:
    """The lines of a file, or of stdin for `-`, each without its end, as they come in.

    Raises:
        UserError: It cannot be read, or a line is not text or far too long.
    """
    descriptor, name, encoding = _open(path)
    try:
        for number, line in enumerate(_split(descriptor, name), start=1):
            seed = _decoded(line, encoding, f"{name}, line {number:,}").removesuffix("\r")
            yield seed.removeprefix(BYTE_ORDER_MARK) if number == 1 else seed
    finally:
        if path != STDIN:
            os.close(descriptor)


def unescaped(text: str) -> str:
    r"""Text with its escapes read: \n \t \r \0 \\ \xHH \uHHHH \UHHHHHHHH.

    Raises:
        UserError: A backslash stands before something else.
    """
    return ESCAPE.sub(_unescape, text)


def _unescape(match: re.Match[str]) -> str:
    digits = match["u"] or match["U"] or match["x"]
    try:
        return chr(int(digits, 16)) if digits else SIMPLE_ESCAPES[match["other"]]
    except (KeyError, ValueError, OverflowError) as error:
        raise UserError(
            f"--escapes: {escape_controls(match[0], keep=frozenset())} is not an escape",
            hint=r"known are \n \t \r \0 \\ \xHH \uHHHH \UHHHHHHHH; \\ is a backslash",
        ) from error


def _open(path: str) -> tuple[int, str, str]:
    """A descriptor to read from, a name for messages, and an encoding."""
    if path != STDIN:
        try:
            return os.open(Path(path), os.O_RDONLY | os.O_CLOEXEC), path, "utf-8"
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if sys.stdin is None:
        raise RunFailedError("stdin is closed", hint="`-` reads the seed from stdin")
    return sys.stdin.fileno(), "stdin", sys.stdin.encoding or "utf-8"


def _split(descriptor: int, name: str) -> Iterator[bytes]:
    """The lines of a file, whatever the sizes of the pieces that it comes in."""
    rest = b""
    for piece in _pieces(descriptor, name):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > LONGEST_LINE_BYTES:
            raise UserError(f"{name} has a line of more than {LONGEST_LINE_BYTES:,} bytes")
    if rest:
        yield rest


def _pieces(descriptor: int, name: str) -> Iterator[bytes]:
    """What is in a file, piece by piece, as it comes in.

    Reads the descriptor itself: a buffered reader would wait for more than there is, and could
    not be left alone in the middle of a read when the process ends.
    """
    try:
        while piece := os.read(descriptor, READ_BYTES):
            yield piece
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror or error}") from error


def _decoded(data: bytes | bytearray, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} is not {encoding} text: byte {data[error.start]:#04x} at offset {error.start}",
            hint="`iconv` converts text from one encoding to another",
        ) from error
