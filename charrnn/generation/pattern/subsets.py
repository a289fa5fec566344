"""A nondeterministic automaton followed deterministically, one set of its states at a time.

The subset construction, done lazily: a `State` stands for all states of the automaton that the text
so far can be in, and its successors are worked out when they are first asked for. What is kept has
a limit; beyond it everything is forgotten and worked out again where needed, so a pattern with
astronomically many sets costs time and never memory.
"""

from charrnn.generation.pattern.alphabet import set_bits
from charrnn.generation.pattern.automaton import Automaton

MAX_KEPT = 1_000_000
"""Most words of memory, roughly, that the kept states may take."""


class State:
    """What a pattern knows of the text so far.

    Attributes:
        members: the automaton's states that the text can be in, as the set bits of an integer.
        accepting: whether the text matches the pattern in full.
        shortest: the least number of further characters to a match; None if there is no match.
    """

    __slots__ = ("accepting", "branches", "farthest", "members", "moves", "shortest")

    def __init__(self, members: int, accepting: bool, shortest: int | None) -> None:
        self.members = members
        self.accepting = accepting
        self.shortest = shortest
        self.branches: tuple[Branch, ...] | None = None
        self.moves: dict[int, State] = {}
        self.farthest = 0


Branch = tuple[int, State]
"""A set of classes and the state that reading any of them leads to."""


class Subsets:
    """The deterministic form of an automaton, as far as it has been visited."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._accepting = sum(1 << q for q, accepts in enumerate(automaton.accepting) if accepts)
        self._states: dict[int, State] = {}
        self._expanded: list[State] = []
        self._kept = 0

    def state(self, members: int) -> State:
        """The state for a set of the automaton's states; 1 is the start, 0 has no match."""
        state = self._states.get(members)
        if state is None:
            state = self._states[members] = self._new_state(members)
            self._kept += 8 + members.bit_length() // 64
        return state

    def branches(self, state: State) -> tuple[Branch, ...]:
        """The successors of a state, each with all classes that lead to it.

        Works out, too, the state's `moves` by class and `farthest`: the least number of further
        characters, at most, that completes a match whatever character comes next.
        """
        if state.branches is None:
            return self._expand(state)
        return state.branches

    def _new_state(self, members: int) -> State:
        distances = [self._automaton.shortest[place] for place in set_bits(members)]
        known = [distance for distance in distances if distance is not None]
        return State(members, bool(members & self._accepting), min(known, default=None))

    def _expand(self, state: State) -> tuple[Branch, ...]:
        if self._kept > MAX_KEPT:
            self._forget()
        targets = self._targets(state)
        state.moves = {place: self.state(members) for place, members in targets.items()}
        state.branches = _grouped(state.moves)
        state.farthest = 1 + max((after.shortest or 0 for _, after in state.branches), default=-1)
        self._expanded.append(state)
        self._kept += len(state.moves)
        return state.branches

    def _targets(self, state: State) -> dict[int, int]:
        """For every class that can be read, the set of the automaton's states it leads to."""
        by_classes: dict[int, int] = {}
        for member in set_bits(state.members):
            for classes, target in self._automaton.moves[member]:
                by_classes[classes] = by_classes.get(classes, 0) | 1 << target
        targets: dict[int, int] = {}
        for classes, members in by_classes.items():
            for place in set_bits(classes):
                targets[place] = targets.get(place, 0) | members
        return targets

    def _forget(self) -> None:
        """Drop what is kept; states held elsewhere stay valid and are expanded again if needed."""
        for state in self._expanded:
            state.branches = None
            state.moves = {}
        self._expanded.clear()
        self._states.clear()
        self._kept = 0


def _grouped(moves: dict[int, State]) -> tuple[Branch, ...]:
    """The moves by class, those to the same state taken together."""
    classes_to: dict[int, int] = {}
    states = {state.members: state for state in moves.values()}
    for place, state in moves.items():
        classes_to[state.members] = classes_to.get(state.members, 0) | 1 << place
    return tuple((classes, states[members]) for members, classes in classes_to.items())
