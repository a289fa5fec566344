"""The cells as equations, with every gate kept, and their derivatives: what the views look into.

`charrnn/inference/cells.py` computes the same in place, for speed. Here each step returns all that
it computed, and `backward` is its exact reverse mode: given the derivative of a loss with respect
to the state after the step, the derivative with respect to the state before it and to the input.

Weights are torch's, in torch's layout. Shapes: B rows, K inputs, H hidden, G gate rows, L layers,
T time, S parts of the state, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from charrnn.network import FloatArray, IdArray
from charrnn.run.reader import TrainedModel

GATE_NAMES = {"lstm": ("input", "forget", "output"), "gru": ("reset", "update"), "rnn": ()}
"""The gates of each cell, in the field's words; each is between 0 (closed) and 1 (open)."""
KEEPING_GATE = {"lstm": "forget", "gru": "update"}
"""The gate that keeps a unit's memory as it is while it is open."""

Floats = npt.NDArray[np.floating[Any]]
Step = Mapping[str, Floats]
"""What one layer computed in one step: its gates, `hidden` and the rest by name, each (B, H)."""


class Gradient(NamedTuple):
    """The derivative of a loss with respect to what a step of a cell took in."""

    gates_BG: Floats
    """With respect to what the input adds to the gates, before their nonlinearities."""
    hidden_BH: Floats
    cell_BH: Floats


class Cell(Protocol):
    """One layer's cell with its recurrent weights."""

    def forward(self, inputs_BG: Floats, hidden_BH: Floats, cell_BH: Floats) -> Step:
        """Take one step; `inputs_BG` is W_x x + b_x."""

    def backward(self, step: Step, d_hidden_BH: Floats, d_cell_BH: Floats) -> Gradient:
        """Go one step back, from the derivatives with respect to the state after it."""


class RnnCell:
    """h' = tanh(W_x x + b_x + W_h h + b_h) (Elman 1990)."""

    def __init__(self, recurrent_GH: Floats, bias_G: Floats) -> None:
        self._recurrent_GH = recurrent_GH
        self._bias_G = bias_G

    def forward(self, inputs_BG: Floats, hidden_BH: Floats, _cell_BH: Floats) -> Step:
        """Take one step."""
        return {"hidden": np.tanh(inputs_BG + hidden_BH @ self._recurrent_GH.T + self._bias_G)}

    def backward(self, step: Step, d_hidden_BH: Floats, d_cell_BH: Floats) -> Gradient:
        """Go one step back."""
        d_gates_BG = d_hidden_BH * (1 - step["hidden"] ** 2)
        return Gradient(d_gates_BG, d_gates_BG @ self._recurrent_GH, d_cell_BH)


class LstmCell:
    """c' = f c + i g, h' = o tanh(c') (Hochreiter & Schmidhuber 1997, Gers et al. 2000)."""

    def __init__(self, recurrent_GH: Floats, bias_G: Floats) -> None:
        self._recurrent_GH = recurrent_GH
        self._bias_G = bias_G

    def forward(self, inputs_BG: Floats, hidden_BH: Floats, cell_BH: Floats) -> Step:
        """Take one step."""
        gates_BG = inputs_BG + hidden_BH @ self._recurrent_GH.T + self._bias_G
        i, f, g, o = np.split(gates_BG, 4, axis=1)
        input_, forget, candidate, output = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        cell = forget * cell_BH + input_ * candidate
        squashed = np.tanh(cell)
        return {
            "input": input_,
            "forget": forget,
            "candidate": candidate,
            "output": output,
            "cell before": cell_BH,
            "cell": cell,
            "squashed": squashed,
            "hidden": output * squashed,
        }

    def backward(self, step: Step, d_hidden_BH: Floats, d_cell_BH: Floats) -> Gradient:
        """Go one step back."""
        input_, forget, output = step["input"], step["forget"], step["output"]
        candidate, squashed = step["candidate"], step["squashed"]
        d_cell = d_cell_BH + d_hidden_BH * output * (1 - squashed**2)
        d_gates_BG = np.concatenate(
            [
                d_cell * candidate * input_ * (1 - input_),
                d_cell * step["cell before"] * forget * (1 - forget),
                d_cell * input_ * (1 - candidate**2),
                d_hidden_BH * squashed * output * (1 - output),
            ],
            axis=1,
        )
        return Gradient(d_gates_BG, d_gates_BG @ self._recurrent_GH, d_cell * forget)


class GruCell:
    """n = tanh(W_x x + b_x + r (W_h h + b_h)), h' = (1 - z) n + z h (Cho 2014, as in cuDNN)."""

    def __init__(self, recurrent_GH: Floats, bias_G: Floats) -> None:
        self._recurrent_GH = recurrent_GH
        self._bias_G = bias_G

    def forward(self, inputs_BG: Floats, hidden_BH: Floats, _cell_BH: Floats) -> Step:
        """Take one step."""
        r, z, n = np.split(inputs_BG, 3, axis=1)
        from_hidden_BG = hidden_BH @ self._recurrent_GH.T + self._bias_G
        r_hidden, z_hidden, recalled = np.split(from_hidden_BG, 3, axis=1)
        reset, update = sigmoid(r + r_hidden), sigmoid(z + z_hidden)
        candidate = np.tanh(n + reset * recalled)
        return {
            "reset": reset,
            "update": update,
            "recalled": recalled,
            "candidate": candidate,
            "hidden before": hidden_BH,
            "hidden": (1 - update) * candidate + update * hidden_BH,
        }

    def backward(self, step: Step, d_hidden_BH: Floats, d_cell_BH: Floats) -> Gradient:
        """Go one step back."""
        reset, update, candidate = step["reset"], step["update"], step["candidate"]
        d_candidate = d_hidden_BH * (1 - update) * (1 - candidate**2)
        d_update = d_hidden_BH * (step["hidden before"] - candidate) * update * (1 - update)
        d_reset = d_candidate * step["recalled"] * reset * (1 - reset)
        from_input_BG = np.concatenate([d_reset, d_update, d_candidate], axis=1)
        from_hidden_BG = np.concatenate([d_reset, d_update, d_candidate * reset], axis=1)
        d_before_BH = d_hidden_BH * update + from_hidden_BG @ self._recurrent_GH
        return Gradient(from_input_BG, d_before_BH, d_cell_BH)


CELLS: Mapping[str, type[RnnCell] | type[LstmCell] | type[GruCell]] = {
    "rnn": RnnCell,
    "lstm": LstmCell,
    "gru": GruCell,
}


class TracedNetwork:
    """A trained network that keeps all that it computes."""

    def __init__(self, model: TrainedModel) -> None:
        weights, card = model.weights, model.card
        self.card = card
        self._weights = weights
        self._cells: list[Cell] = [
            CELLS[card.cell](weights[f"rnn.weight_hh_l{layer}"], weights[f"rnn.bias_hh_l{layer}"])
            for layer in range(card.layers)
        ]
        tied = card.tie_weights
        self._output_VH = weights["embedding.weight" if tied else "output.weight"]

    def advance(
        self, ids_BT: IdArray, state_SLBH: FloatArray
    ) -> tuple[list[list[Step]], FloatArray]:
        """Read T ids in each row; what every layer computed at each step, and the state after."""
        hidden: list[Floats] = list(state_SLBH[0])
        cells: list[Floats] = list(state_SLBH[-1])  # only an LSTM looks at them
        trace: list[list[Step]] = []
        for ids_B in ids_BT.T:
            steps: list[Step] = []
            for layer, cell in enumerate(self._cells):
                below = steps[-1]["hidden"] if steps else None
                inputs_BG = self.input_to(layer, ids_B, below)
                step = cell.forward(inputs_BG, hidden[layer], cells[layer])
                hidden[layer], cells[layer] = step["hidden"], step.get("cell", cells[layer])
                steps.append(step)
            trace.append(steps)
        parts = [hidden, cells] if self.card.cell == "lstm" else [hidden]
        return trace, np.array(parts, np.float32)

    def input_to(self, layer: int, ids_B: IdArray, below_BH: Floats | None) -> Floats:
        """W_x x + b_x: what a character, or the layer below, adds to a layer's gates (B, G)."""
        weights_GK = self._weights[f"rnn.weight_ih_l{layer}"]
        bias_G = self._weights[f"rnn.bias_ih_l{layer}"]
        if below_BH is not None:
            product: Floats = below_BH @ weights_GK.T
        elif self.card.input == "onehot":
            product = weights_GK.T[ids_B]
        else:
            product = self._weights["embedding.weight"][ids_B] @ weights_GK.T
        return product + bias_G

    def logits(self, hidden_BH: Floats) -> Floats:
        """The prediction made from the last layer's hidden state, (B, V)."""
        return hidden_BH @ self._output_VH.T + self._weights["output.bias"]

    def gradients(self, trace: list[list[Step]], targets_B: IdArray) -> list[Floats]:
        """The derivatives of a loss at the end of a trace with respect to the states before.

        Args:
            trace: the steps that were read, as `advance` returns them.
            targets_B: what came next after the last of them; the loss is its negative
                log-likelihood, in nats, in each row for itself.

        Returns:
            For k = 0 .. T - 1 the derivative with respect to the hidden states (of all layers, one
            beside the other, (B, L*H)) that were carried on k steps before the end.
        """
        layers = range(self.card.layers)
        zeros = np.zeros_like(trace[-1][0]["hidden"])
        probabilities_BV = softmax(self.logits(trace[-1][-1]["hidden"]))
        probabilities_BV[np.arange(len(targets_B)), targets_B] -= 1
        d_hidden = [zeros for _ in layers]
        d_hidden[-1] = probabilities_BV @ self._output_VH
        d_cell = [zeros for _ in layers]
        found = [np.concatenate(d_hidden, axis=1)]
        for steps in reversed(trace[1:]):
            from_above: Floats = zeros
            for layer in reversed(layers):
                gradient = self._cells[layer].backward(
                    steps[layer], d_hidden[layer] + from_above, d_cell[layer]
                )
                d_hidden[layer], d_cell[layer] = gradient.hidden_BH, gradient.cell_BH
                if layer:
                    from_above = gradient.gates_BG @ self._weights[f"rnn.weight_ih_l{layer}"]
            found.append(np.concatenate(d_hidden, axis=1))
        return found


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    half = np.float32(0.5)
    result: Floats = np.tanh(x * half) * half + half
    return result


def softmax(logits: Floats) -> Floats:
    """The probabilities of logits, along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result
