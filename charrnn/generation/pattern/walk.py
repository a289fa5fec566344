"""Which ids may come next, and may the text end here.

An id is allowed if a match within the length limits can still be completed after it. So from the
start of a pattern that compiled, allowed ids lead to a match, however they are chosen: a walk along
them can only stand still where it may end.

Shapes: V vocabulary.
"""

from collections.abc import Iterable, Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.generation.pattern.alphabet import Alphabet
from charrnn.generation.pattern.automaton import Automaton, build_automaton
from charrnn.generation.pattern.countdown import Countdown
from charrnn.generation.pattern.subsets import State, Subsets
from charrnn.generation.pattern.syntax import Characters, Node, parse, walk
from charrnn.messages import quote

MAX_MASK_BYTES = 1 << 24
"""Most memory for the masks over the vocabulary that are kept."""

BoolArray = npt.NDArray[np.bool_]


class Pattern:
    """A regular expression that new text is held to, for one vocabulary and range of lengths.

    How text ends is the caller's choice between two rules: at `must_end` (go on while a longer
    match is possible), or anywhere that `may_end` is true (the model says where).
    """

    def __init__(
        self, automaton: Automaton, alphabet: Alphabet, min_length: int, max_length: int | None
    ) -> None:
        self._alphabet = alphabet
        self._min_length = min_length
        self._max_length = max_length
        self._subsets = Subsets(automaton)
        self._countdown = Countdown(automaton, min_length, max_length)
        self._class_of: list[int] = alphabet.class_of_V.tolist()
        self._masks: dict[int, BoolArray] = {}

    @classmethod
    def compile(
        cls,
        expression: str,
        characters: Sequence[str],
        usable: BoolArray,
        *,
        min_length: int = 0,
        max_length: int | None = None,
    ) -> "Pattern":
        """Prepare a regular expression for generation.

        Args:
            expression: in the dialect of Python's `re`; the whole text must match it.
            characters: the vocabulary's characters in id order.
            usable: (V,) the ids that may be generated at all. Special ids, whose names are not
                single characters, are never used.
            min_length: least number of characters of the text.
            max_length: greatest number of characters of the text; None without limit.

        Raises:
            UserError: the expression is invalid, not regular or too large, or no text of usable
                characters within the lengths matches it.
        """
        tree = parse(expression)
        alphabet = Alphabet(tree, characters, usable)
        automaton = build_automaton(tree, alphabet)
        if automaton.shortest[0] is None:
            _refuse_unwritable(expression, tree, alphabet)
        pattern = cls(automaton, alphabet, min_length, max_length)
        if not pattern._feasible():
            pattern._refuse_lengths(expression)
        return pattern

    @property
    def start(self) -> State:
        """The state of the empty text."""
        return self._subsets.state(1)

    def step(self, state: State, char_id: int) -> State:
        """The state after one more character; one that matches nothing if the id has no place."""
        self._subsets.branches(state)
        return state.moves.get(self._class_of[char_id]) or self._subsets.state(0)

    def follow(self, ids: Iterable[int]) -> State:
        """The state of a whole text."""
        state = self.start
        for char_id in ids:
            state = self.step(state, char_id)
        return state

    def allowed(self, state: State, produced: int) -> BoolArray:
        """The ids after which a match within the length limits can still be completed.

        Args:
            state: the state of the text so far.
            produced: the number of its characters.

        Returns:
            A read-only mask (V,), shared between calls.
        """
        return self._mask(self._open_classes(state, produced))

    def accepting(self, state: State) -> bool:
        """Whether the text so far matches in full, whatever its length."""
        return state.accepting

    def may_end(self, state: State, produced: int) -> bool:
        """Whether the text so far matches in full and has a permitted length."""
        in_time = self._max_length is None or produced <= self._max_length
        return state.accepting and self._min_length <= produced and in_time

    def must_end(self, state: State, produced: int) -> bool:
        """Whether no id is allowed. After allowed ids from the start, `may_end` is then true."""
        return not self._open_classes(state, produced)

    def shortest(self, state: State) -> int | None:
        """The least number of further characters to a match, None if there is none."""
        return state.shortest

    def _open_classes(self, state: State, produced: int) -> int:
        """The set of classes after which a match can still be completed within the limits."""
        branches = self._subsets.branches(state)
        if produced < self._min_length:
            alive = self._countdown.alive(self._min_length - produced - 1)
            return sum(classes for classes, after in branches if after.members & alive)
        if self._max_length is None or produced + state.farthest <= self._max_length:
            return sum(classes for classes, _ in branches)
        left = self._max_length - produced - 1
        return sum(classes for classes, after in branches if (after.shortest or 0) <= left)

    def _mask(self, classes: int) -> BoolArray:
        mask_V = self._masks.get(classes)
        if mask_V is None:
            if len(self._masks) * len(self._class_of) > MAX_MASK_BYTES:
                self._masks.clear()
            mask_V = self._masks[classes] = self._alphabet.ids(classes)
        return mask_V

    def _feasible(self) -> bool:
        """Whether a match within the length limits exists."""
        return self.may_end(self.start, 0) or not self.must_end(self.start, 0)

    def _refuse_lengths(self, expression: str) -> NoReturn:
        """Say why no match has a permitted length."""
        shortest = self.start.shortest or 0
        if self._max_length is not None and shortest > self._max_length:
            hint = f"the shortest match has {shortest:,} characters: raise --length"
        else:
            possible = self._countdown.longest(0, below=self._min_length)
            hint = f"a --min-length of {possible:,} is possible"
        lengths = _wording(self._min_length, self._max_length)
        raise UserError(
            f"no text that matches --match {quote(expression)} has {lengths} characters",
            hint=hint,
        )


def _wording(least: int, most: int | None) -> str:
    """A range of lengths in words."""
    if most is None:
        return f"{least:,} or more"
    if least == most:
        return f"exactly {least:,}"
    return f"between {least:,} and {most:,}" if least else f"at most {most:,}"


def _refuse_unwritable(expression: str, tree: Node, alphabet: Alphabet) -> NoReturn:
    """Say which parts of the expression the usable characters cannot write."""
    written = dict.fromkeys(node for node in walk(tree) if isinstance(node, Characters))
    missing = [part.source for part in written if not alphabet.classes(part)]
    hint = "the parts of the expression contradict each other"
    if missing:
        shown = ", ".join(quote(source) for source in missing[:5])
        hint = f"no character that may be generated matches {shown}"
    raise UserError(f"no text at all can match --match {quote(expression)}", hint=hint)
