"""The characters' vectors in two dimensions: what the network takes for alike lies together."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.explain.picture import Chart, Picture, Series, Table, visible
from charrnn.network import FloatArray
from charrnn.run.reader import TrainedModel

MOST_SHOWN = 200
NEIGHBOURS = 4
VOWELS = frozenset("aeiouyAEIOUY")


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Where each character lies."""

    run: str
    characters: Sequence[str]
    kinds: Sequence[str]
    """What each is: a vowel, a capital, a digit, ..."""
    places_C2: FloatArray
    """On the first two principal components."""
    explained: float
    """The share of the vectors' variance that these two have."""
    neighbours: Sequence[Sequence[str]]
    """The nearest characters of each by the cosine of their vectors, the nearest first."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "explained_variance": self.explained,
            "characters": self.characters,
            "kinds": self.kinds,
            "x": self.places_C2[:, 0].tolist(),
            "y": self.places_C2[:, 1].tolist(),
            "neighbours": self.neighbours,
        }

    def picture(self) -> Picture:
        """The map, and each character's neighbours."""
        total = len(self.characters)
        shown = range(total)[:MOST_SHOWN]
        series = []
        for kind in dict.fromkeys(self.kinds):
            members = [at for at in shown if self.kinds[at] == kind]
            if members:
                series.append(
                    Series(
                        name=kind,
                        style="points",
                        x=self.places_C2[members, 0].tolist(),
                        y=self.places_C2[members, 1].tolist(),
                        labels=[visible(self.characters[at]) for at in members],
                    )
                )
        chart = Chart(
            title="The characters on the two directions in which their vectors differ most",
            x_label="first principal component",
            y_label="second principal component",
            series=series,
        )
        table = Table(
            title="The nearest characters of each, by the angle between their vectors",
            columns=("character", "nearest"),
            rows=[
                (visible(self.characters[at]), "  ".join(map(visible, self.neighbours[at])))
                for at in shown
            ],
        )
        part = f" The first {MOST_SHOWN} of {total:,} are shown." if total > MOST_SHOWN else ""
        sentence = (
            f"These two directions hold {self.explained:.0%} of the variance of the vectors.{part}"
        )
        return Picture(
            title=f"Embedding: {self.run}", sentences=[sentence], charts=[chart], tables=[table]
        )


def explain_embedding(model: TrainedModel) -> Embedding:
    """Lay the characters' vectors out in two dimensions, by principal component analysis.

    A one-hot character's vector is what it adds to the first layer's gates.
    """
    characters = model.vocabulary.known
    if model.card.input == "onehot":
        vectors_VE = model.weights["rnn.weight_ih_l0"].T
    else:
        vectors_VE = model.weights["embedding.weight"]
    vectors_CE = vectors_VE[len(model.vocabulary.specials) :].astype(np.float64)
    centred_CE = vectors_CE - vectors_CE.mean(axis=0)
    scaled_CK, sizes_K, _ = np.linalg.svd(centred_CE, full_matrices=False)
    places_CK = scaled_CK * sizes_K
    places_C2 = np.zeros((len(characters), 2))
    places_C2[:, : places_CK.shape[1]] = places_CK[:, :2]
    variance = float((sizes_K**2).sum())
    return Embedding(
        run=model.path.name,
        characters=characters,
        kinds=[kind_of(char) for char in characters],
        places_C2=places_C2,
        explained=float((sizes_K[:2] ** 2).sum()) / variance if variance else 1.0,
        neighbours=_neighbours(vectors_CE[: 10 * MOST_SHOWN], characters),
    )


def _neighbours(vectors_CE: FloatArray, characters: Sequence[str]) -> list[list[str]]:
    lengths_C1 = np.maximum(np.linalg.norm(vectors_CE, axis=1, keepdims=True), 1e-12)
    directions_CE = vectors_CE / lengths_C1
    cosines_CC = directions_CE @ directions_CE.T
    np.fill_diagonal(cosines_CC, -np.inf)
    nearest_CK = np.argsort(-cosines_CC, axis=1, kind="stable")[:, :NEIGHBOURS]
    others = min(NEIGHBOURS, len(characters) - 1)
    return [[characters[at] for at in row[:others]] for row in nearest_CK.tolist()]


def kind_of(char: str) -> str:
    """What kind of character this is, for its colour."""
    category = unicodedata.category(char)
    if category.startswith("L"):
        if char.isupper():
            return "capital"
        return "vowel" if char in VOWELS else "letter"
    kinds = {"N": "digit", "M": "mark", "Z": "space", "C": "space"}
    return kinds.get(category[0], "punctuation")
