"""Whether characters that are given 30 % come 30 % of the time."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.explain.cells import Floats, softmax
from charrnn.explain.picture import Chart, Picture, Series, Table
from charrnn.explain.subject import Subject

BINS = 10
DIAGONAL = [at / 40 for at in range(41)]
COUNT, SUM, HITS = range(3)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was given how often, and how often it came."""

    run: str
    source: str
    all_KB: Floats
    """Every character at every place, in bins of the probability it was given: how many, the sum
    of their probabilities, how many of them came."""
    top_KB: Floats
    """The same, of the likeliest character of each place alone."""

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance, over the places, of the likeliest character's probability from its hits.

        As in Guo et al. 2017 (arXiv 1706.04599), in ten bins of equal width.
        """
        differences_B = np.abs(self.top_KB[SUM] - self.top_KB[HITS])
        return float(differences_B.sum() / self.top_KB[COUNT].sum())

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "source": self.source,
            "expected_calibration_error": self.expected_calibration_error,
            "all": _bins(self.all_KB),
            "likeliest": _bins(self.top_KB),
        }

    def picture(self) -> Picture:
        """The reliability diagram."""
        error = self.expected_calibration_error
        named = (("every character", self.all_KB), ("the likeliest one", self.top_KB))
        series = [Series(name="perfect", x=DIAGONAL, y=DIAGONAL, style="guide")]
        for name, sums_KB in named:
            bins = [each for each in _bins(sums_KB) if each["count"]]
            series.append(
                Series(
                    name=name,
                    x=[each["probability"] for each in bins],
                    y=[each["frequency"] for each in bins],
                )
            )
        chart = Chart(
            title="How often characters came, against the probability they were given",
            x_label="probability given",
            y_label="share that came",
            series=series,
            x_range=(0, 1),
            y_range=(0, 1),
        )
        table = Table(
            title="Every character at every place",
            columns=("probability", "how many", "given on average", "came"),
            rows=[
                (
                    f"{each['low']:.0%} to {each['high']:.0%}",
                    f"{each['count']:,}",
                    f"{each['probability']:.1%}",
                    f"{each['frequency']:.1%}",
                )
                for each in _bins(self.all_KB)
                if each["count"]
            ],
        )
        sentence = (
            f"The probability of the likeliest character differs from the share in which it comes "
            f"by {error:.2%} on average (the expected calibration error)."
        )
        return Picture(
            title=f"Calibration: {self.run} on {self.source}",
            sentences=[sentence],
            charts=[chart],
            tables=[table],
        )


def _bins(sums_KB: Floats) -> list[dict[str, Any]]:
    edges = np.linspace(0, 1, BINS + 1).tolist()
    return [
        {
            "low": edges[at],
            "high": edges[at + 1],
            "count": int(count),
            "probability": total / count if count else None,
            "frequency": hits / count if count else None,
        }
        for at, (count, total, hits) in enumerate(sums_KB.T.tolist())
    ]


def explain_calibration(subject: Subject) -> Calibration:
    """Compare the probabilities that are given in a text with what comes."""
    subject = subject.sample()
    sums = np.zeros((2, 3, BINS))
    for columns, logits_BTV in subject.read(subject.network.advance):
        places_N = columns.places_BT[columns.counted_BT]
        probabilities_NV = softmax(logits_BTV[columns.counted_BT])
        came_NV = subject.targets_N[places_N, None] == np.arange(probabilities_NV.shape[1])
        best_N1 = probabilities_NV.argmax(axis=1)[:, None]
        for sums_KB, given, came in (
            (sums[0], probabilities_NV, came_NV),
            (
                sums[1],
                np.take_along_axis(probabilities_NV, best_N1, axis=1),
                np.take_along_axis(came_NV, best_N1, axis=1),
            ),
        ):
            _count(given.ravel(), came.ravel(), sums_KB)
    return Calibration(run=subject.run, source=subject.source, all_KB=sums[0], top_KB=sums[1])


def _count(given_N: Floats, came_N: Floats, sums_KB: Floats) -> None:
    """Add probabilities, and which of their characters came, to the sums of their bins."""
    bins_N = np.minimum((given_N * BINS).astype(np.int64), BINS - 1)
    for row, weights_N in ((COUNT, None), (SUM, given_N), (HITS, came_N)):
        sums_KB[row] += np.bincount(bins_N, weights_N, minlength=BINS)
