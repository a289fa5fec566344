"""The trained network in NumPy: nothing to import but NumPy, and little but products to do.

The first layer never multiplies its input: what a character contributes to it (embedding, input
weights and biases) is one row of a table that is computed when the network is built. The hidden
states of all layers lie side by side in one buffer, so that the layer below and a layer's own
state are one contiguous vector, and each layer is one product, or one for each network of an
ensemble.

Shapes: S parts of the state, L layers, B batch, T time, R rows read side by side, H hidden,
E embedding, G gate rows, V vocabulary. ...X is (R, X), or (X,) when R is one.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from charrnn.ensemble import blocks
from charrnn.errors import UserError
from charrnn.inference.cells import (
    ArrangedWeights,
    GruLayer,
    GruWeights,
    Layer,
    LstmLayer,
    RnnLayer,
    aligned,
    aligned_zeros,
    arrange_gates,
    transposed,
)
from charrnn.network import GATES, STATE_PARTS, FloatArray, IdArray, Weights
from charrnn.run.model_card import ModelCard
from charrnn.run.reader import TrainedModel

TABLE_LIMIT_BYTES = 64 << 20
"""Largest table of first-layer rows; a larger vocabulary's rows are computed as they are read."""
ALL_ROWS = slice(None)

Ids = int | npt.NDArray[np.intp]
"""One id where one text is read, an array (R,) where several are."""
InputRows = Callable[[Ids, FloatArray], FloatArray]


class NumpyNetwork:
    """A trained network, ready to read: implements `charrnn.network.Network`."""

    def __init__(self, weights: Weights, card: ModelCard) -> None:
        """Arrange the weights of the network that `card` describes; torch's names and layout.

        Raises:
            UserError: A weight is not a finite number.
        """
        _refuse_non_finite(weights)
        self.card = card
        self.state_parts = STATE_PARTS[card.cell]
        self.input_rows = _input_rows(weights, card)
        self.layers = [_layer_weights(weights, card, layer) for layer in range(card.layers)]
        output = "embedding.weight" if card.tie_weights else "output.weight"
        self.output_HV = transposed(weights[output])
        self.output_bias_V = weights["output.bias"]

    @classmethod
    def of(cls, model: TrainedModel) -> "NumpyNetwork":
        """The network of a run."""
        return cls(model.weights, model.card)

    @property
    def vocabulary_size(self) -> int:
        """The number of ids the network can read and predict."""
        return self.card.vocabulary_size

    def initial_state(self, batch_size: int) -> FloatArray:
        """The state before any character: zeros, shape (S, L, B, H)."""
        shape = (self.state_parts, self.card.layers, batch_size, self.card.hidden_size)
        return np.zeros(shape, np.float32)

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read T ids in each of B rows; logits (B, T, V) and the state after, as `Network` says."""
        batch, time = ids_BT.shape
        stepper = NumpyStepper(self, batch)
        stepper.set_state(state_SLBH)
        tops_BTH = np.empty((batch, time, self.card.hidden_size), np.float32)
        for at, ids_B in enumerate(ids_BT.T.astype(np.intp)):
            stepper.read(ids_B if batch > 1 else int(ids_B[0]))
            tops_BTH[:, at] = stepper.top
        logits_NV = np.dot(tops_BTH.reshape(batch * time, -1), self.output_HV)
        np.add(logits_NV, self.output_bias_V, out=logits_NV)
        return logits_NV.reshape(batch, time, -1), stepper.state()


class NumpyStepper:
    """Reads with a `NumpyNetwork` character by character, in buffers that are allocated once."""

    def __init__(self, network: NumpyNetwork, rows: int) -> None:
        """Begin with the zero state in R rows."""
        card = network.card
        lead = () if rows == 1 else (rows,)
        self._network = network
        self._rows = rows
        self._addend = aligned((*lead, card.gate_rows))
        self._logits = aligned((*lead, card.vocabulary_size))
        hidden = aligned_zeros((*lead, card.layers * card.hidden_size))
        self._states = [np.split(hidden, card.layers, axis=-1)]
        if card.cell == "lstm":
            self._states.append(list(aligned_zeros((card.layers, *lead, card.hidden_size))))
        self._layers = [self._layer(hidden, layer) for layer in range(card.layers)]
        self._first = self._layers[0]
        self._upper = list(
            zip(self._layers[1:], [each.bias_G for each in network.layers[1:]], strict=True)
        )
        self.top: FloatArray = self._states[0][-1]
        """The last layer's hidden state (...H), which the prediction is made from."""

    def read(self, ids: Ids) -> None:
        """Read one id in each row."""
        self._first.step(self._network.input_rows(ids, self._addend))
        for layer, bias_G in self._upper:
            layer.step(bias_G)

    def predict(self) -> FloatArray:
        """The logits of what comes next (...V); overwritten by the next call."""
        np.dot(self.top, self._network.output_HV, out=self._logits)
        return np.add(self._logits, self._network.output_bias_V, out=self._logits)

    def state(self) -> FloatArray:
        """A copy of the state, (S, L, R, H)."""
        shape = self._network.initial_state(self._rows).shape
        return np.array(self._states, np.float32).reshape(shape)

    def set_state(self, state_SLRH: FloatArray, rows: slice = ALL_ROWS) -> None:
        """Go on from a state, in some of the rows if not in all."""
        for part_LRH, layers in zip(state_SLRH, self._states, strict=True):
            for layer_RH, view in zip(part_LRH, layers, strict=True):
                view.reshape(self._rows, -1)[rows] = layer_RH

    def set_row(self, row: int, state_SL1H: FloatArray) -> None:
        """Go on from a state in one row, and leave the others as they are."""
        self.set_state(state_SL1H, slice(row, row + 1))

    def _layer(self, hidden: FloatArray, layer: int) -> Layer:
        """One layer, reading the one below it; layer l's state lies at [l*H : (l+1)*H]."""
        card, weights = self._network.card, self._network.layers[layer]
        own = self._states[0][layer]
        if isinstance(weights, GruWeights):
            below = self._states[0][layer - 1] if layer else None
            return GruLayer(weights, own, below)
        size = card.hidden_size
        operand = hidden[..., max(layer - 1, 0) * size : (layer + 1) * size]
        if card.cell == "rnn":
            return RnnLayer(weights, operand, own)
        return LstmLayer(weights, operand, own, self._states[1][layer])


def _input_rows(weights: Weights, card: ModelCard) -> InputRows:
    """What each id adds to the first layer's gates (...G), from a table if that fits in memory.

    What is returned writes into `out`, or returns a row of the table.
    """
    inputs_EG = transposed(arrange_gates(weights["rnn.weight_ih_l0"], card.cell))
    bias_G = _input_bias(weights, card, 0)
    table_VG = inputs_EG
    if card.input == "embedding":
        embedding_VE = weights["embedding.weight"]
        if card.vocabulary_size * bias_G.nbytes > TABLE_LIMIT_BYTES:
            return lambda ids, out: np.add(
                np.dot(embedding_VE[ids], inputs_EG, out=out), bias_G, out=out
            )
        table_VG = np.dot(embedding_VE, inputs_EG, out=aligned((len(embedding_VE), len(bias_G))))
    np.add(table_VG, bias_G, out=table_VG)

    def look_up(ids: Ids, out: FloatArray) -> FloatArray:
        if isinstance(ids, int):
            row_G: FloatArray = table_VG[ids]
            return row_G
        return np.take(table_VG, ids, axis=0, out=out, mode="clip")

    return look_up


def _input_bias(weights: Weights, card: ModelCard, layer: int) -> FloatArray:
    """The biases that are added whatever the state, gates arranged."""
    recurrent_G = weights[f"rnn.bias_hh_l{layer}"].copy()
    if card.cell == "gru":
        recurrent_G[2 * card.hidden_size :] = 0
    return arrange_gates(weights[f"rnn.bias_ih_l{layer}"] + recurrent_G, card.cell)


def _layer_weights(weights: Weights, card: ModelCard, layer: int) -> ArrangedWeights:
    """One layer's weights, with those of the layer below in the same matrix where that is exact."""
    recurrent = _of_networks(weights[f"rnn.weight_hh_l{layer}"], card)
    below = _of_networks(weights[f"rnn.weight_ih_l{layer}"], card) if layer else []
    bias_G = _input_bias(weights, card, layer)
    if card.cell == "gru":
        return GruWeights(
            [transposed(each_GH) for each_GH in recurrent],
            bias_G,
            candidate_bias_H=weights[f"rnn.bias_hh_l{layer}"][2 * card.hidden_size :],
            below_HG=[transposed(each_GH) for each_GH in below],
        )
    both = [np.hstack(pair) for pair in zip(below, recurrent, strict=True)] if layer else recurrent
    return ArrangedWeights([transposed(each_GK) for each_GK in both], bias_G)


def _of_networks(matrix_GX: FloatArray, card: ModelCard) -> list[FloatArray]:
    """What each network of an ensemble has in a matrix from units to gates, which are arranged."""
    own = blocks(matrix_GX, card.ensemble_size, GATES[card.cell])
    return [arrange_gates(each_GX, card.cell) for each_GX in own]


def _refuse_non_finite(weights: Weights) -> None:
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise UserError(
                f"the weight {name} holds numbers that are not finite",
                hint="the file was damaged or its training diverged; train the run again",
            )
