"""The characters' vectors in two dimensions: what the network takes for alike lies together.

A character has two vectors: the one it is read by (its row of the embedding, or for a one-hot
input what it adds to the gates), and the one it is predicted by (its row of the output matrix).
Each set is laid out by principal component analysis.

Shapes: C characters, E numbers in a vector.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.explain.cells import Floats
from charrnn.explain.picture import Chart, Picture, Series, Table, visible
from charrnn.run.reader import TrainedModel

MOST_SHOWN = 150
MOST_COMPARED = 2000
"""Characters whose neighbours are looked for: every pair of them is compared."""
NEIGHBOURS = 5
VOWELS = frozenset("aeiouyAEIOUY")
KINDS = {"N": "digit", "M": "mark", "Z": "space", "C": "space"}
"""By the first letter of the Unicode category."""


@dataclass(frozen=True, kw_only=True)
class Map:
    """Where each character lies by one of its vectors."""

    name: str
    places_C2: Floats
    """On the first two principal components."""
    explained: float
    """The share of the vectors' variance that these two have."""
    neighbours: Sequence[Sequence[str]]
    """The nearest characters of each by the cosine of their vectors, the nearest first."""

    def to_json(self) -> dict[str, Any]:
        """This map's part of the object that `--json` prints."""
        return {
            "explained_variance": self.explained,
            "x": self.places_C2[:, 0].tolist(),
            "y": self.places_C2[:, 1].tolist(),
            "neighbours": self.neighbours,
        }


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Where each character lies."""

    run: str
    characters: Sequence[str]
    maps: Sequence[Map]
    """By the vector it is read by, and by the one it is predicted by if that is another."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        kinds = [kind_of(char) for char in self.characters]
        maps = {each.name: each.to_json() for each in self.maps}
        return {"run": self.run, "characters": self.characters, "kinds": kinds, **maps}

    def picture(self) -> Picture:
        """The maps, and each character's neighbours."""
        total = len(self.characters)
        shown = range(min(total, MOST_SHOWN))
        table = Table(
            title="The nearest characters of each, by the angle between their vectors",
            columns=("character", *(f"as {each.name}" for each in self.maps)),
            rows=[
                (
                    visible(self.characters[at]),
                    *("  ".join(map(visible, each.neighbours[at])) for each in self.maps),
                )
                for at in shown
            ],
        )
        sentences = [
            f"As {each.name}: two directions hold {each.explained:.0%} of the vectors' variance."
            for each in self.maps
        ]
        if total > MOST_SHOWN:
            sentences.append(f"The first {MOST_SHOWN} of {total:,} characters are shown.")
        return Picture(
            title=f"Embedding: {self.run}",
            sentences=sentences,
            charts=[self._chart(each, shown) for each in self.maps],
            tables=[table],
        )

    def _chart(self, each: Map, shown: Sequence[int]) -> Chart:
        by_kind: dict[str, list[int]] = {}
        for at in shown:
            by_kind.setdefault(kind_of(self.characters[at]), []).append(at)
        series = [
            Series(
                name=kind,
                style="points",
                x=each.places_C2[members, 0].tolist(),
                y=each.places_C2[members, 1].tolist(),
                labels=[visible(self.characters[at]) for at in members],
            )
            for kind, members in by_kind.items()
        ]
        return Chart(
            title=f"Characters as they are {each.name}",
            x_label="first principal component",
            y_label="second principal component",
            series=series,
        )


def explain_embedding(model: TrainedModel) -> Embedding:
    """Lay out the characters' vectors in two dimensions."""
    card, weights = model.card, model.weights
    one_hot = card.input == "onehot"
    vectors = {"read": weights["rnn.weight_ih_l0"].T if one_hot else weights["embedding.weight"]}
    if not card.tie_weights:
        vectors["predicted"] = weights["output.weight"]
    specials, characters = len(model.vocabulary.specials), model.vocabulary.known
    return Embedding(
        run=model.path.name,
        characters=characters,
        maps=[_map(name, rows_VE[specials:], characters) for name, rows_VE in vectors.items()],
    )


def _map(name: str, vectors_CE: Floats, characters: Sequence[str]) -> Map:
    centred_CE = vectors_CE - vectors_CE.mean(axis=0, dtype=np.float64)
    _, sizes_K, directions_KE = np.linalg.svd(centred_CE, full_matrices=False)
    places_C2 = np.zeros((len(characters), 2))
    two_E2 = directions_KE[:2].T
    places_C2[:, : two_E2.shape[1]] = centred_CE @ two_E2
    variance = float((sizes_K**2).sum())
    return Map(
        name=name,
        places_C2=places_C2,
        explained=float((sizes_K[:2] ** 2).sum()) / variance if variance else 1.0,
        neighbours=_neighbours(centred_CE[:MOST_COMPARED], characters),
    )


def _neighbours(centred_CE: Floats, characters: Sequence[str]) -> list[list[str]]:
    lengths_C1 = np.maximum(np.linalg.norm(centred_CE, axis=1, keepdims=True), 1e-12)
    directions_CE = centred_CE / lengths_C1
    cosines_CC = directions_CE @ directions_CE.T
    np.fill_diagonal(cosines_CC, -np.inf)
    most = min(NEIGHBOURS, len(cosines_CC) - 1)
    nearest_CK = np.argsort(-cosines_CC, axis=1, kind="stable")[:, :most]
    return [[characters[at] for at in row] for row in nearest_CK.tolist()]


def kind_of(char: str) -> str:
    """What kind of character this is, for its colour."""
    category = unicodedata.category(char)
    if not category.startswith("L"):
        return KINDS.get(category[0], "punctuation")
    if char.isupper():
        return "capital"
    return "vowel" if char in VOWELS else "letter"
