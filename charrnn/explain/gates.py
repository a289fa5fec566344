"""How often each unit's gates are closed or open, and so what remembers for how long.

After Figure 2 of Karpathy, Johnson & Li 2015 (arXiv 1506.02078). Shapes: G gates, L layers,
H hidden, B rows, T time.
"""

import numpy as np

from charrnn.explain.cells import GATES, KEEPING_GATE
from charrnn.explain.picture import Chart, Numbers, Picture, Series, Table
from charrnn.explain.reading import Request, TooLittleError

SUMMARY = "how often each unit's gates are closed or open: what remembers for long"
CLOSED_BELOW = 0.1
OPEN_ABOVE = 0.9
LONG = 0.9
"""A long memory: its keeping gate is open at this share of all characters or more."""


def numbers(request: Request) -> Numbers:
    """Count how often each gate is closed and open while a text is read.

    Raises:
        TooLittleError: The network is a plain RNN, which has no gates.
    """
    card, reading = request.model.card, request.reading.sample()
    names = GATES[card.cell]
    if not names:
        raise TooLittleError(
            f"{reading.run} is a plain RNN, which has no gates",
            hint="a run with model.cell=lstm or gru has them",
        )
    closed_GLH, open_GLH = np.zeros((2, len(names), card.layers, card.hidden_size))
    for _, counted_BT, trace in reading.read(reading.traced.advance):
        for counted_B, steps in zip(counted_BT.T, trace, strict=True):
            values_GLBH = np.array([[step[name][counted_B] for step in steps] for name in names])
            closed_GLH += (values_GLBH < CLOSED_BELOW).sum(axis=2)
            open_GLH += (values_GLBH > OPEN_ABOVE).sum(axis=2)
    closed_GLH /= len(reading.targets_N)
    open_GLH /= len(reading.targets_N)
    kept_LH = open_GLH[names.index(KEEPING_GATE[card.cell])]
    return {
        **reading.about,
        "cell": card.cell,
        "units": kept_LH.size,
        "long_memories": int((kept_LH >= LONG).sum()),
        "gates": {
            name: {"closed": closed_LH.tolist(), "open": open_LH.tolist()}
            for name, closed_LH, open_LH in zip(names, closed_GLH, open_GLH, strict=True)
        },
    }


def picture(numbers: Numbers) -> Picture:
    """Draw one scatter for each gate: a point for each unit."""
    gates, unit = numbers["gates"], numbers["text_unit"]
    rows = [
        (
            f"{name}, layer {layer}",
            f"{np.mean(closed_H):.1%}",
            f"{np.mean(gates[name]['open'][layer]):.1%}",
        )
        for name in gates
        for layer, closed_H in enumerate(gates[name]["closed"])
    ]
    keeping = KEEPING_GATE[numbers["cell"]]
    columns = ("gate", f"closed (< {CLOSED_BELOW})", f"open (> {OPEN_ABOVE})")
    return Picture(
        title=f"Gates: {numbers['run']} on {numbers['source']}",
        sentences=[
            f"{numbers['long_memories']} of {numbers['units']} units work as long memories.",
            f"Their {keeping} gate is open at {LONG:.0%} of the {unit}s or more.",
        ],
        charts=[_chart(name, gate) for name, gate in gates.items()],
        tables=[Table(f"Share of the {unit}s, mean over the units", columns, rows)],
    )


def _chart(name: str, gate: Numbers) -> Chart:
    return Chart(
        title=f"The {name} gate of each unit",
        x_label="share of the time open",
        y_label="share closed",
        series=[
            Series(name=f"layer {layer}", style="points", x=open_H, y=gate["closed"][layer])
            for layer, open_H in enumerate(gate["open"])
        ],
        is_share=True,
    )
