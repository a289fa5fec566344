r"""What the anchors `^ $ \A \Z \b \B` demand of the two sides of the place where they stand."""

import re
from enum import IntEnum

from charrnn.generation.pattern.syntax import AnchorKind


class Kind(IntEnum):
    r"""All that an anchor can want to know of what stands before or after it.

    START stands before the first character, END behind the last one; FINAL_NEWLINE is a newline
    with nothing behind it, seen from before. ASCII_WORD is matched by `\w` with and without the
    flag `a`, UNICODE_WORD only without. The values are bits: several kinds add up to a set.
    """

    START = 1
    END = 2
    NEWLINE = 4
    FINAL_NEWLINE = 8
    ASCII_WORD = 16
    UNICODE_WORD = 32
    OTHER = 64


ANYTHING = sum(kind for kind in Kind if kind is not Kind.START)
"""All kinds that can stand after a place."""

LINE_ANCHORS = {AnchorKind.LINE_START, AnchorKind.LINE_END, AnchorKind.LAST_LINE_END}
"""The anchors that look for newlines."""
WORD_ANCHORS = {
    AnchorKind.BOUNDARY,
    AnchorKind.NO_BOUNDARY,
    AnchorKind.ASCII_BOUNDARY,
    AnchorKind.NO_ASCII_BOUNDARY,
}
"""The anchors that look for characters of words."""

_BEFORE = {
    AnchorKind.TEXT_START: Kind.START,
    AnchorKind.LINE_START: Kind.START | Kind.NEWLINE,
}
_AFTER = {
    AnchorKind.TEXT_END: Kind.END,
    AnchorKind.LAST_LINE_END: Kind.END | Kind.FINAL_NEWLINE,
    AnchorKind.LINE_END: Kind.END | Kind.FINAL_NEWLINE | Kind.NEWLINE,
}
_ASCII_ANCHORS = {AnchorKind.ASCII_BOUNDARY, AnchorKind.NO_ASCII_BOUNDARY}
# Python before 3.14 finds no place in the empty text where \B holds.
_NO_BOUNDARY_IN_EMPTY_TEXT = re.fullmatch(r"\B", "") is not None


def permitted_next(anchor: AnchorKind, before: Kind) -> int:
    """The kinds that may follow a place where `anchor` holds and `before` stands before it."""
    if anchor in _BEFORE:
        return ANYTHING if before & _BEFORE[anchor] else 0
    if anchor in _AFTER:
        return _AFTER[anchor]
    word = Kind.ASCII_WORD | (0 if anchor in _ASCII_ANCHORS else Kind.UNICODE_WORD)
    across_boundary = ANYTHING & ~word if before & word else word
    if anchor in (AnchorKind.BOUNDARY, AnchorKind.ASCII_BOUNDARY):
        return across_boundary
    in_empty_text = Kind.END if before == Kind.START and not _NO_BOUNDARY_IN_EMPTY_TEXT else 0
    return ANYTHING & ~across_boundary & ~in_empty_text


def permitted_after(kind: Kind, permitted: int) -> int:
    """The kinds that may follow a character of `kind` at a place where `permitted` kinds may stand.

    A newline that is permitted only as the final one may be followed by the end alone. (Where any
    newline may stand a final one may too: no anchor permits the first without the second.)
    """
    if permitted & kind:
        return ANYTHING
    if kind == Kind.NEWLINE and permitted & Kind.FINAL_NEWLINE:
        return Kind.END
    return 0
