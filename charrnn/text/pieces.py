"""The text in pieces: code points, and in lines mode where the lines among them end.

Every pass over a corpus reads it as pieces. A piece ends wherever the reading happened to stop,
and nothing may depend on where that was. What the split counts are a text's *units*: its
characters in stream mode, its lines in lines mode.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from charrnn.text.code_points import CodePoints, code_points_of

Mode = Literal["stream", "lines"]
Places = npt.NDArray[np.int64]

FEWEST_UNITS: dict[Mode, int] = {"stream": 2, "lines": 1}
"""What a split needs. A stream's first character is only context, so one more must follow."""

NEWLINE = ord("\n")
RETURN = ord("\r")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some characters of the text, one after the other.

    In lines mode `ends` has one entry for each line that ends in this piece: the number of the
    piece's characters that stand before its end. Line ends themselves are not characters of the
    text. In stream mode `ends` is None.
    """

    points: CodePoints
    ends: Places | None = None
    empty_lines: int = 0
    """Lines that end in this piece, were left out of it, and count nowhere."""

    @property
    def units(self) -> int:
        """The characters in this piece, or in lines mode the lines that end in it."""
        return len(self.points) if self.ends is None else len(self.ends)

    def units_before(self, places: Places) -> Places:
        """Return how many of this piece's units end before each of these characters."""
        return places if self.ends is None else np.searchsorted(self.ends, places, side="right")

    def cut_after(self, units: int) -> tuple["Piece", "Piece"]:
        """Cut into the part that holds the first `units` units and the part with the rest."""
        if self.ends is None:
            return Piece(self.points[:units]), Piece(self.points[units:])
        place = int(self.ends[units - 1]) if units else 0
        return (
            Piece(self.points[:place], self.ends[:units]),
            Piece(self.points[place:], self.ends[units:] - place),
        )


def pieces_of(texts: Iterable[str], mode: Mode) -> Iterator[Piece]:
    """Yield the pieces of a text that arrives in parts."""
    if mode == "lines":
        return LineCutter().pieces(texts)
    return (Piece(code_points_of(text)) for text in texts)


class LineCutter:
    r"""Cuts text into lines: at ``\n`` only, one ``\r`` before it dropped, empty lines skipped."""

    def __init__(self) -> None:
        self._line_has_begun = False
        self._held = ""  # a "\r" whose next character has not been seen yet

    def pieces(self, texts: Iterable[str]) -> Iterator[Piece]:
        """Yield the text's lines; the last one ends with the text, if not before."""
        for text in texts:
            whole = self._held + text
            self._held = "\r" if whole.endswith("\r") else ""
            yield self._cut(code_points_of(whole.removesuffix("\r")))
        if self._line_has_begun or self._held:
            yield self._cut(np.array([NEWLINE], np.uint8))

    def _cut(self, points: CodePoints) -> Piece:
        is_kept = points != NEWLINE
        newlines = np.flatnonzero(~is_kept)
        after_return = (points[newlines - 1] == RETURN) & (newlines > 0)
        is_kept[newlines[after_return] - 1] = False
        kept = points[is_kept]
        ends = newlines - np.arange(len(newlines)) - np.cumsum(after_return)
        has_characters = np.diff(ends, prepend=0) > 0
        has_characters[:1] |= self._line_has_begun
        self._line_has_begun = (
            len(kept) > ends[-1] if len(ends) else self._line_has_begun or len(kept) > 0
        )
        return Piece(kept, ends[has_characters], len(ends) - int(np.count_nonzero(has_characters)))
