"""Unicode normalisation (NFC) of a text that arrives in parts, exactly as if it came whole.

A part can be normalised by itself only up to a character that never merges with what stands
before it; from the last such character on, the text is held back until the next part.
"""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

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
            yield unicodedata.normalize("NFC", ready)
        held = text[cut:]
    if held:
        yield unicodedata.normalize("NFC", held)


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
