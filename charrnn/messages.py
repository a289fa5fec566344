"""How values and names stand in a message: short, on one line, and harmless to a terminal.

They come from files and command lines that may be hostile. Values are written as YAML would write
them, so that the text "10" can be told from the number 10.
"""

import difflib
import json
from collections.abc import Iterable
from pathlib import Path

from charrnn.console import escape_controls, escaped

LONGEST_TEXT = 60
LONGEST_REASON = 200
LONGEST_NAME = 100
MOST_BITS = 256


def format_value(value: object) -> str:
    """Format a value: `0.5`, `null`, `the text "no"`, `the list ["a", 1]`."""
    if isinstance(value, str):
        return f"the text {quote(value)}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"a whole number of {value.bit_length():,} bits"
    text = one_line(shorten(json.dumps(value, ensure_ascii=False, default=str)))
    return f"the list {text}" if isinstance(value, list) else text


def quote(text: str) -> str:
    """Put text in quotation marks, shortened; what cannot be seen is escaped."""
    quoted = json.dumps(shorten(text), ensure_ascii=False)
    return "".join(char if char.isprintable() else escaped(char) for char in quoted)


def code_of(char: str) -> str:
    """The number of a character, `U+00E6`; of a byte that Python could not decode, the byte's."""
    byte = ord(char) - 0xDC00
    return (
        f"byte 0x{byte:02X}, which is not UTF-8" if 0x80 <= byte <= 0xFF else f"U+{ord(char):04X}"
    )


def format_name(name: str) -> str:
    """Format a key: bare, unless it could be misread or mislead."""
    if name and name == name.strip() and name.isprintable():
        return shorten(name)
    return quote(name)


def format_path(path: Path) -> str:
    """Format a path in full, its control characters visible."""
    return one_line(str(path))


def shell_word(value: object) -> str:
    """Write a path or a text as one word of a shell; what could act on a terminal is escaped."""
    import shlex

    text = str(value)
    if one_line(text) == text:
        return shlex.quote(text)
    return f"$'{''.join(map(_in_quotes, text))}'"


def _in_quotes(char: str) -> str:
    if one_line(char) != char:
        return f"\\U{ord(char):08x}"
    return f"\\{char}" if char in "\\'" else char


def reason(error: Exception) -> str:
    """Return what an exception says, short and on one line; it may quote from a hostile file."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(shorten(" ".join(text.split()), LONGEST_REASON))


def each_in_words(count: int) -> str:
    """What stands before the description of a network, of which there are so many."""
    return f"{count} networks, each " if count > 1 else ""


def join_words(words: Iterable[str], last: str = "or") -> str:
    """Join words as in a sentence: `a`, `a or b`, `a, b or c`."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that this one was probably meant to be, if there is any."""
    plain = name[:LONGEST_NAME].strip().casefold().replace("-", "_")
    matches = difflib.get_close_matches(plain, list(known), n=1)
    return matches[0] if matches else None


def byte_size(count: int) -> str:
    """Format a number of bytes in powers of ten: `25.3 GB`."""
    size = float(count)
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:,.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} PB"


def one_line(text: str) -> str:
    """Make everything visible in a text that could act on a terminal or begin a new line."""
    return escape_controls(text, keep=frozenset())


def shorten(text: str, most: int = LONGEST_TEXT) -> str:
    """Cut text off that is longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
