"""One text in the making: what may come next, what of it is certain to stay, and when it has ended.

A draft knows nothing of networks or random numbers. It is asked which ids are allowed, is told
which one was drawn, and answers with the text that has become certain.
"""

from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from charrnn.generation.rules import Rules
from charrnn.generation.stop_strings import StopFinder

if TYPE_CHECKING:
    from charrnn.generation.pattern import Pattern

BoolArray = npt.NDArray[np.bool_]
End = Literal["length", "stop", "line", "match", "interrupted"]
"""Why a text ended: enough characters; a stop string; the end of a line in lines mode; the end of
a match; or somebody pressed Ctrl-C."""


class Draft:
    """A text that follows the rules, character by character."""

    def __init__(self, rules: Rules) -> None:
        options = rules.options
        self._rules = rules
        self._characters = rules.characters
        self._length = options.length
        self._min_length = options.min_length
        self._match = Matching(rules, rules.pattern) if rules.pattern else None
        self._stops = (
            StopFinder(options.stop, keep=options.keep_stop, min_length=options.min_length)
            if options.stop
            else None
        )
        self.made = 0
        """How many characters were drawn."""
        self.ended_by: End | None = None
        """Why the text has ended; None while it goes on."""
        if self._match and self._match.is_complete:
            self.ended_by = "match"

    def allowed(self) -> BoolArray | None:
        """The ids that may come next, (V,); None if that is every id that is ever drawn."""
        if self._match:
            return self._match.allowed()
        if self.made < self._min_length:
            return self._rules.goes_on_V
        return self._rules.usable_V

    def take(self, id_: int) -> str:
        """Go on with a drawn id; return the text that is certain to stay from now on."""
        if id_ == self._rules.eos_id:
            return self._end("line")
        if self._match and not self._match.take(id_):
            return self._end("match")
        self.made += 1
        char = self._characters[id_]
        if self._stops:
            char = self._stops.feed(char)
            if self._stops.found:
                return char + self._end("stop")
        if self._match and self._match.is_complete:
            return char + self._end("match")
        if self.made == self._length:
            return char + self._end("length")
        return char

    def let_go(self) -> str:
        """What is held back as the possible beginning of a stop string, held back no longer."""
        return self._stops.rest() if self._stops else ""

    def _end(self, reason: End) -> str:
        """Note why the text ended; return what was held back and stays after all."""
        self.ended_by = reason
        return "" if reason == "stop" else self.let_go()


class Matching:
    """A draft's walk through a pattern.

    Where the text so far matches, it may end. In lines mode the model says whether it does, by
    <eos>. A stream has no such sign, so any character may be drawn there, and one that does not
    lead on in the pattern ends the text: it ends as probably as the model would leave the pattern.
    """

    # A pattern works things out when they are first asked for: one thread at a time.
    _lock = Lock()

    def __init__(self, rules: Rules, pattern: "Pattern") -> None:
        self._rules = rules
        self._pattern = pattern
        self._state = pattern.start
        self._made = 0

    @property
    def is_complete(self) -> bool:
        """Whether the text matches and no longer one that begins with it could."""
        with self._lock:
            return self._pattern.must_end(self._state, self._made)

    def allowed(self) -> BoolArray | None:
        """The ids that may be drawn, (V,), those among them that end the text."""
        with self._lock:
            allowed_V = self._pattern.allowed(self._state, self._made)
        if not self._pattern.may_end(self._state, self._made):
            return allowed_V
        if self._rules.eos_id is None:
            return self._rules.usable_V
        ending_V = allowed_V.copy()
        ending_V[self._rules.eos_id] = True
        return ending_V

    def take(self, id_: int) -> bool:
        """Go on with an id; False if it does not lead on in the pattern."""
        with self._lock:
            if not self._pattern.allowed(self._state, self._made)[id_]:
                return False
            self._state = self._pattern.step(self._state, id_)
        self._made += 1
        return True
