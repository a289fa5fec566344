"""Stop strings: the text ends where one of them is complete, and nothing beyond the cut is shown.

What could still become the beginning of a stop string is held back until it is certain to stay.
"""

from collections.abc import Sequence


class StopFinder:
    """Follows one text character by character and says what of it is certain to stay."""

    def __init__(self, stops: Sequence[str], *, keep: bool = False, min_length: int = 0) -> None:
        """Look for stop strings; `keep` leaves the one that is found in the text.

        A stop string that would leave fewer than `min_length` characters is text like any other.
        If several are complete at once, the longest counts.
        """
        self._longest_first = sorted(stops, key=len, reverse=True)
        self._beginnings = {stop[:size] for stop in stops for size in range(1, len(stop))}
        self._longest_beginning = max(map(len, stops), default=1) - 1
        self._keep = keep
        self._min_length = min_length
        self._released = 0
        self._held = ""
        self.found = False

    def feed(self, char: str) -> str:
        """Take the next character of the text; return what is now certain to stay."""
        self._held += char
        for stop in self._longest_first:
            if self._held.endswith(stop) and self._leaves_enough(stop):
                self.found = True
                return self._release(len(self._held) - (0 if self._keep else len(stop)))
        return self._release(len(self._held) - self._length_to_hold())

    def rest(self) -> str:
        """What was held back, when the text has ended for another reason."""
        return self._release(len(self._held))

    def _leaves_enough(self, stop: str) -> bool:
        length = self._released + len(self._held) - (0 if self._keep else len(stop))
        return length >= self._min_length

    def _length_to_hold(self) -> int:
        """The length of the longest end of the text that a stop string could begin with."""
        for size in range(min(len(self._held), self._longest_beginning), 0, -1):
            if self._held[-size:] in self._beginnings:
                return size
        return 0

    def _release(self, size: int) -> str:
        released, self._held = self._held[:size], self._held[size:]
        self._released += size
        return released
