"""Hidden units that follow something a text has: the position in the line, quotes, capitals, ...

Each unit's activation is compared with each feature by Pearson's correlation, over every character
of the text (Karpathy, Johnson & Li 2015, arXiv 1506.02078, found such units by looking). Units are
numbered through all layers, the first layer's first.

Shapes: N characters, F features, U units of all layers.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.errors import UserError
from charrnn.explain.cells import Floats
from charrnn.explain.picture import ColouredText, Numbers, Picture, Table, whole_characters
from charrnn.explain.reading import Places, Reading, Request

SUMMARY = "hidden units that follow quotes, lines, capitals, and the text in a unit's colours"
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
MOST_NUMBERS = 4_000_000
"""Activations that are kept; with more units, less of the text is shown."""

SMALLEST_DEVIATION = 1e-9
"""Less than this is rounding."""


def numbers(request: Request) -> Numbers:
    """Compare every unit with every feature, and keep the activations of those that are shown.

    Raises:
        UserError: There is no such unit.
    """
    card, reading, unit = request.model.card, request.reading.sample(), request.unit
    count = card.layers * card.hidden_size
    if unit is not None and not 0 <= unit < count:
        raise UserError(f"there is no unit {unit}", hint=f"this run has the units 0 to {count - 1}")
    characters = reading.input_characters
    if reading.unit == "byte":
        whole, begins = whole_characters(characters)
        features_NF = np.repeat(features_of(whole), np.diff(begins), axis=0)
    else:
        features_NF = features_of(characters)
    show = min(request.show, len(characters), MOST_NUMBERS // count)
    shown_NU = np.zeros((show, count), np.float32)
    centred_NF = features_NF - features_NF.mean(axis=0)
    products_FU, (sum_U, squares_U) = np.zeros((len(FEATURES), count)), np.zeros((2, count))
    for places_N, hidden_NU in hidden_states(reading):
        products_FU += centred_NF[places_N].T @ hidden_NU
        sum_U += hidden_NU.sum(axis=0, dtype=np.float64)
        squares_U += (hidden_NU**2).sum(axis=0, dtype=np.float64)
        is_shown_N = places_N < show
        shown_NU[places_N[is_shown_N]] = hidden_NU[is_shown_N]
    variance_U = squares_U / len(characters) - (sum_U / len(characters)) ** 2
    deviation_FU = np.outer(centred_NF.std(axis=0), np.sqrt(np.maximum(0, variance_U)))
    correlation_FU = np.divide(
        products_FU / len(characters),
        deviation_FU,
        out=np.zeros_like(products_FU),
        where=deviation_FU > SMALLEST_DEVIATION,
    )
    strength_U = np.abs(correlation_FU).max(axis=0)
    by_strength = np.argsort(-strength_U, kind="stable").tolist()
    unit = by_strength[0] if unit is None else unit
    best = _best(correlation_FU)
    others = by_strength if request.all_units else [each["unit"] for each in best]
    return {
        **reading.about,
        "hidden_size": card.hidden_size,
        "best": best,
        "unit": unit,
        "characters": characters[:show],
        "activation": shown_NU[:, unit].tolist(),
        "activations": {
            str(each): shown_NU[:, each].tolist() for each in dict.fromkeys([unit, *others])
        },
    }


def _best(correlation_FU: Floats) -> list[Numbers]:
    """The unit that follows each feature best, the closest first; none where none does at all."""
    found = []
    for name, correlation_U in zip(FEATURES, correlation_FU, strict=True):
        unit = int(np.abs(correlation_U).argmax())
        if correlation_U[unit]:
            found.append({"feature": name, "unit": unit, "correlation": float(correlation_U[unit])})
    return sorted(found, key=lambda each: -abs(each["correlation"]))


def picture(numbers: Numbers) -> Picture:
    """Show the text in the colours of a unit, and the best unit for each feature."""
    best = numbers["best"]
    names = {each: f"unit {each}" for each in numbers["activations"]}
    for each in reversed(best):
        unit = str(each["unit"])
        names[unit] = f"unit {unit}: {each['feature']} ({each['correlation']:+.2f})"
    characters, channels = numbers["characters"], numbers["activations"]
    if numbers["text_unit"] == "byte":
        characters, begins = whole_characters(characters)
        channels = {
            unit: [values[end - 1] for end in begins[1:]] for unit, values in channels.items()
        }
    rows = [
        (
            each["feature"],
            str(each["unit"]),
            str(each["unit"] // numbers["hidden_size"]),
            f"{each['correlation']:+.3f}",
        )
        for each in best
    ]
    columns = ("what a text has", "unit", "layer", "correlation")
    return Picture(
        title=f"Units: {numbers['run']}",
        sentences=[
            "A character has the colour of the unit's activation after it was read, from -1 to 1."
        ],
        text=ColouredText(
            title=f"{numbers['source']}, {names[str(numbers['unit'])]}",
            characters=characters,
            channels={names[unit]: values for unit, values in channels.items()},
        ),
        tables=[Table("The unit that follows each best", columns, rows)],
    )


def hidden_states(reading: Reading) -> Iterator[tuple[Places, Floats]]:
    """Yield places (N,) and the hidden states after their inputs (N, U), every place once."""
    for places_BT, counted_BT, trace in reading.read(reading.traced.advance):
        by_time = [np.concatenate([step["hidden"] for step in steps], axis=1) for steps in trace]
        yield places_BT[counted_BT], np.stack(by_time, axis=1)[counted_BT]


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
