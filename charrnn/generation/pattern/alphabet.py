r"""The vocabulary's characters, sorted into classes that a pattern cannot tell apart.

`[a-z]+` sees no difference between "b" and "q", so an automaton over classes stays small whatever
the vocabulary. Which characters a part of the pattern stands for is asked of `re` itself, once for
all characters together, so case folding, `\w` and the rest are Python's to the letter. A set of
classes is an `int` whose bit c stands for class c.

Shapes: V vocabulary.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from charrnn.generation.pattern.anchors import LINE_ANCHORS, WORD_ANCHORS, Kind
from charrnn.generation.pattern.syntax import Anchor, Characters, Node, compile_quietly, walk

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


_NEWLINE = Characters("\\n", re.RegexFlag(0))
_ASCII_WORD = Characters("\\w", re.ASCII)
_UNICODE_WORD = Characters("\\w", re.RegexFlag(0))


class Alphabet:
    """The classes of the usable characters with regard to one pattern."""

    def __init__(self, tree: Node, characters: Sequence[str], usable: BoolArray) -> None:
        """Sort the characters for which `usable` (V,) is true; the others have no class.

        Special ids, whose name is not a single character, are never usable.
        """
        self._ids = np.array(
            [i for i, text in enumerate(characters) if usable[i] and len(text) == 1], dtype=np.intp
        )
        self._text = "".join(characters[i] for i in self._ids)
        seen_by_anchors = _seen_by_anchors(tree)
        written = [node for node in walk(tree) if isinstance(node, Characters)]
        places = {part: self._places(part) for part in dict.fromkeys(written + seen_by_anchors)}
        labels = _partition(places.values(), len(self._ids))
        self.count = int(labels.max(initial=-1)) + 1
        self.class_of_V = np.full(len(characters), -1, dtype=np.intp)
        self.class_of_V[self._ids] = labels
        self._classes = {part: _as_bits(labels[found]) for part, found in places.items()}
        self.kinds = self._by_kind(seen_by_anchors)

    def classes(self, part: Characters) -> int:
        """The set of classes that a part of the pattern stands for."""
        return self._classes[part]

    def ids(self, classes: int) -> BoolArray:
        """The ids (V,) of all characters in a set of classes, as a read-only mask."""
        chosen = np.zeros(self.count + 1, dtype=np.bool_)
        chosen[list(set_bits(classes))] = True
        mask_V: BoolArray = chosen[self.class_of_V]  # -1, no class, finds the last: never chosen
        mask_V.flags.writeable = False
        return mask_V

    def _places(self, part: Characters) -> IntArray:
        """The places in the usable text of the characters that a part of the pattern stands for."""
        found = compile_quietly(part.source, part.flags).finditer(self._text)
        return np.fromiter((match.start() for match in found), dtype=np.intp)

    def _by_kind(self, seen_by_anchors: list[Characters]) -> tuple[tuple[Kind, int], ...]:
        """The set of classes of every kind, as far as the pattern's anchors tell kinds apart."""

        def seen(part: Characters) -> int:
            return self._classes[part] if part in seen_by_anchors else 0

        newline, ascii_word, word = seen(_NEWLINE), seen(_ASCII_WORD), seen(_UNICODE_WORD)
        kinds = (
            (Kind.NEWLINE, newline),
            (Kind.ASCII_WORD, ascii_word),
            (Kind.UNICODE_WORD, word & ~ascii_word),
            (Kind.OTHER, ((1 << self.count) - 1) & ~(newline | word)),
        )
        return tuple((kind, classes) for kind, classes in kinds if classes)


def set_bits(bits: int) -> Iterator[int]:
    """The places of the bits that are set, lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _seen_by_anchors(tree: Node) -> list[Characters]:
    """The sets of characters that decide whether the anchors of a pattern hold."""
    kinds = {node.kind for node in walk(tree) if isinstance(node, Anchor)}
    newline = [_NEWLINE] if kinds & LINE_ANCHORS else []
    words = [_ASCII_WORD, _UNICODE_WORD] if kinds & WORD_ANCHORS else []
    return newline + words


def _partition(subsets: Iterable[IntArray], size: int) -> IntArray:
    """Label the places below `size`: two share a label if no subset tells them apart.

    Partition refinement: a subset splits every class of which it holds some but not all.
    """
    labels = np.zeros(size, dtype=np.intp)
    class_sizes = [size] if size else []
    for subset in subsets:
        touched, which, counts = np.unique(labels[subset], return_inverse=True, return_counts=True)
        for i, (label, count) in enumerate(zip(touched.tolist(), counts.tolist(), strict=True)):
            if count < class_sizes[label]:
                class_sizes[label] -= count
                touched[i] = len(class_sizes)
                class_sizes.append(count)
        labels[subset] = touched[which]
    return labels


def _as_bits(places: IntArray) -> int:
    bits = 0
    for place in set(places.tolist()):
        bits |= 1 << place
    return bits
