"""One text in the making: what may come next, what of it is certain to stay, and when it has ended.

A draft knows nothing of networks or random numbers. It is asked which ids are allowed, is told
which one was drawn, and answers with the text that has become certain.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from charrnn.generation.rules import Rules
from charrnn.generation.stop_strings import StopFinder

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
        self._constraint = rules.constraint.begin() if rules.constraint else None
        self._stops = (
            StopFinder(options.stop, keep=options.keep_stop, min_length=options.min_length)
            if options.stop
            else None
        )
        self.made = 0
        """How many characters were drawn."""
        self.ended_by: End | None = None
        """Why the text has ended; None while it goes on."""
        if self._constraint and self._constraint.is_complete:
            self.ended_by = "match"

    def allowed(self) -> BoolArray | None:
        """The ids that may come next, (V,); None if that is every id that is ever drawn."""
        if self._constraint:
            return self._constraint.allowed()
        if self.made < self._min_length:
            return self._rules.goes_on_V
        return self._rules.usable_V

    def take(self, id_: int) -> str:
        """Go on with a drawn id; return the text that is certain to stay from now on."""
        if id_ == self._rules.eos_id:
            return self._end("line")
        if self._constraint and not self._constraint.take(id_):
            return self._end("match")
        self.made += 1
        char = self._characters[id_]
        if self._stops:
            char = self._stops.feed(char)
            if self._stops.found:
                return char + self._end("stop")
        if self._constraint and self._constraint.is_complete:
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
