"""The gradient that vanishes: how much a character k steps back still matters to the loss.

For many places t of a text, the norm of d loss(t) / d h(t-k): the loss of the character after t,
differentiated with respect to the hidden state after the character at t-k (the hidden states of
all layers in one vector). It is exact, computed in reverse through the cells. That it vanishes over
many steps is the finding of Bengio, Simard & Frasconi 1994.

Shapes: M places, T time, K distances.
"""

import numpy as np

from charrnn.evaluation.scoring import check_finite
from charrnn.explain.cells import Floats
from charrnn.explain.picture import Chart, Numbers, Picture, Series, Table
from charrnn.explain.reading import FEWEST, Reading, Request
from charrnn.messages import join_words
from charrnn.network import IdArray

SUMMARY = "the gradient that vanishes, character by character, of one or several runs"
FARTHEST = 200
PLACES = 128
ROWS = 32
WARM_UP = 64
"""Characters that are read in front of the farthest one, to leave the zero state behind."""
FEWEST_FITTED = 3
"""Norms that a half-life is fitted to, at the least."""
TINY = 1e-30
"""Norms below this are lost in float32."""
SMALLEST_SHOWN = 1e-12
SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200)
SPREAD = (0.1, 0.9)


def numbers(request: Request) -> Numbers:
    """Differentiate the loss at many places with respect to the states before them, run by run."""
    return {"runs": [_numbers(reading) for reading in request.readings]}


def _numbers(reading: Reading) -> Numbers:
    reading.require(FEWEST)
    norm_KM = _norms(reading)
    mean_K = norm_KM.mean(axis=1)
    check_finite(float(mean_K.max()), reading.model.path)
    low_K, high_K = np.quantile(norm_KM, SPREAD, axis=1)
    return {
        "run": reading.run,
        "text_unit": reading.unit,
        "cell": reading.model.card.cell,
        "distance": list(range(len(mean_K))),
        "norm": mean_K.tolist(),
        "low": low_K.tolist(),
        "high": high_K.tolist(),
        "half_life": half_life(mean_K),
    }


def half_life(norm_K: Floats) -> float | None:
    """In how many characters a norm halves, by the exponential that fits it best.

    That is a straight line through the logarithms, by least squares. None if it does not fall.
    """
    measurable_K = np.flatnonzero(norm_K > TINY)
    if len(measurable_K) < FEWEST_FITTED:
        return None
    slope, _ = np.polyfit(measurable_K, np.log2(norm_K[measurable_K]), 1)
    return float(-1 / slope) if slope < 0 else None


def _norms(reading: Reading) -> Floats:
    """The norm at each distance for each place, (K, M)."""
    inputs_MT, targets_M, distances = _places(reading)
    network, parts = reading.traced, []
    for at in range(0, len(targets_M), ROWS):
        inputs_BT = inputs_MT[at : at + ROWS]
        state = reading.network.initial_state(len(inputs_BT))
        _, state = network.advance(inputs_BT[:, :-distances], state)
        trace, _ = network.advance(inputs_BT[:, -distances:], state)
        gradients = network.gradients(trace, targets_M[at : at + ROWS])
        parts.append([np.linalg.norm(each.astype(np.float64), axis=1) for each in gradients])
    return np.concatenate([np.array(part) for part in parts], axis=1)


def _places(reading: Reading) -> tuple[IdArray, IdArray, int]:
    """Choose the places: what is read up to each (M, T), what comes next, and how many distances.

    In a stream they are spread evenly; in lines mode they are as deep in their lines as the median
    line is long, so that half of the lines have one.
    """
    lengths = np.diff(reading.documents)
    if reading.is_lines:
        distances, before = max(1, min(FARTHEST + 1, int(np.median(lengths)))), 0
        begins = reading.documents[:-1][lengths >= distances]
    else:
        distances = min(FARTHEST + 1, int(lengths[0]))
        before = min(WARM_UP, int(lengths[0]) - distances)
        begins = np.arange(int(lengths[0]) - distances - before + 1)
    chosen = np.unique(np.linspace(0, len(begins) - 1, PLACES).astype(np.int64))
    steps_MT = begins[chosen, None] + np.arange(before + distances)
    return reading.inputs_N[steps_MT], reading.targets_N[steps_MT[:, -1]], distances


def picture(numbers: Numbers) -> Picture:
    """Draw the norms against the distance, on a logarithmic axis, and state the half-lives."""
    runs = numbers["runs"]
    counted = join_words(dict.fromkeys(f"{run['text_unit']}s" for run in runs))
    farthest = max(len(run["norm"]) for run in runs)
    rows = [(str(k), *(_share(run, k) for run in runs)) for k in SHOWN if k < farthest]
    return Picture(
        title="Gradient through time",
        sentences=[_half_life(run) for run in runs],
        charts=[
            Chart(
                title="Norm of d loss(t) / d h(t-k): mean, and where 80 % of the places lie",
                x_label=f"k, {counted} back",
                y_label="norm of the gradient",
                series=[_series(run) for run in runs],
                log_y=True,
            )
        ],
        tables=[Table("What is left of the norm at k = 0", ("k", *map(_name, runs)), rows)],
    )


def _series(run: Numbers) -> Series:
    """The norms as far as they can be seen."""
    end = _first_below(run, SMALLEST_SHOWN) or len(run["norm"])
    low, high = (
        [max(each, SMALLEST_SHOWN) for each in run[side][:end]] for side in ("low", "high")
    )
    return Series(name=_name(run), x=run["distance"][:end], y=run["norm"][:end], low=low, high=high)


def _first_below(run: Numbers, level: float) -> int | None:
    return next((k for k, norm in enumerate(run["norm"]) if norm < level), None)


def _name(run: Numbers) -> str:
    return f"{run['run']} ({run['cell']})"


def _share(run: Numbers, k: int) -> str:
    if k >= len(run["norm"]):
        return ""
    share = run["norm"][k] / max(run["norm"][0], TINY)
    return f"{share:.1%}" if share >= 0.001 else f"{share:.0e}"


def _half_life(run: Numbers) -> str:
    units = f"{run['text_unit']}s"
    if len(run["norm"]) < FEWEST_FITTED:
        return f"{_name(run)}: the lines are too short to see whether the gradient vanishes."
    if run["half_life"] is None:
        return f"{_name(run)}: the gradient does not vanish in {len(run['norm']) - 1} {units}."
    hundredth = _first_below(run, 0.01 * run["norm"][0])
    fitted = f"half-life {run['half_life']:.1f} {units}, fitted over all distances"
    reach = "" if hundredth is None else f"; 1 % of what stands at 0 is left after {hundredth}"
    return f"{_name(run)}: {fitted}{reach}."
