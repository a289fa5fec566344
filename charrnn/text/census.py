"""Which characters belong to the vocabulary: those seen often enough, early enough.

The vocabulary comes from the training part alone, and where that part ends is known only when
the whole text has been read. So the census notes for every character *when* it had been seen
`min_count` times: it is in the vocabulary if that was before the split. A character that has
been settled so need not be looked at again, which makes the census of a long text cheap: nearly
every piece holds nothing but settled characters.
"""

import numpy as np

from charrnn.text.code_points import CODE_POINTS, CodePoints
from charrnn.text.pieces import Piece, Places


class Census:
    """Counts the characters of a text, piece by piece, until each has been settled."""

    def __init__(self, min_count: int) -> None:
        self.units = 0
        self.characters = 0
        self._min_count = min_count
        self._seen = np.zeros(CODE_POINTS, np.int64)
        self._settled_in = np.zeros(CODE_POINTS, np.int64)  # the unit in which it happened
        self._is_settled = np.zeros(CODE_POINTS, np.bool_)
        self._settled_bytes = b""

    def add(self, piece: Piece) -> None:
        """Count the next piece of the text."""
        places = self._unsettled_places(piece.points)
        if len(places):
            self._count(piece, places)
        self.characters += len(piece.points)
        self.units += piece.units

    def distinct(self) -> int:
        """Return the number of different characters seen."""
        return int(np.count_nonzero(self._seen))

    def settled_before(self, unit: int) -> list[str]:
        """Return, sorted, the characters seen `min_count` times in the first `unit` units."""
        chosen = self._is_settled & (self._settled_in < unit)
        return [chr(code_point) for code_point in np.flatnonzero(chosen)]

    def _unsettled_places(self, points: CodePoints) -> Places:
        if points.dtype == np.uint8 and not points.tobytes().translate(None, self._settled_bytes):
            return np.empty(0, np.int64)
        return np.flatnonzero(~np.take(self._is_settled, points))

    def _count(self, piece: Piece, places: Places) -> None:
        """Count the characters at these places, and settle those that have become many enough."""
        order = np.argsort(piece.points[places], kind="stable")
        places = places[order]  # now grouped by character, and in the text's order in each group
        chars, firsts, counts = np.unique(
            piece.points[places], return_index=True, return_counts=True
        )
        wanting = self._min_count - self._seen[chars]
        self._seen[chars] += counts
        settled = counts >= wanting
        self._settle(chars[settled], piece, places[firsts[settled] + wanting[settled] - 1])

    def _settle(self, chars: CodePoints, piece: Piece, places: Places) -> None:
        self._is_settled[chars] = True
        self._settled_in[chars] = self.units + piece.units_before(places)
        self._settled_bytes = bytes(np.flatnonzero(self._is_settled[:256]).tolist())
