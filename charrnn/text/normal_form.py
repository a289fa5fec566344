"""Unicode normalisation (NFC) of a text that arrives in parts, exactly as if it came whole.

A part can be normalised by itself only up to a character that never merges with what stands
before it; from the last such character on, the text is held back until the next part.

Python sorts the marks on a character by insertion, in a time that grows with the square of their
number: a megabyte of them would take hours. Long runs of marks are sorted here beforehand.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

LONGEST_LEFT_TO_PYTHON = 32
END_OF_MARKS = 0x20000
"""The planes of Unicode beyond the first two have no marks."""
HANGUL_VOWELS = frozenset(map(chr, range(0x1161, 0x1176)))
HANGUL_FINALS = frozenset(map(chr, range(0x11A8, 0x11C3)))


def composed(texts: Iterable[str]) -> Iterator[str]:
    """Yield the NFC form of `texts`, as if they had been joined before."""
    held = ""
    for text in texts:
        cut = _last_fresh_start(text)
        if cut is None:
            held += text
            continue
        if ready := held + text[:cut]:
            yield _nfc(ready)
        held = text[cut:]
    if held:
        yield _nfc(held)


def _nfc(text: str) -> str:
    if not text.isascii():
        text = _long_runs_of_marks().sub(_in_canonical_order, text)
    return unicodedata.normalize("NFC", text)


def _in_canonical_order(run: re.Match[str]) -> str:
    """Marks decomposed and stably sorted by their class, as any normalisation has them."""
    marks = "".join(unicodedata.normalize("NFD", mark) for mark in run[0])
    return "".join(sorted(marks, key=unicodedata.combining))


def _last_fresh_start(text: str) -> int | None:
    for index in range(len(text) - 1, -1, -1):
        if starts_afresh(text[index]):
            return index
    return None


def starts_afresh(char: str) -> bool:
    """Tell whether normalisation never moves or merges `char` with what stands before it.

    So it is when the first character of its decomposition is a starter (combining class 0, which
    canonical ordering never crosses) and second in no canonical pair (which composition joins).
    """
    if char.isascii():
        return True
    first = unicodedata.normalize("NFD", char)[0]
    return unicodedata.combining(first) == 0 and first not in _second_in_a_pair()


@cache
def _second_in_a_pair() -> frozenset[str]:
    """Every character that some canonical decomposition has in its second place."""
    seconds = set(HANGUL_VOWELS | HANGUL_FINALS)
    for code_point in range(0x80, sys.maxunicode + 1):
        # A canonical pair is two code points in hexadecimal; "<...>" marks a compatibility one.
        pair = unicodedata.decomposition(chr(code_point)).split()
        if len(pair) == 2 and not pair[0].startswith("<"):
            seconds.add(chr(int(pair[1], 16)))
    return frozenset(seconds)


@cache
def _long_runs_of_marks() -> re.Pattern[str]:
    """Characters in a row that canonical ordering may move past each other."""
    chars = map(chr, range(0x80, END_OF_MARKS))
    marks = "".join(char for char in chars if _is_mark(char))
    return re.compile(f"[{marks}]{{{LONGEST_LEFT_TO_PYTHON},}}")


def _is_mark(char: str) -> bool:
    """Tell whether the decomposition of `char` begins with a mark, or is one."""
    if unicodedata.combining(char):
        return True
    parts = unicodedata.decomposition(char).split()  # "<...>" marks a compatibility one
    return bool(parts) and parts[0][0] != "<" and _is_mark(chr(int(parts[0], 16)))
