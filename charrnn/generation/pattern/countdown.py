"""Which states of an automaton can still reach the least length of a text, and end in time.

While fewer than the least number of characters are made, it is not enough that acceptance is near:
it must not come too early either. `Countdown` works backwards from the least length: a state is
alive with n characters to go if a move leads to a state that is alive with n - 1 to go. Seen as a
sequence over n, the sets of living states run into a cycle (most patterns: of length one), so few
are kept whatever the length. A set of states is an `int` whose bit q stands for state q.
"""

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.generation.pattern.automaton import Automaton

MAX_VISITS = 1_000_000_000
"""Most moves looked at in working backwards: a few seconds."""
MAX_BYTES = 1 << 26
"""Most memory for the sets that are kept."""
_BYTES_PER_SET = 160  # the integer, its place in a list and in a dictionary

BoolArray = npt.NDArray[np.bool_]


class Countdown:
    """The living states for every number of characters that are missing to the least length."""

    def __init__(self, automaton: Automaton, least: int, most: int | None) -> None:
        """Work backwards from texts of `least` characters that may grow to `most` (None: any).

        Raises:
            UserError: this takes too much time or memory.
        """
        self._backwards = _Backwards(automaton)
        living = _able_to_end(automaton, None if most is None else most - least)
        self._sets: list[int] = []
        self._cycle_start = 0
        self._run(living, least)

    def alive(self, missing: int) -> int:
        """The states alive with `missing` characters to go to the least length."""
        if missing >= len(self._sets):
            period = len(self._sets) - self._cycle_start
            missing = self._cycle_start + (missing - self._cycle_start) % period
        return self._sets[missing]

    def longest(self, state: int, below: int) -> int:
        """The greatest number of steps below `below` with which `state` is alive, or 0."""
        alive = (missing for missing in range(below - 1, 0, -1) if self.alive(missing) >> state & 1)
        return next(alive, 0)

    def _run(self, living: BoolArray, least: int) -> None:
        """Go back `least` steps or until a set comes again."""
        seen: dict[int, int] = {}
        for missing in range(least + 1):
            states = _as_bits(living)
            if states in seen:
                self._cycle_start = seen[states]
                return
            seen[states] = missing
            self._sets.append(states)
            self._refuse_endless()
            living = self._backwards.step(living)

    def _refuse_endless(self) -> None:
        kept = len(self._sets)
        visits = kept * self._backwards.moves
        size = kept * (_BYTES_PER_SET + self._backwards.states // 8)
        if visits > MAX_VISITS or size > MAX_BYTES:
            raise UserError(
                "--match with this --min-length takes too much time or memory",
                hint="lower --min-length or simplify the expression",
            )


class _Backwards:
    """The moves of an automaton, laid out to find the sources of a set of states at once."""

    def __init__(self, automaton: Automaton) -> None:
        targets = [[target for _, target in row] for row in automaton.moves]
        lengths = np.array([len(row) for row in targets], dtype=np.intp)
        self.states = len(targets)
        self.moves = int(lengths.sum())
        self._targets = np.array([state for row in targets for state in row], dtype=np.intp)
        self._sources = np.flatnonzero(lengths)
        self._starts = (np.cumsum(lengths) - lengths)[self._sources]

    def step(self, states: BoolArray) -> BoolArray:
        """The states from which a move leads into `states`."""
        before = np.zeros(self.states, dtype=np.bool_)
        if self.moves:
            before[self._sources] = np.logical_or.reduceat(states[self._targets], self._starts)
        return before


def _able_to_end(automaton: Automaton, limit: int | None) -> BoolArray:
    """The states from which acceptance is at most `limit` characters away."""
    return np.array(
        [
            distance is not None and (limit is None or distance <= limit)
            for distance in automaton.shortest
        ],
        dtype=np.bool_,
    )


def _as_bits(states: BoolArray) -> int:
    return int.from_bytes(np.packbits(states, bitorder="little").tobytes(), "little")
