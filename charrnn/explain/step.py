"""One time step, written out: the equations of the cell with the model's own numbers in them.

The text is read from the zero state; the step that is shown is that of its last character.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.errors import UserError
from charrnn.explain.cells import Floats, Step, TracedNetwork, softmax
from charrnn.explain.picture import Picture, Table, visible
from charrnn.inference.network import NumpyNetwork
from charrnn.messages import quote
from charrnn.run.reader import TrainedModel

UNITS = 3
LIKELIEST = 5
INPUTS_SHOWN = 6
LONGEST_TEXT = 100_000
SATURATED = 1 - 1e-7
"""The largest hidden state whose sum before tanh float32 still tells."""

EQUATIONS = {
    "rnn": ("h' = tanh(W_x x + W_h h + b)",),
    "lstm": (
        "i = sigmoid(W_xi x + W_hi h + b_i)      input gate",
        "f = sigmoid(W_xf x + W_hf h + b_f)      forget gate",
        "g = tanh(W_xg x + W_hg h + b_g)         candidate",
        "o = sigmoid(W_xo x + W_ho h + b_o)      output gate",
        "c' = f c + i g                          new cell state",
        "h' = o tanh(c')                         new hidden state",
    ),
    "gru": (
        "r = sigmoid(W_xr x + W_hr h + b_r)      reset gate",
        "z = sigmoid(W_xz x + W_hz h + b_z)      update gate",
        "n = tanh(W_xn x + b_xn + r (W_hn h + b_hn))   candidate",
        "h' = (1 - z) n + z h                    new hidden state",
    ),
}


@dataclass(frozen=True, kw_only=True)
class UnitStep:
    """One unit's part in the step."""

    layer: int
    unit: int
    before: float
    """Its hidden state before."""
    values: Mapping[str, float]
    """Its gates, candidate and new states by name."""


@dataclass(frozen=True, kw_only=True)
class TimeStep:
    """One step of a network."""

    run: str
    cell: str
    input: str
    text: str
    character: str
    id: int
    vector: Sequence[float]
    """x: the character's embedding, the first numbers of it, or its one-hot vector's place."""
    vector_size: int
    units: Sequence[UnitStep]
    likeliest: Sequence[tuple[str, float]]

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "cell": self.cell,
            "text": self.text,
            "character": self.character,
            "id": self.id,
            "vector": self.vector,
            "units": [
                {"layer": unit.layer, "unit": unit.unit, "before": unit.before, **unit.values}
                for unit in self.units
            ],
            "likeliest": self.likeliest,
        }

    def picture(self) -> Picture:
        """The equations, the numbers, and what is predicted."""
        table = Table(
            title="What is likeliest to come next: softmax(W_y h' + b_y)",
            columns=("character", "probability"),
            rows=[(visible(char), f"{share:.1%}") for char, share in self.likeliest],
        )
        lines = [
            *EQUATIONS[self.cell],
            "",
            self._input_line(),
            *(line for unit in self.units for line in ("", *_worked(self.cell, unit))),
        ]
        char = visible(self.character)
        read = "".join(" " if char == " " else visible(char) for char in self.text[-40:])
        return Picture(
            title=f"One step: {self.run}, after {read}",
            sentences=[
                f"The state holds what came before {char}, which the network reads now.",
                "The units shown are those whose hidden state changes most.",
            ],
            tables=[table],
            equations="\n".join(lines),
        )

    def _input_line(self) -> str:
        name = f"x = {visible(self.character)}, id {self.id}"
        if self.input == "onehot":
            return f"{name}: a vector of {self.vector_size} zeros with a 1 at {self.id}"
        numbers = " ".join(f"{number:+.3f}" for number in self.vector[:INPUTS_SHOWN])
        return (
            f"{name}: row {self.id} of the embedding = [{numbers} ...], {self.vector_size} numbers"
        )


def _worked(cell: str, unit: UnitStep) -> list[str]:
    """The last equations of a cell with one unit's numbers in them."""
    name, before = f"unit {unit.unit}, layer {unit.layer}:", unit.before
    hidden = unit.values["hidden"]
    if cell == "rnn":
        summed = math.atanh(max(-SATURATED, min(SATURATED, hidden)))
        return [f"{name}  h' = tanh({summed:+.3f}) = {hidden:+.3f}   (it was {before:+.3f})"]
    candidate = unit.values["candidate"]
    if cell == "gru":
        reset, update = unit.values["reset"], unit.values["update"]
        mixed = f"(1 - {update:.3f}) x {candidate:+.3f} + {update:.3f} x {before:+.3f}"
        return [
            f"{name}  r = {reset:.3f}   z = {update:.3f}   n = {candidate:+.3f}",
            f"  h' = {mixed} = {hidden:+.3f}",
        ]
    names = ("input", "forget", "output", "cell before", "cell")
    input_, forget, output, cell_before, cell_after = (unit.values[each] for each in names)
    gates = f"i = {input_:.3f}   f = {forget:.3f}   g = {candidate:+.3f}   o = {output:.3f}"
    mixed = f"{forget:.3f} x {cell_before:+.3f} + {input_:.3f} x {candidate:+.3f}"
    shown = f"{output:.3f} x tanh({cell_after:+.3f}) = {hidden:+.3f}   (it was {before:+.3f})"
    return [f"{name}  {gates}", f"  c' = {mixed} = {cell_after:+.3f}", f"  h' = {shown}"]


def explain_step(model: TrainedModel, text: str) -> TimeStep:
    """Read a text and write out its last step.

    Raises:
        UserError: There is no text, or a character in it that the run does not know.
    """
    vocabulary, card = model.vocabulary, model.card
    if not text:
        raise UserError("there is no text to take a step in", hint='charrnn explain step "The "')
    text = text[-LONGEST_TEXT:]
    if unknown := vocabulary.unknown_in(text):
        raise UserError(f"the run does not know the character {quote(unknown[0][1])}")
    ids = vocabulary.encode(text)
    if vocabulary.bos_id is not None:
        ids = np.concatenate([[vocabulary.bos_id], ids])
    network = NumpyNetwork.of(model)
    _, before_SL1H = network.advance(ids[None, :-1], network.initial_state(1))
    traced = TracedNetwork(model)
    trace, _ = traced.advance(ids[None, -1:], before_SL1H)
    steps = trace[0]
    probabilities_V = softmax(traced.logits(steps[-1]["hidden"]))[0]
    best = np.argsort(-probabilities_V, kind="stable")[:LIKELIEST].tolist()
    id_ = int(ids[-1])
    vector: Floats = np.empty(0, np.float32)
    if card.input == "embedding":
        vector = model.weights["embedding.weight"][id_]
    return TimeStep(
        run=model.path.name,
        cell=card.cell,
        input=card.input,
        text=text,
        character=vocabulary.characters[id_],
        id=id_,
        vector=vector.tolist(),
        vector_size=card.input_size,
        units=[
            unit
            for layer, step in enumerate(steps)
            for unit in _units(layer, step, before_SL1H[0, layer, 0])
        ],
        likeliest=[(vocabulary.characters[at], float(probabilities_V[at])) for at in best],
    )


def _units(layer: int, step: Step, before_H: Floats) -> list[UnitStep]:
    """The units of a layer whose hidden state changes most."""
    changed_H = np.abs(step["hidden"][0] - before_H)
    return [
        UnitStep(
            layer=layer,
            unit=unit,
            before=float(before_H[unit]),
            values={name: float(values_BH[0, unit]) for name, values_BH in step.items()},
        )
        for unit in np.argsort(-changed_H, kind="stable")[:UNITS].tolist()
    ]
