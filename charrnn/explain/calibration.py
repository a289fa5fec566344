"""Whether characters that are given 30 % come 30 % of the time.

Shapes: B bins of probability, N places of a text, V vocabulary.
"""

import numpy as np

from charrnn.evaluation.scoring import check_finite
from charrnn.explain.cells import Floats, softmax
from charrnn.explain.picture import Chart, Numbers, Picture, Series, Table
from charrnn.explain.subject import Request

SUMMARY = "whether characters that are given 30 % come 30 % of the time"
BINS = 10
DIAGONAL = [at / 40 for at in range(41)]


def numbers(request: Request) -> Numbers:
    """Compare the probabilities that are given in a text with what comes.

    `all` counts every character at every place, `likeliest` the likeliest of each place alone. The
    expected calibration error is that of the likeliest: the mean distance, over the places, of its
    bin's mean probability from the share in which it came (Guo et al. 2017, arXiv 1706.04599).
    """
    subject = request.subject.sample()
    all_bins, likeliest_bins = _Bins(), _Bins()
    for places_BT, counted_BT, logits_BTV in subject.read(subject.network.advance):
        targets_N = subject.targets_N[places_BT[counted_BT]]
        given_NV = softmax(logits_BTV[counted_BT])
        check_finite(float(given_NV.sum()) - len(given_NV), subject.model.path)
        came_NV = targets_N[:, None] == np.arange(given_NV.shape[1])
        all_bins.add(given_NV.ravel(), came_NV.ravel())
        likeliest_bins.add(given_NV.max(axis=1), given_NV.argmax(axis=1) == targets_N)
    return {
        "run": subject.run,
        "source": subject.source,
        "expected_calibration_error": likeliest_bins.error(),
        "all": all_bins.to_json(),
        "likeliest": likeliest_bins.to_json(),
    }


class _Bins:
    """Probabilities that were given, in bins of equal width."""

    def __init__(self) -> None:
        self._count_B, self._given_B, self._came_B = np.zeros((3, BINS))

    def add(self, given_N: Floats, came_N: Floats) -> None:
        """Take in some probabilities, and which of their characters came."""
        bins_N = np.minimum((given_N * BINS).astype(np.int64), BINS - 1)
        self._count_B += np.bincount(bins_N, minlength=BINS)
        self._given_B += np.bincount(bins_N, given_N, minlength=BINS)
        self._came_B += np.bincount(bins_N, came_N, minlength=BINS)

    def error(self) -> float:
        """The mean distance of what was given from what came."""
        return float(np.abs(self._given_B - self._came_B).sum() / self._count_B.sum())

    def to_json(self) -> list[Numbers]:
        """The bins in which there is anything."""
        return [
            {
                "low": at / BINS,
                "high": (at + 1) / BINS,
                "count": int(self._count_B[at]),
                "probability": float(self._given_B[at] / self._count_B[at]),
                "frequency": float(self._came_B[at] / self._count_B[at]),
            }
            for at in np.flatnonzero(self._count_B).tolist()
        ]


def picture(numbers: Numbers) -> Picture:
    """Draw the reliability diagram."""
    named = {"every character": numbers["all"], "the likeliest one": numbers["likeliest"]}
    lines = [
        Series(
            name=name,
            x=[each["probability"] for each in bins],
            y=[each["frequency"] for each in bins],
        )
        for name, bins in named.items()
    ]
    chart = Chart(
        title="How often characters came, against the probability they were given",
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
        sentences=[f"The expected calibration error of the likeliest character is {error:.2%}."],
        charts=[chart],
        tables=[Table("Every character at every place", columns, rows)],
    )
