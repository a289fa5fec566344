"""Hidden units that follow something a text has: the position in the line, quotes, capitals, ...

Each unit's activation is compared with each feature by Pearson's correlation, over every character
of the text (Karpathy, Johnson & Li 2015, arXiv 1506.02078, found such units by looking).

Shapes: N characters, F features, U units (of all layers), H hidden.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.errors import UserError
from charrnn.explain.cells import Floats
from charrnn.explain.picture import Channel, ColouredText, Picture, Table
from charrnn.explain.subject import Places, Subject

FEATURES = (
    "position in line",
    "inside quotes",
    "inside brackets",
    "indentation",
    "capitals",
    "position in word",
    "position in sentence",
)
QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "«": "»", "‘": "’"}
BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
SENTENCE_ENDS = frozenset(".!?…。！？।")
MOST_NUMBERS = 2_000_000
"""Activations that a picture holds: fewer units than all if the text that is shown is long."""

SMALLEST_SCALE = 1e-9
"""Less variation than this is rounding."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """Which unit follows what, and the activations that are shown."""

    run: str
    source: str
    hidden_size: int
    correlation_FU: Floats
    present_F: Sequence[bool]
    """Whether the text has the feature at all."""
    unit: int
    characters: Sequence[str]
    shown: Sequence[int]
    """The units whose activations there are, `unit` first."""
    activations_NU: Floats

    def best(self) -> list[tuple[str, int, float]]:
        """The unit that follows each feature best, with its correlation, the strongest first."""
        rows = []
        for feature, name in enumerate(FEATURES):
            if self.present_F[feature]:
                unit = int(np.abs(self.correlation_FU[feature]).argmax())
                rows.append((name, unit, float(self.correlation_FU[feature, unit])))
        return sorted(rows, key=lambda row: -abs(row[2]))

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "source": self.source,
            "best": [
                {"feature": name, "unit": unit, "correlation": correlation}
                for name, unit, correlation in self.best()
            ],
            "unit": self.unit,
            "characters": self.characters,
            "activation": self.activations_NU[:, 0].astype(np.float64).round(6).tolist(),
        }

    def picture(self) -> Picture:
        """The text in the colours of a unit, and the best unit for each feature."""
        followed = {unit: f"follows {name} ({c:+.2f})" for name, unit, c in reversed(self.best())}
        channels = [
            Channel(
                name=f"{self._name(unit)}{', ' if unit in followed else ''}"
                f"{followed.get(unit, '')}",
                values=self.activations_NU[:, at].tolist(),
            )
            for at, unit in enumerate(self.shown)
        ]
        text = ColouredText(
            title=f"{self.source}: {channels[0].name}",
            characters=self.characters,
            channels=channels,
        )
        table = Table(
            title="The unit that follows each best",
            columns=("what a text has", "unit", "correlation"),
            rows=[(name, self._name(unit), f"{c:+.3f}") for name, unit, c in self.best()],
        )
        sentence = (
            "Each character has the colour of the unit's activation after the network has read it: "
            "-1 to 1."
        )
        return Picture(title=f"Units: {self.run}", sentences=[sentence], text=text, tables=[table])

    def _name(self, unit: int) -> str:
        layer, number = divmod(unit, self.hidden_size)
        layers = self.correlation_FU.shape[1] // self.hidden_size
        return f"unit {unit}" if layers == 1 else f"unit {unit} (layer {layer}, {number})"


def explain_units(subject: Subject, unit: int | None, show: int) -> Units:
    """Compare every unit with every feature; `unit` is the one to show, None for the best.

    Units are numbered through all layers, the first layer's first.

    Raises:
        UserError: There is no such unit.
    """
    card = subject.model.card
    count = card.layers * card.hidden_size
    if unit is not None and not 0 <= unit < count:
        raise UserError(f"there is no unit {unit}", hint=f"this run has the units 0 to {count - 1}")
    subject = subject.sample()
    characters = subject.input_characters
    features_NF = features_of(characters)
    show = min(show, len(characters))
    shown_NU = np.zeros((show, count), np.float32)
    sums = Sums(len(FEATURES), count)
    for places_N, hidden_NU in hidden_states(subject):
        sums.add(features_NF[places_N], hidden_NU)
        is_shown = places_N < show
        shown_NU[places_N[is_shown]] = hidden_NU[is_shown]
    correlation_FU = sums.correlation()
    if unit is None:
        unit = int(np.abs(correlation_FU).max(axis=0).argmax())
    order = np.argsort(-np.abs(correlation_FU).max(axis=0), kind="stable").tolist()
    most = max(1, MOST_NUMBERS // max(1, show))
    kept = [unit, *(each for each in order if each != unit)][:most]
    return Units(
        run=subject.run,
        source=subject.source,
        hidden_size=card.hidden_size,
        correlation_FU=correlation_FU,
        present_F=(features_NF.std(axis=0) > 0).tolist(),
        unit=unit,
        characters=characters[:show],
        shown=kept,
        activations_NU=shown_NU[:, kept],
    )


def hidden_states(subject: Subject) -> Iterator[tuple[Places, Floats]]:
    """Yield places (N,) and the hidden states after their inputs (N, U), every place once."""
    for columns, trace in subject.read(subject.traced.advance):
        hidden_BTU = np.stack(
            [np.concatenate([step["hidden"] for step in steps], axis=1) for steps in trace], axis=1
        )
        yield columns.places_BT[columns.counted_BT], hidden_BTU[columns.counted_BT]


class Sums:
    """The sums that Pearson's correlation of every feature with every unit is made of."""

    def __init__(self, features: int, units: int) -> None:
        self._count = 0
        self._features_F, self._squares_F = np.zeros(features), np.zeros(features)
        self._units_U, self._squares_U = np.zeros(units), np.zeros(units)
        self._products_FU = np.zeros((features, units))

    def add(self, features_NF: Floats, hidden_NU: Floats) -> None:
        """Take in some characters."""
        self._count += len(features_NF)
        self._features_F += features_NF.sum(axis=0)
        self._squares_F += (features_NF**2).sum(axis=0)
        self._units_U += hidden_NU.sum(axis=0, dtype=np.float64)
        self._squares_U += (hidden_NU**2).sum(axis=0, dtype=np.float64)
        self._products_FU += features_NF.T @ hidden_NU

    def correlation(self) -> Floats:
        """The correlation of each feature with each unit, (F, U); 0 where one is constant."""
        features_F, units_U = self._features_F / self._count, self._units_U / self._count
        variance_F = np.maximum(0, self._squares_F / self._count - features_F**2)
        variance_U = np.maximum(0, self._squares_U / self._count - units_U**2)
        covariance_FU = self._products_FU / self._count - np.outer(features_F, units_U)
        scale_FU = np.sqrt(np.outer(variance_F, variance_U))
        varies_FU = scale_FU > SMALLEST_SCALE
        result: Floats = np.where(varies_FU, covariance_FU / np.where(varies_FU, scale_FU, 1), 0)
        return result


def features_of(characters: Sequence[str]) -> Floats:
    """What a text has at each character, that one included, (N, F) in the order of `FEATURES`."""
    rows = np.zeros((len(characters), len(FEATURES)))
    line = word = sentence = indentation = depth = 0
    closing = ""
    only_blanks, before = True, "\n"
    for at, char in enumerate(characters):
        if char == "\n":
            if before == "\n":
                closing, depth = "", 0  # nothing stays open over an empty line
            line = indentation = word = 0
            only_blanks = True
        else:
            line += 1
            only_blanks = only_blanks and char in " \t"
            indentation += only_blanks
            word = word + 1 if char.isalnum() else 0
        sentence = 0 if before in SENTENCE_ENDS else sentence + 1
        if closing:
            closing = "" if char == closing else closing
        elif char in QUOTES and not before.isalnum():
            closing = QUOTES[char]
        depth = max(0, depth + BRACKETS.get(char, 0))
        rows[at] = (
            line,
            bool(closing),
            depth > 0,
            indentation,
            char.isupper(),
            word,
            sentence,
        )
        before = char
    return rows
