"""The recurrent cells in NumPy: one layer moves its hidden state by one character, in place.

A layer owns views into buffers that are allocated once, and every operation writes into one of
them. A sigmoid is a tanh in disguise, sigmoid(x) = tanh(x / 2) / 2 + 1/2: its inner half is folded
into the weights beforehand (`arrange_gates`), so that one tanh serves all gates of an LSTM.

Shapes: H hidden, G gate rows (4H LSTM, 3H GRU, H RNN), K inputs of a product (H, or 2H where the
layer below is read too). A leading R (rows) is there when several texts are read side by side,
and missing when there is one, because NumPy multiplies a vector by a matrix faster than a matrix
of one row: shapes written ...G are (R, G) or (G,).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from charrnn.network import FloatArray

HALF = np.float32(0.5)
CACHE_LINE_BYTES = 64
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class ArrangedWeights:
    """One layer's weights, arranged for products from the left; shared by all its users."""

    recurrent_KG: Sequence[FloatArray]
    """What the operand is multiplied by, for each network of an ensemble, whose own K and G are; K
    is 2H if the layer below is part of the operand."""
    bias_G: FloatArray
    """Both biases of torch's layer, but for the part of a GRU's that the reset gate scales."""


@dataclass(frozen=True, slots=True)
class GruWeights(ArrangedWeights):
    """A GRU's: two products, because the reset gate scales a part of one of them."""

    candidate_bias_H: FloatArray
    """The recurrent bias of the candidate state, which the reset gate scales too."""
    below_HG: Sequence[FloatArray]
    """What the layer below is multiplied by, for each network; none in the first layer."""


class Layer(Protocol):
    """One layer with the state that it has read its way to."""

    def step(self, addend: FloatArray) -> None:
        """Move the hidden state on; `addend` (...G) is what stands beside the recurrent product."""


def aligned(shape: tuple[int, ...]) -> FloatArray:
    """Return an uninitialised array that begins on a cache line, where BLAS reads fastest."""
    count = int(np.prod(shape))
    spare = CACHE_LINE_BYTES // FLOAT_BYTES
    memory = np.empty(count + spare, np.float32)
    start = -memory.ctypes.data % CACHE_LINE_BYTES // FLOAT_BYTES
    return memory[start : start + count].reshape(shape)


def aligned_zeros(shape: tuple[int, ...]) -> FloatArray:
    """Return an array of zeros that begins on a cache line."""
    zeros = aligned(shape)
    zeros[...] = 0
    return zeros


def transposed(weights_GK: FloatArray) -> FloatArray:
    """Return an aligned, contiguous transpose: vector @ (K, G) is the fastest product in NumPy."""
    result_KG = aligned(weights_GK.shape[::-1])
    result_KG[...] = weights_GK.T
    return result_KG


def arrange_gates(rows_G: FloatArray, cell: str) -> FloatArray:
    """Reorder torch's gate rows so that sigmoids stand together, and halve those.

    LSTM i,f,g,o becomes i,f,o,g; a GRU's r,z,n stays; the candidate (g, n) is never halved.
    Works on matrices (G, K) and biases (G,) alike.
    """
    if cell == "rnn":
        return rows_G
    if cell == "gru":
        reset, update, candidate = np.split(rows_G, 3)
        return np.concatenate([reset * HALF, update * HALF, candidate])
    input_, forget, candidate, output = np.split(rows_G, 4)
    return np.concatenate([input_ * HALF, forget * HALF, output * HALF, candidate])


def product(
    operand: FloatArray, weights: Sequence[FloatArray], gates: int, out: FloatArray
) -> Callable[[], object]:
    """What multiplies an operand (...K) by weights (K, G), into `out`, as it is when it is called.

    Of an ensemble each network multiplies what is its own in the operand, where the units of all
    lie side by side, and so do the rows of each of the gates.
    """
    if len(weights) == 1:
        return partial(np.dot, operand, weights[0], out)
    lead, count = out.shape[:-1], len(weights)
    outs = out.reshape(*lead, gates, count, -1)
    size = outs.shape[-1]
    operands = operand.reshape(*lead, -1, count, size)
    inputs = [aligned((*lead, each.shape[0])) for each in weights]
    sums = [aligned((*lead, each.shape[1])) for each in weights]
    networks = [
        (
            operands[..., k, :],
            inputs[k].reshape(*lead, -1, size),
            partial(np.dot, inputs[k], weights[k], sums[k]),
            sums[k].reshape(*lead, gates, size),
            outs[..., k, :],
        )
        for k in range(count)
    ]

    def multiply() -> None:
        for read, place, multiply_own, own, written in networks:
            np.copyto(place, read)
            multiply_own()
            np.copyto(written, own)

    return multiply


class RnnLayer:
    """h' = tanh(W x + b), torch.nn.RNN's default (Elman 1990)."""

    def __init__(self, weights: ArrangedWeights, operand: FloatArray, hidden: FloatArray) -> None:
        self._hidden = hidden
        self._sum = aligned(hidden.shape)
        self._multiply = product(operand, weights.recurrent_KG, 1, self._sum)

    def step(self, addend: FloatArray) -> None:
        """Move the hidden state on by one character."""
        self._multiply()
        np.add(self._sum, addend, out=self._sum)
        np.tanh(self._sum, out=self._hidden)


class LstmLayer:
    """torch.nn.LSTM's cell: c' = f c + i g, h' = o tanh(c') (Hochreiter 1997, Gers 2000)."""

    def __init__(
        self, weights: ArrangedWeights, operand: FloatArray, hidden: FloatArray, cell: FloatArray
    ) -> None:
        size = hidden.shape[-1]
        self._hidden = hidden
        self._cell = cell
        self._gates = aligned((*hidden.shape[:-1], 4 * size))
        self._multiply = product(operand, weights.recurrent_KG, 4, self._gates)
        self._sigmoids = self._gates[..., : 3 * size]
        self._input = self._gates[..., :size]
        self._forget = self._gates[..., size : 2 * size]
        self._output = self._gates[..., 2 * size : 3 * size]
        self._candidate = self._gates[..., 3 * size :]

    def step(self, addend: FloatArray) -> None:
        """Move the hidden and the cell state on by one character."""
        gates, sigmoids, candidate = self._gates, self._sigmoids, self._candidate
        self._multiply()
        np.add(gates, addend, out=gates)
        np.tanh(gates, out=gates)
        np.multiply(sigmoids, HALF, out=sigmoids)
        np.add(sigmoids, HALF, out=sigmoids)
        np.multiply(self._cell, self._forget, out=self._cell)
        np.multiply(self._input, candidate, out=candidate)
        np.add(self._cell, candidate, out=self._cell)
        np.tanh(self._cell, out=candidate)
        np.multiply(self._output, candidate, out=self._hidden)


class GruLayer:
    """torch.nn.GRU's cell, whose reset gate scales the recurrent product, bias included.

    n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h (Cho 2014, in cuDNN's form).
    """

    def __init__(self, weights: GruWeights, hidden: FloatArray, below: FloatArray | None) -> None:
        size = hidden.shape[-1]
        self._hidden = hidden
        self._candidate_bias_H = weights.candidate_bias_H
        self._gates = aligned((*hidden.shape[:-1], 3 * size))
        self._from_below = aligned(self._gates.shape)
        self._multiply = product(hidden, weights.recurrent_KG, 3, self._gates)
        self._multiply_below: Callable[[], object] | None = None
        if below is not None:
            self._multiply_below = product(below, weights.below_HG, 3, self._from_below)
        self._sigmoids = self._gates[..., : 2 * size]
        self._reset = self._gates[..., :size]
        self._update = self._gates[..., size : 2 * size]
        self._candidate = self._gates[..., 2 * size :]
        self._kept = aligned(hidden.shape)

    def step(self, addend: FloatArray) -> None:
        """Move the hidden state on by one character."""
        if self._multiply_below is not None:
            self._multiply_below()
            addend = np.add(self._from_below, addend, out=self._from_below)
        sigmoids, candidate, kept = self._sigmoids, self._candidate, self._kept
        size = candidate.shape[-1]
        self._multiply()
        np.add(sigmoids, addend[..., : 2 * size], out=sigmoids)
        np.tanh(sigmoids, out=sigmoids)
        np.multiply(sigmoids, HALF, out=sigmoids)
        np.add(sigmoids, HALF, out=sigmoids)
        np.add(candidate, self._candidate_bias_H, out=candidate)
        np.multiply(candidate, self._reset, out=candidate)
        np.add(candidate, addend[..., 2 * size :], out=candidate)
        np.tanh(candidate, out=candidate)
        np.subtract(self._hidden, candidate, out=kept)
        np.multiply(kept, self._update, out=kept)
        np.add(candidate, kept, out=self._hidden)
