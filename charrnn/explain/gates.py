"""How often each unit's gates are closed or open, and so what remembers for how long.

After Figure 2 of Karpathy, Johnson & Li 2015 (arXiv 1506.02078). Shapes: L layers, H hidden,
B rows, T time.
"""

import numpy as np

from charrnn.errors import UserError
from charrnn.explain.cells import GATES, KEEPING_GATE
from charrnn.explain.picture import Chart, Numbers, Picture, Series, Table
from charrnn.explain.subject import Request

SUMMARY = "how often each unit's gates are closed or open: what remembers for long"
CLOSED_BELOW = 0.1
OPEN_ABOVE = 0.9
LONG = 0.9
"""A long memory: its keeping gate is open at this share of all characters or more."""


def numbers(request: Request) -> Numbers:
    """Count how often each gate is closed and open while a text is read.

    Raises:
        UserError: The network is a plain RNN, which has no gates.
    """
    card, subject = request.model.card, request.subject.sample()
    names = GATES[card.cell]
    if not names:
        raise UserError(
            f"{subject.run} is a plain RNN, which has no gates",
            hint="a run with model.cell=lstm or gru has them",
        )
    shape = (len(names), card.layers, card.hidden_size)
    closed, opened, count = np.zeros(shape), np.zeros(shape), 0
    for _, counted_BT, trace in subject.read(subject.traced.advance):
        count += int(counted_BT.sum())
        for at, steps in enumerate(trace):
            for layer, step in enumerate(steps):
                for gate, name in enumerate(names):
                    values_BH = step[name][counted_BT[:, at]]
                    closed[gate, layer] += (values_BH < CLOSED_BELOW).sum(axis=0)
                    opened[gate, layer] += (values_BH > OPEN_ABOVE).sum(axis=0)
    kept = opened[names.index(KEEPING_GATE[card.cell])] / count
    return {
        "run": subject.run,
        "source": subject.source,
        "cell": card.cell,
        "units": kept.size,
        "long_memories": int((kept >= LONG).sum()),
        "gates": {
            name: {"closed": closed_LH.tolist(), "open": opened_LH.tolist()}
            for name, closed_LH, opened_LH in zip(
                names, closed / count, opened / count, strict=True
            )
        },
    }


def picture(numbers: Numbers) -> Picture:
    """Draw one scatter for each gate: a point for each unit."""
    gates = numbers["gates"]
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
            f"Their {keeping} gate is open at {LONG:.0%} of the characters or more.",
        ],
        charts=[_chart(name, gate) for name, gate in gates.items()],
        tables=[Table("Share of the characters, mean over the units", columns, rows)],
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
