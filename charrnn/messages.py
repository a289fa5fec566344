"""How values and names stand in a message: short, on one line, and harmless to a terminal.

What is shown comes from files and command lines of anybody's making. It is quoted as YAML would
write it, so that the reader of a message can tell the text "10" from the number 10.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from charrnn.console import escape_controls

LONGEST_SHOWN = 60
LONGEST_REASON = 200
LONGEST_COMPARED = 100
MOST_BITS_SHOWN = 256
MOST_ITEMS_SHOWN = 3


def format_value(value: object) -> str:
    """A value as a message shows it: `0.5`, `null`, `the text "no"`, `the list ["a", 1]`."""
    if isinstance(value, str):
        return f"the text {quote(value)}"
    if isinstance(value, list | tuple):
        return f"the list [{', '.join(_items(value))}]" if value else "an empty list"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, int) and value.bit_length() > MOST_BITS_SHOWN:
        return f"a whole number of {value.bit_length():,} bits"
    return one_line(_shortened(json.dumps(value, default=str)))


def _items(values: Sequence[object]) -> Iterator[str]:
    for value in values[:MOST_ITEMS_SHOWN]:
        yield quote(value) if isinstance(value, str) else format_value(value)
    if len(values) > MOST_ITEMS_SHOWN:
        yield "…"


def quote(text: str) -> str:
    """Text in quotation marks, shortened, its control characters visible."""
    return one_line(json.dumps(_shortened(text), ensure_ascii=False))


def format_name(name: str) -> str:
    """A key: bare, unless it could be misread or mislead."""
    if name and name == name.strip() and name.isprintable():
        return _shortened(name)
    return quote(name)


def format_path(path: Path) -> str:
    """A path in full, its control characters visible."""
    return one_line(str(path))


def reason(error: Exception) -> str:
    """What an exception says, which may quote from a file: short, on one line, harmless."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(_shortened(" ".join(text.split()), LONGEST_REASON))


def join_words(words: Iterable[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was probably meant to be, if there is any."""
    plain = name[:LONGEST_COMPARED].strip().casefold().replace("-", "_")
    matches = difflib.get_close_matches(plain, list(known), n=1)
    return matches[0] if matches else None


def byte_size(count: int) -> str:
    """A number of bytes for people, in powers of ten: `25.3 GB`."""
    size = float(count)
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:,.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} PB"


def one_line(text: str) -> str:
    """Text in full, with everything visible that could act on a terminal or begin a new line."""
    return escape_controls(text, keep=frozenset())


def _shortened(text: str, most: int = LONGEST_SHOWN) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
