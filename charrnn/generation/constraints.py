"""Temporary: the old pattern engine behind the interface of constraints."""

from threading import Lock

from charrnn.generation.options import GenerationOptions
from charrnn.generation.pattern import Pattern
from charrnn.generation.sampling import BoolArray
from charrnn.text.vocabulary import Vocabulary


class Constraint:
    """A compiled pattern."""

    def __init__(
        self, options: GenerationOptions, vocabulary: Vocabulary, usable_V: BoolArray
    ) -> None:
        assert options.match is not None
        self.pattern = Pattern.compile(
            options.match,
            vocabulary.characters,
            usable_V,
            min_length=options.min_length,
            max_length=options.length or None,
        )
        self.eos_id = vocabulary.eos_id
        self.ending_V = None if usable_V[len(vocabulary.specials) :].all() else usable_V.copy()

    def begin(self) -> "State":
        """Begin a text."""
        return State(self)


class State:
    """A text's walk through a pattern."""

    _lock = Lock()

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._pattern = constraint.pattern
        self._state = self._pattern.start
        self._made = 0

    @property
    def is_complete(self) -> bool:
        """Whether the text matches and no longer one that begins with it could."""
        with self._lock:
            return self._pattern.must_end(self._state, self._made)

    def allowed(self) -> BoolArray | None:
        """The ids that may be drawn."""
        with self._lock:
            allowed_V = self._pattern.allowed(self._state, self._made)
        if not self._pattern.may_end(self._state, self._made):
            return allowed_V
        if self._constraint.eos_id is None:
            return self._constraint.ending_V
        ending_V = allowed_V.copy()
        ending_V[self._constraint.eos_id] = True
        return ending_V

    def take(self, id_: int) -> bool:
        """Go on with an id."""
        with self._lock:
            if not self._pattern.allowed(self._state, self._made)[id_]:
                return False
            self._state = self._pattern.step(self._state, id_)
        self._made += 1
        return True
