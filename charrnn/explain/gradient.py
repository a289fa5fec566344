"""The gradient that vanishes: how much a character k steps back still matters to the loss.

For many places t of a text, the norm of d loss(t) / d h(t-k): the loss of the character after t,
differentiated with respect to the hidden state after the character at t-k (the hidden states of
all layers in one vector). It is exact, computed in reverse through the cells; what the gradient
does over many steps is the subject of Bengio, Simard & Frasconi 1994.

Shapes: M places, T time, K distances.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.errors import UserError
from charrnn.explain.cells import Floats
from charrnn.explain.picture import Chart, Picture, Series, Table
from charrnn.explain.subject import Subject
from charrnn.network import IdArray

FARTHEST = 200
PLACES = 128
ROWS = 32
WARM_UP = 64
"""Characters that are read in front of the farthest one, to leave the zero state behind."""
TINY = 1e-30
"""Norms below this are lost in float32."""
SMALLEST_SHOWN = 1e-12
SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True, kw_only=True)
class RunGradient:
    """The norms of one run's gradient."""

    run: str
    cell: str
    norm_KM: Floats
    """At each distance, for each place."""

    @property
    def mean_K(self) -> Floats:
        """The mean over the places."""
        mean: Floats = self.norm_KM.mean(axis=1)
        return mean

    @property
    def half_life(self) -> float | None:
        """In how many characters the mean norm halves.

        It is that of the exponential that fits the norms best: a straight line through their
        logarithms, by least squares. None if the norm does not fall.
        """
        measurable_K = np.flatnonzero(self.mean_K > TINY)
        if len(measurable_K) < 2:
            return None
        slope, _ = np.polyfit(measurable_K, np.log2(self.mean_K[measurable_K]), 1)
        return float(-1 / slope) if slope < 0 else None

    def distance_to(self, share: float) -> int | None:
        """The first distance at which no more than a share of the norm at 0 is left."""
        fallen_K = np.flatnonzero(self.mean_K <= share * self.mean_K[0])
        return int(fallen_K[0]) if len(fallen_K) else None


@dataclass(frozen=True, kw_only=True)
class GradientOverTime:
    """The gradients of one or several runs."""

    runs: Sequence[RunGradient]

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "runs": [
                {
                    "run": each.run,
                    "cell": each.cell,
                    "distance": list(range(len(each.mean_K))),
                    "norm": each.mean_K.tolist(),
                    "low": np.quantile(each.norm_KM, 0.1, axis=1).tolist(),
                    "high": np.quantile(each.norm_KM, 0.9, axis=1).tolist(),
                    "half_life": each.half_life,
                }
                for each in self.runs
            ]
        }

    def picture(self) -> Picture:
        """The norms against the distance, on a logarithmic axis, and the half-lives."""
        series = [_series(each) for each in self.runs]
        chart = Chart(
            title="Norm of d loss(t) / d h(t-k): mean, and where 80 % of the places lie",
            x_label="k, characters back",
            y_label="norm of the gradient",
            series=series,
            log_y=True,
        )
        shown = [k for k in SHOWN if k < max(len(each.mean_K) for each in self.runs)]
        table = Table(
            title="What is left of the gradient's norm, relative to k = 0",
            columns=("k", *(_name(each) for each in self.runs)),
            rows=[(str(k), *(_share(each, k) for each in self.runs)) for k in shown],
        )
        return Picture(
            title="Gradient through time",
            sentences=[_half_life(each) for each in self.runs],
            charts=[chart],
            tables=[table],
        )


def _series(gradient: RunGradient) -> Series:
    """The norms as far as they can be seen."""
    gone_K = np.flatnonzero(gradient.mean_K < SMALLEST_SHOWN)
    end = int(gone_K[0]) if len(gone_K) else len(gradient.mean_K)
    low_K, high_K = np.quantile(gradient.norm_KM[:end], (0.1, 0.9), axis=1)
    return Series(
        name=_name(gradient),
        x=list(range(end)),
        y=gradient.mean_K[:end].tolist(),
        low=np.maximum(low_K, SMALLEST_SHOWN).tolist(),
        high=np.maximum(high_K, SMALLEST_SHOWN).tolist(),
    )


def _name(gradient: RunGradient) -> str:
    return f"{gradient.run} ({gradient.cell})"


def _share(gradient: RunGradient, k: int) -> str:
    if k >= len(gradient.mean_K):
        return ""
    share = float(gradient.mean_K[k] / max(gradient.mean_K[0], TINY))
    return f"{share:.1%}" if share >= 0.001 else f"{share:.0e}"


def _half_life(gradient: RunGradient) -> str:
    if gradient.half_life is None:
        return f"{_name(gradient)}: the gradient does not vanish in {FARTHEST} characters."
    hundredth = gradient.distance_to(0.01)
    reach = "" if hundredth is None else f"; 1 % is left after {hundredth}"
    return f"{_name(gradient)}: half-life {gradient.half_life:.1f} characters{reach}."


def explain_gradient(subjects: Sequence[Subject]) -> GradientOverTime:
    """Differentiate the loss at many places of a text with respect to the states before them."""
    return GradientOverTime(runs=[_run_gradient(subject) for subject in subjects])


def _run_gradient(subject: Subject) -> RunGradient:
    inputs_MT, targets_M, distances = _places(subject)
    network = subject.traced
    parts = []
    for at in range(0, len(targets_M), ROWS):
        inputs_BT = inputs_MT[at : at + ROWS]
        state = subject.network.initial_state(len(inputs_BT))
        _, state = network.advance(inputs_BT[:, :-distances], state)
        trace, _ = network.advance(inputs_BT[:, -distances:], state)
        gradients = network.gradients(trace, targets_M[at : at + ROWS])
        parts.append(
            [np.linalg.norm(d_hidden.astype(np.float64), axis=1) for d_hidden in gradients]
        )
    norm_KM = np.concatenate([np.array(part) for part in parts], axis=1)
    return RunGradient(run=subject.run, cell=subject.model.card.cell, norm_KM=norm_KM)


def _places(subject: Subject) -> tuple[IdArray, IdArray, int]:
    """Choose the places: what is read up to each (M, T), what comes next, and how many distances.

    In a stream they are spread evenly; in lines mode they are as deep in their lines as the median
    line is long, so that half of the lines have one.
    """
    lengths = np.diff(subject.documents)
    if subject.is_lines:
        distances = max(1, min(FARTHEST + 1, int(np.median(lengths))))
        begins = subject.documents[:-1][lengths >= distances]
        before = 0
    else:
        distances = min(FARTHEST + 1, int(lengths[0]))
        before = min(WARM_UP, int(lengths[0]) - distances)
        begins = np.arange(int(lengths[0]) - distances - before + 1)
    places = np.unique(np.linspace(0, len(begins) - 1, PLACES).astype(np.int64))
    steps_MT = begins[places, None] + np.arange(before + distances)
    if not len(steps_MT):
        raise UserError(f"{subject.source} is too short", hint="a longer text has more places")
    return subject.inputs_N[steps_MT], subject.targets_N[steps_MT[:, -1]], distances
