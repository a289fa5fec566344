"""How much of what it has read the network uses: the loss against the characters it may see.

A network that may see k characters reads them from the zero state. That is done at places spread
over the text, more of them for short contexts, whose losses differ more; what is averaged is the
difference from the loss with all of the text before it, which is known at every place.

Shapes: M places, T time.
"""

import math

import numpy as np

from charrnn.evaluation.scoring import nats_and_correct
from charrnn.explain.baselines import ngram_bits, training_part
from charrnn.explain.cells import Floats
from charrnn.explain.picture import Chart, Numbers, Picture, Series, Table
from charrnn.explain.reading import FEWEST, Reading, Request

SUMMARY = "the loss against the number of characters that the network may see"
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PLACES = ((24, 1024), (256, 128), (2048, 32))
"""At how many places contexts of up to which length are read."""
COLUMNS_AT_ONCE = 64
AROUND = 0.15
"""The loss for a length is the mean over those around it, by this share: fewer places suffice."""
NEAR = 0.01


def numbers(request: Request) -> Numbers:
    """Compute the loss for contexts of 1, 2, 4 ... characters and of all (None), and of n-grams.

    In lines mode a context begins with its line: the loss for k is that of the places with at most
    k characters of the line before them, its beginning one, and more than the length before k.
    """
    reading = request.reading
    reading.require(FEWEST)
    length, loss = _by_depth(reading) if reading.is_lines else _by_window(reading)
    ngrams = [
        {"order": order, "loss_nats": bits * np.log(2) / len(reading.targets_N)}
        for order, bits in enumerate(ngram_bits(training_part(reading), reading))
    ]
    return {
        **reading.about,
        "mode": reading.model.card.mode,
        "length": [*length, None],
        "loss_nats": [*loss, reading.loss_nats],
        "ngrams": ngrams,
    }


def picture(numbers: Numbers) -> Picture:
    """Draw the loss against the length, with the n-gram models as levels."""
    is_lines = numbers["mode"] == "lines"
    unit = numbers["text_unit"]
    what = "place in the line" if is_lines else f"{unit}s seen before"
    length, loss, ngrams = numbers["length"], numbers["loss_nats"], numbers["ngrams"]
    levels = [
        Series(name=f"n-gram order {each['order']}", x=(1,), y=(each["loss_nats"],), style="level")
        for each in ngrams
    ]
    chart = Chart(
        title=f"Loss against the {what}",
        x_label=what,
        y_label=f"nats per {unit}",
        series=[Series(name=numbers["run"], x=length[:-1], y=loss[:-1]), *levels],
        log_x=True,
    )
    best = min(ngrams, key=lambda each: each["loss_nats"])
    enough = next(k for k, nats in zip(length, loss, strict=True) if nats <= loss[-1] + NEAR)
    count = f"1 {unit}" if enough == 1 else f"{enough or 0:,} {unit}s"
    seen = "Only with all of the text" if enough is None else f"With {count}"
    near = f"{seen} the network is within {NEAR} nats of its loss with all of the text"
    rows = [
        ("all" if k is None else f"{k:,}", f"{nats:.4f}")
        for k, nats in zip(length, loss, strict=True)
    ]
    ngram_rows = [(str(each["order"]), f"{each['loss_nats']:.4f}") for each in ngrams]
    return Picture(
        title=f"Context: {numbers['run']} on {numbers['source']}",
        sentences=[
            f"{'The loss over whole lines is' if is_lines else f'{near},'} {loss[-1]:.4f} nats.",
            f"The best n-gram model, order {best['order']}, has {best['loss_nats']:.4f} nats.",
        ],
        charts=[chart],
        tables=[
            Table("The network", (what, chart.y_label), rows),
            Table("n-gram models", ("order", chart.y_label), ngram_rows),
        ],
    )


def _by_depth(reading: Reading) -> tuple[list[int], list[float]]:
    begins_N = np.repeat(reading.documents[:-1], np.diff(reading.documents))
    depth_N = np.arange(len(begins_N)) - begins_N + 1
    lengths, losses = [], []
    for before, length in zip((0, *LENGTHS), LENGTHS, strict=False):
        nats = reading.nats_N[(depth_N > before) & (depth_N <= length)]
        if len(nats):
            lengths.append(length)
            losses.append(float(nats.mean(dtype=np.float64)))
    return lengths, losses


def _by_window(reading: Reading) -> tuple[list[int], list[float]]:
    longest = max(length for length in LENGTHS if length <= len(reading.targets_N))
    differences_T: Floats = np.zeros(longest)
    for places, length in PLACES:
        read = min(length, longest)
        differences_T[:read] = _differences(reading, places, read)
    lengths = [length for length in LENGTHS if length <= longest]
    near = [
        differences_T[math.ceil(length * (1 - AROUND)) - 1 : math.floor(length * (1 + AROUND))]
        for length in lengths
    ]
    return lengths, [reading.loss_nats + float(differences.mean()) for differences in near]


def _differences(reading: Reading, places: int, length: int) -> Floats:
    """By how much the loss grows if only 1, 2, ... `length` characters are seen, (length,)."""
    last = len(reading.targets_N) - length
    begins_M = np.unique(np.linspace(0, last, places).astype(np.int64))
    state = reading.network.initial_state(len(begins_M))
    differences = []
    for at in range(0, length, COLUMNS_AT_ONCE):
        places_MT = begins_M[:, None] + np.arange(at, min(at + COLUMNS_AT_ONCE, length))
        logits_MTV, state = reading.network.advance(reading.inputs_N[places_MT], state)
        everywhere_MT = np.ones(places_MT.shape, np.bool_)
        nats_MT, _ = nats_and_correct(logits_MTV, reading.targets_N[places_MT], everywhere_MT)
        differences.append((nats_MT - reading.nats_N[places_MT]).mean(axis=0, dtype=np.float64))
    return np.concatenate(differences)
