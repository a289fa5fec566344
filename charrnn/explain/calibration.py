"""Whether characters that are given 30 % come 30 % of the time.

Shapes: B bins of probability, N places of a text, V vocabulary.
"""

import numpy as np

from charrnn.evaluation.scoring import check_finite
from charrnn.explain.cells import Floats, softmax
from charrnn.explain.picture import Chart, Numbers, Picture, Series, Table
from charrnn.explain.reading import FEWEST, Request

SUMMARY = "whether characters that are given 30 % come 30 % of the time"
BINS = 10
DIAGONAL = [at / 40 for at in range(41)]


def numbers(request: Request) -> Numbers:
    """Compare the probabilities that are given in a text with what comes.

    `all` counts every character at every place, `likeliest` the likeliest of each place alone. The
    expected calibration error is that of the likeliest: the mean distance, over the places, of its
    bin's mean probability from the share in which it came (Guo et al. 2017, arXiv 1706.04599).
    """
    reading = request.reading.sample()
    reading.require(FEWEST)
    every_3B, likeliest_3B = np.zeros((2, 3, BINS))
    for places_BT, counted_BT, logits_BTV in reading.read(reading.network.advance):
        targets_N = reading.targets_N[places_BT[counted_BT]]
        given_NV = softmax(logits_BTV[counted_BT])
        check_finite(float(given_NV.sum()) - len(given_NV), reading.model.path)
        came_NV = targets_N[:, None] == np.arange(given_NV.shape[1])
        every_3B += _binned(given_NV.ravel(), came_NV.ravel())
        likeliest_3B += _binned(given_NV.max(axis=1), given_NV.argmax(axis=1) == targets_N)
    count_B, given_B, came_B = likeliest_3B
    return {
        **reading.about,
        "expected_calibration_error": float(np.abs(given_B - came_B).sum() / count_B.sum()),
        "all": _as_json(every_3B),
        "likeliest": _as_json(likeliest_3B),
    }


def _binned(given_N: Floats, came_N: Floats) -> Floats:
    """How many probabilities fall into each bin, their sum, and how many of them came, (3, B)."""
    bins_N = np.minimum((given_N * BINS).astype(np.int64), BINS - 1)
    return np.array([np.bincount(bins_N, each, BINS) for each in (None, given_N, came_N)])


def _as_json(sums_3B: Floats) -> list[Numbers]:
    """The bins in which there is anything."""
    return [
        {
            "low": at / BINS,
            "high": (at + 1) / BINS,
            "count": int(count),
            "probability": given / count,
            "frequency": came / count,
        }
        for at, (count, given, came) in enumerate(sums_3B.T.tolist())
        if count
    ]


def picture(numbers: Numbers) -> Picture:
    """Draw the reliability diagram."""
    unit = numbers["text_unit"]
    named = {f"every {unit}": numbers["all"], "the likeliest one": numbers["likeliest"]}
    lines = [
        Series(
            name=name,
            x=[each["probability"] for each in bins],
            y=[each["frequency"] for each in bins],
        )
        for name, bins in named.items()
    ]
    chart = Chart(
        title=f"How often {unit}s came, against the probability they were given",
        x_label="probability given",
        y_label="share that came",
        series=[Series(name="perfect", x=DIAGONAL, y=DIAGONAL, style="guide"), *lines],
        is_share=True,
    )
    rows = [
        (
            f"{each['low']:.0%} to {each['high']:.0%}",
            f"{each['count']:,}",
            f"{each['probability']:.1%}",
            f"{each['frequency']:.1%}",
        )
        for each in numbers["all"]
    ]
    error = numbers["expected_calibration_error"]
    columns = ("probability", "how many", "given on average", "came")
    return Picture(
        title=f"Calibration: {numbers['run']} on {numbers['source']}",
        sentences=[f"The expected calibration error of the likeliest {unit} is {error:.2%}."],
        charts=[chart],
        tables=[Table(f"Every {unit} at every place", columns, rows)],
    )
