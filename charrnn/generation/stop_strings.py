"""Stop strings: found in a text that comes character by character, and refused if none can be.

Imported when a generation has one.
"""

from charrnn.errors import UserError
from charrnn.generation.options import GenerationOptions
from charrnn.messages import code_of, quote
from charrnn.text.vocabulary import Vocabulary


def refuse_impossible_stops(options: GenerationOptions, vocabulary: Vocabulary) -> None:
    """Refuse a stop string that no text can have.

    Raises:
        UserError: The model does not know one of its characters, or `allow` or `ban` forbids it.
    """
    for stop in options.stop:
        for char in stop:
            if vocabulary.unknown_in(char):
                ends = char == "\n" and vocabulary.has_lines
                raise UserError(
                    f"`stop` {quote(stop)} cannot occur: "
                    f"the model does not know {quote(char)} ({code_of(char)})",
                    hint="leave it out: every line ends by itself"
                    if ends
                    else "a text ends only where the model writes the whole string",
                )
            is_allowed = options.allow is None or char in options.allow
            if char in options.ban or not is_allowed:
                raise UserError(
                    f"`stop` {quote(stop)} cannot occur: "
                    f"`allow` and `ban` leave no {quote(char)} to be written"
                )


class StopFinder:
    """Finds stop strings in a text that comes character by character.

    The text ends where one of them is complete, and nothing behind the cut is ever shown: what
    could still become the beginning of a stop string is held back until it is certain to stay.
    """

    def __init__(self, options: GenerationOptions) -> None:
        """Look for `stop`; with `keep_stop` the one that is found is left in the text.

        A stop string that would leave fewer than `min_length` characters is text like any other.
        If several are complete at once, the longest counts.
        """
        stops = options.stop
        self._longest_first = sorted(stops, key=len, reverse=True)
        self._beginnings = {stop[:size] for stop in stops for size in range(1, len(stop))}
        self._longest_beginning = max(map(len, stops), default=1) - 1
        self._keep = options.keep_stop
        self._min_length = options.min_length
        self._released = 0
        self._held = ""
        self.found = False

    def feed(self, char: str) -> str:
        """Take the next character of the text; return what is now certain to stay."""
        self._held += char
        for stop in self._longest_first:
            end = len(self._held) - (0 if self._keep else len(stop))
            if self._held.endswith(stop) and self._released + end >= self._min_length:
                self.found = True
                return self._release(end)
        return self._release(len(self._held) - self._length_to_hold())

    def rest(self) -> str:
        """Return what was held back, when the text has ended for another reason."""
        return self._release(len(self._held))

    def _length_to_hold(self) -> int:
        """The length of the longest end of the text that a stop string could begin with."""
        sizes = range(min(len(self._held), self._longest_beginning), 0, -1)
        return next((size for size in sizes if self._held[-size:] in self._beginnings), 0)

    def _release(self, size: int) -> str:
        released, self._held = self._held[:size], self._held[size:]
        self._released += size
        return released
