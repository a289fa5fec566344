"""The cells as equations, with every gate kept, and their derivatives: what the views look into.

`charrnn/inference/cells.py` computes the same in place, for speed. Here a step returns all that it
computed, and its backward function is its exact reverse mode: given the derivative of a loss with
respect to the state after the step, the derivative with respect to the state before it.

Weights are torch's, in torch's layout. Shapes: B rows, H hidden, G gate rows, L layers, T time,
S parts of the state, V vocabulary.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.network import FloatArray, IdArray
from charrnn.run.reader import TrainedModel

Floats = npt.NDArray[np.floating[Any]]
Step = Mapping[str, Floats]
"""What one layer computed in one step: its gates, `hidden` and the rest by name, each (B, H)."""

GATES = {"lstm": ("input", "forget", "output"), "gru": ("reset", "update"), "rnn": ()}
"""The gates of each cell; each is between 0 (closed) and 1 (open)."""
KEEPING_GATE = {"lstm": "forget", "gru": "update"}
"""The gate that keeps a unit's memory as it is while it is open."""


class Gradient(NamedTuple):
    """The derivative of a loss with respect to what a step of a cell took in."""

    from_input_BG: Floats
    """With respect to W_x x + b_x."""
    from_hidden_BG: Floats
    """With respect to W_h h + b_h."""
    direct_BH: Floats
    """With respect to the hidden state, where that reaches the next one by no weights."""
    cell_BH: Floats
    """With respect to the cell state; of an LSTM only."""


class Cell(NamedTuple):
    """One step of a cell, forward and backward."""

    forward: Callable[[Floats, Floats, Floats, Floats], Step]
    """Of W_x x + b_x, W_h h + b_h, the hidden and the cell state before."""
    backward: Callable[[Step, Floats, Floats], Gradient]
    """Of the step and the derivatives with respect to the hidden and the cell state after it."""


def _rnn(x_BG: Floats, h_BG: Floats, _hidden: Floats, _cell: Floats) -> Step:
    """Compute h' = tanh(W_x x + b_x + W_h h + b_h) (Elman 1990)."""
    return {"hidden": np.tanh(x_BG + h_BG)}


def _rnn_backward(step: Step, d_hidden: Floats, d_cell: Floats) -> Gradient:
    d_gates_BG = d_hidden * (1 - step["hidden"] ** 2)
    return Gradient(d_gates_BG, d_gates_BG, np.zeros_like(d_hidden), d_cell)


def _lstm(x_BG: Floats, h_BG: Floats, _hidden: Floats, cell_before: Floats) -> Step:
    """Compute c' = f c + i g, h' = o tanh(c') (Hochreiter & Schmidhuber 1997, Gers et al. 2000)."""
    i, f, g, o = np.split(x_BG + h_BG, 4, axis=1)
    input_, forget, candidate, output = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    cell = forget * cell_before + input_ * candidate
    gates = {"input": input_, "forget": forget, "candidate": candidate, "output": output}
    return gates | {"cell before": cell_before, "cell": cell, "hidden": output * np.tanh(cell)}


def _lstm_backward(step: Step, d_hidden: Floats, d_cell: Floats) -> Gradient:
    input_, forget, output = step["input"], step["forget"], step["output"]
    candidate, squashed = step["candidate"], np.tanh(step["cell"])
    d_cell = d_cell + d_hidden * output * (1 - squashed**2)
    d_gates_BG = np.concatenate(
        [
            d_cell * candidate * input_ * (1 - input_),
            d_cell * step["cell before"] * forget * (1 - forget),
            d_cell * input_ * (1 - candidate**2),
            d_hidden * squashed * output * (1 - output),
        ],
        axis=1,
    )
    return Gradient(d_gates_BG, d_gates_BG, np.zeros_like(d_hidden), d_cell * forget)


def _gru(x_BG: Floats, h_BG: Floats, hidden: Floats, _cell: Floats) -> Step:
    """Compute n = tanh(W_x x + b_x + r (W_h h + b_h)), h' = (1 - z) n + z h (Cho et al. 2014)."""
    (x_r, x_z, x_n), (h_r, h_z, recalled) = np.split(x_BG, 3, axis=1), np.split(h_BG, 3, axis=1)
    reset, update = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    candidate = np.tanh(x_n + reset * recalled)
    gates = {"reset": reset, "update": update, "recalled": recalled, "candidate": candidate}
    after = (1 - update) * candidate + update * hidden
    return gates | {"hidden before": hidden, "hidden": after}


def _gru_backward(step: Step, d_hidden: Floats, d_cell: Floats) -> Gradient:
    reset, update, candidate = step["reset"], step["update"], step["candidate"]
    d_candidate = d_hidden * (1 - update) * (1 - candidate**2)
    d_update = d_hidden * (step["hidden before"] - candidate) * update * (1 - update)
    d_reset = d_candidate * step["recalled"] * reset * (1 - reset)
    from_input_BG = np.concatenate([d_reset, d_update, d_candidate], axis=1)
    from_hidden_BG = np.concatenate([d_reset, d_update, d_candidate * reset], axis=1)
    return Gradient(from_input_BG, from_hidden_BG, d_hidden * update, d_cell)


CELLS = {
    "rnn": Cell(_rnn, _rnn_backward),
    "lstm": Cell(_lstm, _lstm_backward),
    "gru": Cell(_gru, _gru_backward),
}


class TracedNetwork:
    """A trained network that keeps all that it computes."""

    def __init__(self, model: TrainedModel) -> None:
        self._card, self._weights = model.card, model.weights
        self._cell = CELLS[model.card.cell]
        output = "embedding.weight" if model.card.tie_weights else "output.weight"
        self._output_VH = model.weights[output]

    def advance(
        self, ids_BT: IdArray, state_SLBH: FloatArray
    ) -> tuple[list[list[Step]], FloatArray]:
        """Read T ids in each row; the step of every layer at each time, and the state after."""
        hidden: list[Floats] = list(state_SLBH[0])
        cells: list[Floats] = list(state_SLBH[-1])  # only an LSTM looks at them
        trace: list[list[Step]] = []
        for ids_B in ids_BT.T:
            trace.append([])
            x_BG = self._from_input(ids_B)
            for layer in range(self._card.layers):
                if layer:
                    x_BG = self._product("ih", layer, hidden[layer - 1])
                h_BG = self._product("hh", layer, hidden[layer])
                step = self._cell.forward(x_BG, h_BG, hidden[layer], cells[layer])
                hidden[layer], cells[layer] = step["hidden"], step.get("cell", cells[layer])
                trace[-1].append(step)
        parts = [hidden, cells] if self._card.cell == "lstm" else [hidden]
        return trace, np.array(parts, np.float32)

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
        layers = range(self._card.layers)
        zeros = np.zeros_like(trace[-1][0]["hidden"])
        errors_BV = softmax(self.logits(trace[-1][-1]["hidden"]))
        errors_BV[np.arange(len(targets_B)), targets_B] -= 1
        d_cell = [zeros for _ in layers]
        d_hidden = [*(zeros for _ in layers[1:]), errors_BV @ self._output_VH]
        found = [np.concatenate(d_hidden, axis=1)]
        for steps in reversed(trace[1:]):
            from_above = zeros
            for layer in reversed(layers):
                back = self._cell.backward(
                    steps[layer], d_hidden[layer] + from_above, d_cell[layer]
                )
                recurrent = back.from_hidden_BG @ self._weights[f"rnn.weight_hh_l{layer}"]
                d_hidden[layer], d_cell[layer] = back.direct_BH + recurrent, back.cell_BH
                if layer:
                    from_above = back.from_input_BG @ self._weights[f"rnn.weight_ih_l{layer}"]
            found.append(np.concatenate(d_hidden, axis=1))
        return found

    def _product(self, kind: str, layer: int, x_BK: Floats) -> Floats:
        """W x + b of a layer, for its input ("ih") or its own state ("hh")."""
        weights_GK = self._weights[f"rnn.weight_{kind}_l{layer}"]
        return x_BK @ weights_GK.T + self._weights[f"rnn.bias_{kind}_l{layer}"]

    def _from_input(self, ids_B: IdArray) -> Floats:
        """What characters add to the first layer's gates, (B, G)."""
        if self._card.input == "onehot":
            return self._weights["rnn.weight_ih_l0"].T[ids_B] + self._weights["rnn.bias_ih_l0"]
        return self._product("ih", 0, self._weights["embedding.weight"][ids_B])


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
