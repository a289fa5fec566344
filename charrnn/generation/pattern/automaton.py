r"""A pattern's tree as a nondeterministic automaton over classes of characters.

The graph of the tree, its hops removed. An anchor looks at the characters on both of its sides, so
a state of the automaton is a node of the graph together with the kind of the character just read
and the kinds that may come next (after a `$` has staked on a final newline: the end alone). That
makes `^ $ \A \Z \b \B` exact.
"""

from collections import deque
from dataclasses import dataclass

from charrnn.generation.pattern.alphabet import Alphabet
from charrnn.generation.pattern.anchors import ANYTHING, Kind, permitted_after
from charrnn.generation.pattern.graph import Graph
from charrnn.generation.pattern.syntax import Node

Move = tuple[int, int]
"""A set of classes (see `alphabet`) and the state that reading one of them leads to."""


@dataclass(frozen=True)
class Automaton:
    """A nondeterministic automaton that starts in state 0; texts it accepts match the pattern.

    Attributes:
        moves: for every state, the moves that can still lead to acceptance.
        accepting: for every state, whether the text so far matches.
        shortest: for every state, the least number of further characters to an accepting state;
            None where there is none.
    """

    moves: list[list[Move]]
    accepting: list[bool]
    shortest: list[int | None]


def build_automaton(tree: Node, alphabet: Alphabet) -> Automaton:
    """The automaton that accepts exactly the texts of usable characters that match in full.

    Raises:
        UserError: the pattern is too large, or a possessive repeat in it matches fewer texts than
            its greedy form.
    """
    moves, accepting = _without_hops(Graph(tree, alphabet), alphabet)
    shortest = _shortest(moves, accepting)
    alive = [[move for move in row if shortest[move[1]] is not None] for row in moves]
    return Automaton(alive, accepting, shortest)


_Place = tuple[int, Kind, int]
"""A node, the kind of the character before it, and the kinds that may come next."""


def _without_hops(graph: Graph, alphabet: Alphabet) -> tuple[list[list[Move]], list[bool]]:
    """The moves of the states that can be reached from the start, and whether each accepts."""
    numbers: dict[_Place, int] = {(graph.first, Kind.START, ANYTHING): 0}
    places = list(numbers)
    moves: list[list[Move]] = []
    accepting: list[bool] = []
    for node, before, permitted in places:  # grows as new places are found
        reached = graph.reachable({node: permitted}, before)
        accepting.append(bool(reached.get(graph.last, 0) & Kind.END))
        row: dict[int, int] = {}
        for classes, place in _reads(graph, alphabet, reached):
            if place not in numbers:
                numbers[place] = len(places)
                places.append(place)
            row[numbers[place]] = row.get(numbers[place], 0) | classes
        moves.append([(classes, state) for state, classes in row.items()])
    return moves, accepting


def _reads(graph: Graph, alphabet: Alphabet, reached: dict[int, int]) -> list[tuple[int, _Place]]:
    """The sets of classes that can be read from some nodes, each with the place it leads to."""
    found = []
    for node, permitted in reached.items():
        for classes, behind in graph.reads[node]:
            for kind, of_kind in alphabet.kinds:
                following = permitted_after(kind, permitted)
                if classes & of_kind and following:
                    found.append((classes & of_kind, (behind, kind, following)))
    return found


def _shortest(moves: list[list[Move]], accepting: list[bool]) -> list[int | None]:
    """The least number of moves from every state to an accepting one, found breadth first."""
    sources: list[list[int]] = [[] for _ in moves]
    for source, row in enumerate(moves):
        for _, target in row:
            sources[target].append(source)
    shortest: list[int | None] = [0 if accepts else None for accepts in accepting]
    pending = deque((state, 0) for state, accepts in enumerate(accepting) if accepts)
    while pending:
        state, distance = pending.popleft()
        for source in sources[state]:
            if shortest[source] is None:
                shortest[source] = distance + 1
                pending.append((source, distance + 1))
    return shortest
