"""How often each unit's gates are closed or open, and so what remembers for how long.

After the scatter of Karpathy, Johnson & Li 2015 (arXiv 1506.02078), Figure 2.

Shapes: L layers, H hidden, B rows, T time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.errors import UserError
from charrnn.explain.cells import GATE_NAMES, KEEPING_GATE, Floats
from charrnn.explain.picture import Chart, Picture, Series, Table
from charrnn.explain.subject import Subject

CLOSED_BELOW = 0.1
OPEN_ABOVE = 0.9
LONG = 0.9
"""A long memory: its keeping gate is open at this share of all characters or more."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """The share of the characters at which each gate is closed, and open; (L, H) each."""

    run: str
    source: str
    cell: str
    closed: Mapping[str, Floats]
    open: Mapping[str, Floats]

    @property
    def long_memories(self) -> int:
        """The units that keep what they hold at nearly every character."""
        return int((self.open[KEEPING_GATE[self.cell]] >= LONG).sum())

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "source": self.source,
            "cell": self.cell,
            "long_memories": self.long_memories,
            "gates": {
                name: {"closed": self.closed[name].tolist(), "open": self.open[name].tolist()}
                for name in self.closed
            },
        }

    def picture(self) -> Picture:
        """One scatter for each gate: a point for each unit."""
        charts = [self._chart(name) for name in self.closed]
        rows = [
            (
                f"{name}, layer {layer}" if len(closed_LH) > 1 else name,
                f"{closed_LH[layer].mean():.1%}",
                f"{self.open[name][layer].mean():.1%}",
            )
            for name, closed_LH in self.closed.items()
            for layer in range(len(closed_LH))
        ]
        table = Table(
            title="Mean over the units: share of the characters at which the gate is",
            columns=("gate", f"closed (< {CLOSED_BELOW})", f"open (> {OPEN_ABOVE})"),
            rows=rows,
        )
        keeping = KEEPING_GATE[self.cell]
        units = self.open[keeping].size
        sentence = (
            f"{self.long_memories} of {units} units work as long memories: their {keeping} gate is "
            f"open at {LONG:.0%} of the characters or more."
        )
        return Picture(
            title=f"Gates: {self.run} on {self.source}",
            sentences=[sentence],
            charts=charts,
            tables=[table],
        )

    def _chart(self, gate: str) -> Chart:
        layers = len(self.closed[gate])
        series = [
            Series(
                name=f"layer {layer}" if layers > 1 else "units",
                style="points",
                x=self.open[gate][layer].tolist(),
                y=self.closed[gate][layer].tolist(),
            )
            for layer in range(layers)
        ]
        return Chart(
            title=f"The {gate} gate of each unit",
            x_label="share of the time open",
            y_label="share closed",
            series=series,
            x_range=(0, 1),
            y_range=(0, 1),
        )


def explain_gates(subject: Subject) -> Gates:
    """Count how often each gate is closed and open while a text is read.

    Raises:
        UserError: The network is a plain RNN, which has no gates.
    """
    card = subject.model.card
    names = GATE_NAMES[card.cell]
    if not names:
        raise UserError(
            f"{subject.run} is a plain RNN, which has no gates",
            hint="a run with model.cell=lstm or gru has them",
        )
    subject = subject.sample()
    shape = (len(names), card.layers, card.hidden_size)
    closed, opened, count = np.zeros(shape), np.zeros(shape), 0
    for columns, trace in subject.read(subject.traced.advance):
        counted_BT = columns.counted_BT
        count += int(counted_BT.sum())
        for at, steps in enumerate(trace):
            for layer, step in enumerate(steps):
                for gate, name in enumerate(names):
                    values_BH = step[name][counted_BT[:, at]]
                    closed[gate, layer] += (values_BH < CLOSED_BELOW).sum(axis=0)
                    opened[gate, layer] += (values_BH > OPEN_ABOVE).sum(axis=0)
    return Gates(
        run=subject.run,
        source=subject.source,
        cell=card.cell,
        closed=dict(zip(names, closed / count, strict=True)),
        open=dict(zip(names, opened / count, strict=True)),
    )
