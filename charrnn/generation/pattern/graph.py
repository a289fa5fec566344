"""A pattern's tree as a graph: Thompson's construction, every repeat unrolled.

Nodes are joined by reads (of one character out of a set of classes) and hops (free, or bound to an
anchor). A text matches if reads of its characters, with hops between them, lead from the node
`first` to the node `last`.
"""

from dataclasses import dataclass

from charrnn.errors import UserError
from charrnn.generation.pattern.alphabet import Alphabet
from charrnn.generation.pattern.anchors import ANYTHING, Kind, permitted_next
from charrnn.generation.pattern.syntax import (
    Anchor,
    AnchorKind,
    Characters,
    Choice,
    Node,
    Repeat,
    Sequence,
)

MAX_NODES = 20_000
"""Most nodes of the graph, every repeat unrolled."""
MAX_STEPS = 2_000_000
"""Most hops and reads looked at to remove the hops: bounds the automaton's moves and build time."""


@dataclass(frozen=True, slots=True)
class _Possessive:
    """A possessive repeat in the graph: its classes, the node behind it, its place in the text."""

    classes: int | None
    behind: int
    place: int


class Graph:
    """Nodes joined by reads and hops.

    Attributes:
        reads: for every node, the sets of classes that can be read there and the nodes behind.
        first: the node where texts begin.
        last: the node where texts that match end.
    """

    def __init__(self, tree: Node, alphabet: Alphabet) -> None:
        """Unroll a tree.

        Raises:
            UserError: it is too large, or a possessive repeat in it may match fewer texts than its
                greedy form.
        """
        _refuse_large(tree)
        self._alphabet = alphabet
        self.reads: list[list[tuple[int, int]]] = []
        self._hops: list[list[tuple[AnchorKind | None, int]]] = []
        self._possessives: list[_Possessive] = []
        self._steps = 0
        self.first = self._new_node()
        self.last = self._add(tree, self.first)
        for repeat in self._possessives:
            self._check_possessive(repeat)

    def reachable(self, start: dict[int, int], before: Kind | None) -> dict[int, int]:
        """The nodes that hops lead to, each with the kinds that may come next there.

        Args:
            start: nodes with the kinds that may come next.
            before: the kind of what stands before; None takes every anchor to hold.

        Raises:
            UserError: more than `MAX_STEPS` steps have been taken in this graph.
        """
        found = dict(start)
        pending = list(start.items())
        while pending:
            node, permitted = pending.pop()
            self._steps += 1 + len(self._hops[node]) + len(self.reads[node])
            for anchor, behind in self._hops[node]:
                known = found.get(behind, 0)
                news = permitted & ~known
                if anchor and before:
                    news &= permitted_next(anchor, before)
                if news:
                    found[behind] = known | news
                    pending.append((behind, news))
        self._refuse_many_steps()
        return found

    def _new_node(self) -> int:
        self.reads.append([])
        self._hops.append([])
        return len(self.reads) - 1

    def _add(self, tree: Node, entry: int) -> int:
        """Add paths for all texts of `tree` from `entry`; return the node where they end."""
        match tree:
            case Characters():
                return self._read(entry, self._alphabet.classes(tree))
            case Anchor(kind):
                return self._hop(entry, kind)
            case Sequence(parts):
                for part in parts:
                    entry = self._add(part, entry)
                return entry
            case Choice(options):
                return self._join([self._add(option, entry) for option in options])
            case Repeat():
                return self._repeat(tree, entry)

    def _read(self, entry: int, classes: int) -> int:
        behind = self._new_node()
        self.reads[entry].append((classes, behind))
        return behind

    def _hop(self, entry: int, anchor: AnchorKind | None = None) -> int:
        behind = self._new_node()
        self._hops[entry].append((anchor, behind))
        return behind

    def _join(self, ends: list[int]) -> int:
        behind = self._new_node()
        for end in dict.fromkeys(ends):
            self._hops[end].append((None, behind))
        return behind

    def _repeat(self, repeat: Repeat, entry: int) -> int:
        behind = (self._at_least if repeat.most is None else self._at_most)(repeat, entry)
        if repeat.possessive:
            part = repeat.part
            classes = self._alphabet.classes(part) if isinstance(part, Characters) else None
            self._possessives.append(_Possessive(classes, behind, repeat.place))
        return behind

    def _at_most(self, repeat: Repeat, entry: int) -> int:
        ends = [entry]
        for _ in range(repeat.most or 0):
            ends.append(self._add(repeat.part, ends[-1]))
        return self._join(ends[repeat.least :])

    def _at_least(self, repeat: Repeat, entry: int) -> int:
        for _ in range(repeat.least - 1):
            entry = self._add(repeat.part, entry)
        # A node of its own: what leads back here must not find what else starts at the entry.
        again = self._hop(entry)
        end = self._add(repeat.part, again)
        self._hops[end].append((None, again))
        return self._hop(end if repeat.least else again)

    def _check_possessive(self, repeat: _Possessive) -> None:
        """Refuse a possessive repeat unless it matches the very texts of its greedy form.

        It does when it repeats one character and what follows it never begins with such a one:
        then giving back what it took would not help.
        """
        following = 0
        for node in self.reachable({repeat.behind: ANYTHING}, before=None):
            for classes, _ in self.reads[node]:
                following |= classes
        if repeat.classes is None or repeat.classes & following:
            raise UserError(
                f"--match: the possessive repeat at character {repeat.place} of the expression "
                "cannot be guaranteed: it may match less than its greedy form",
                hint="leave out the + that makes it possessive",
            )

    def _refuse_many_steps(self) -> None:
        if self._steps > MAX_STEPS:
            raise UserError(
                "--match: too many parts of the expression can be left out or repeated side by "
                "side for an automaton of reasonable size",
                hint="use smaller numbers in {m,n}, or a repeat without limit with --length",
            )


def _refuse_large(tree: Node) -> None:
    if _size(tree) > MAX_NODES:
        raise UserError(
            "--match: with its repeats written out the expression has more than "
            f"{MAX_NODES:,} parts",
            hint="use smaller numbers in {m,n}, or a repeat without limit together with --length",
        )


def _size(node: Node) -> int:
    """The number of nodes that `Graph` makes for a node of the tree, roughly."""
    match node:
        case Sequence(parts) | Choice(parts):
            return 1 + sum(map(_size, parts))
        case Repeat(part, least, most):
            copies = max(least, 1) if most is None else most
            return 2 + copies * _size(part)
        case _:
            return 1
