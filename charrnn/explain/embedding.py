"""The characters' vectors in two dimensions: what the network takes for alike lies together.

A character has two vectors: the one it is read by (its row of the embedding, or for a one-hot
input what it adds to the gates), and the one it is predicted by (its row of the output matrix).
Each set is laid out by principal component analysis.

Shapes: C characters, E numbers in a vector.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

from charrnn.explain.cells import Floats
from charrnn.explain.picture import Chart, Numbers, Picture, Series, Table, visible
from charrnn.explain.reading import Request

SUMMARY = "the characters' vectors in two dimensions"
MOST_SHOWN = 150
MOST_COMPARED = 2000
"""Characters whose neighbours are looked for: every pair of them is compared."""
NEIGHBOURS = 5
VOWELS = frozenset("aeiouyAEIOUY")
KINDS = {"N": "digit", "M": "mark", "Z": "space", "C": "space"}
"""By the first letter of the Unicode category."""


def numbers(request: Request) -> Numbers:
    """Lay out the characters' vectors in two dimensions."""
    card, weights = request.model.card, request.model.weights
    vocabulary = request.model.vocabulary
    characters = [vocabulary.label(id_) for id_ in range(len(vocabulary.specials), len(vocabulary))]
    one_hot = card.input == "onehot"
    vectors = {"read": weights["rnn.weight_ih_l0"].T if one_hot else weights["embedding.weight"]}
    if not card.tie_weights:
        vectors["predicted"] = weights["output.weight"]
    maps = {
        name: _map(rows_VE[-len(characters) :], characters) for name, rows_VE in vectors.items()
    }
    kinds = list(map(kind_of, characters))
    about = {"run": request.model.path.name, "text_unit": vocabulary.unit}
    return about | {"characters": characters, "kinds": kinds, "maps": maps}


def _map(vectors_CE: Floats, characters: Sequence[str]) -> Numbers:
    centred_CE = vectors_CE - vectors_CE.mean(axis=0, dtype=np.float64)
    _, sizes_K, directions_KE = np.linalg.svd(centred_CE, full_matrices=False)
    first, second = np.zeros((2, len(characters)))
    for values, direction_E in zip((first, second), directions_KE[:2], strict=False):
        values[:] = centred_CE @ direction_E
    return {
        "x": first.tolist(),
        "y": second.tolist(),
        "explained_variance": float((sizes_K[:2] ** 2).sum() / max(1e-12, (sizes_K**2).sum())),
        "neighbours": _neighbours(centred_CE[:MOST_COMPARED], characters),
    }


def _neighbours(centred_CE: Floats, characters: Sequence[str]) -> list[list[str]]:
    """The nearest characters of each by the cosine of their vectors, the nearest first."""
    lengths_C1 = np.maximum(np.linalg.norm(centred_CE, axis=1, keepdims=True), 1e-12)
    cosines_CC = (centred_CE / lengths_C1) @ (centred_CE / lengths_C1).T
    np.fill_diagonal(cosines_CC, -np.inf)
    most = min(NEIGHBOURS, len(cosines_CC) - 1)
    nearest_CK = np.argsort(-cosines_CC, axis=1, kind="stable")[:, :most]
    return [[characters[at] for at in row] for row in nearest_CK.tolist()]


def kind_of(char: str) -> str:
    """What kind of character this is, for its colour."""
    if len(char) > 1:
        return "byte"
    category = unicodedata.category(char)
    if not category.startswith("L"):
        return KINDS.get(category[0], "punctuation")
    if char.isupper():
        return "capital"
    return "vowel" if char in VOWELS else "letter"


def picture(numbers: Numbers) -> Picture:
    """Draw the maps, and list each character's neighbours."""
    characters, maps, unit = numbers["characters"], numbers["maps"], numbers["text_unit"]
    shown = [visible(char) for char in characters[:MOST_SHOWN]]
    sentences = [
        f"As {name}: two directions hold {each['explained_variance']:.0%} of the vectors' variance."
        for name, each in maps.items()
    ]
    if len(characters) > MOST_SHOWN:
        sentences.append(f"The first {MOST_SHOWN} of {len(characters):,} {unit}s are shown.")
    rows = [
        (char, *("  ".join(map(visible, each["neighbours"][at])) for each in maps.values()))
        for at, char in enumerate(shown)
    ]
    columns = (unit, *(f"as {name}" for name in maps))
    return Picture(
        title=f"Embedding: {numbers['run']}",
        sentences=sentences,
        charts=[
            _chart(f"{unit.capitalize()}s as they are {name}", each, shown, numbers["kinds"])
            for name, each in maps.items()
        ],
        tables=[Table("The nearest by the angle between the vectors", columns, rows)],
    )


def _chart(title: str, each: Numbers, shown: Sequence[str], kinds: Sequence[str]) -> Chart:
    by_kind: dict[str, list[int]] = {}
    for at, kind in zip(range(len(shown)), kinds, strict=False):
        by_kind.setdefault(kind, []).append(at)
    return Chart(
        title=title,
        x_label="first principal component",
        y_label="second principal component",
        series=[
            Series(
                name=kind,
                style="points",
                x=[each["x"][at] for at in members],
                y=[each["y"][at] for at in members],
                labels=[shown[at] for at in members],
            )
            for kind, members in by_kind.items()
        ],
    )
