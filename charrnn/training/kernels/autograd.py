"""One recurrent layer through time and back: products by oneDNN, all else by our kernels.

One time step is one product and one pass over its results. The weights are put into the order that
the product wants once a training step, not once a time step; the gradient of the recurrent weights
is one large product at the end of the way back, not a small one in each of its steps. The cells'
equations are those of `charrnn.training.cells`.

No gradient goes to the state before: truncated backpropagation ends there.

Shapes: S parts of the state, T time, B batch, H hidden, G gate rows, N rows, X inputs, Y outputs.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from charrnn.training.cells import LayerWeights
from charrnn.training.kernels.compiler import kernel


class PackedLinear:
    """Rows times a fixed matrix (Y, X), transposed.

    oneDNN wants a matrix in blocks that depend on the processor. torch's usual product packs it
    each time, which for few rows costs as much as multiplying. Where this torch does not let
    oneDNN keep the packed matrix, or without a number of rows, this is the usual product.
    """

    def __init__(self, weight_YX: Tensor, rows: int | None) -> None:
        self._weight_YX = weight_YX
        self._packed = None
        if rows is None:
            return
        if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight_YX, rows)

    def __call__(self, rows_NX: Tensor, addend_NY: Tensor | None = None) -> Tensor:
        """The products (N, Y), plus something if it is given, rounded once."""
        linear = torch.ops.mkldnn._linear_pointwise
        product: Tensor
        if self._packed is None:
            weight_XY = self._weight_YX.T
            product = rows_NX @ weight_XY
            return product if addend_NY is None else torch.addmm(addend_NY, rows_NX, weight_XY)
        if addend_NY is None:
            product = linear(rows_NX, self._packed, None, "none", [], "")
        else:
            product = linear.binary(rows_NX, addend_NY, self._packed, None, "add")
        return product


class PackedWeights:
    """The recurrent weights of one layer, for all parts of a batch in one step of training.

    Args:
        hidden_GH: The weights.
        kept_GH: What weight dropout multiplies them, and so their gradients, with.
        dtype: The type of the products.
        rows: How many rows a part of the batch has.
        pool: Where half of the packing is done.
    """

    def __init__(
        self,
        hidden_GH: Tensor,
        kept_GH: Tensor | None,
        *,
        dtype: torch.dtype,
        rows: int,
        pool: Executor,
    ) -> None:
        weight_GH = hidden_GH.detach() if kept_GH is None else hidden_GH.detach() * kept_GH
        weight_GH = weight_GH.to(dtype)
        forward = pool.submit(PackedLinear, weight_GH, rows)
        self.gates_to_hidden = PackedLinear(weight_GH.T.contiguous(), rows)
        self.hidden_to_gates = forward.result()
        self.kept_GH = kept_GH


class PlainWeights(PackedWeights):
    """The same weights as they are, in float32: packing them for a single row does not pay."""

    def __init__(self, hidden_GH: Tensor) -> None:
        weight_GH = hidden_GH.detach()
        self.hidden_to_gates = PackedLinear(weight_GH, rows=None)
        self.gates_to_hidden = PackedLinear(weight_GH.T, rows=None)
        self.kept_GH = None


def gate_bias(cell: str, weights: LayerWeights) -> Tensor:
    """The biases (G,) that are just added: all but what a GRU's reset gate scales."""
    hidden_bias_G = weights.hidden_bias_G
    if cell == "gru":
        reset_H, update_H, candidate_H = hidden_bias_G.chunk(3)
        hidden_bias_G = torch.cat((reset_H, update_H, torch.zeros_like(candidate_H)))
    return weights.input_bias_G + hidden_bias_G


def layer(
    cell: str,
    inputs: Tensor,
    ids_TB: Tensor | None,
    weights: LayerWeights,
    packed: PackedWeights,
    state_SBH: Tensor,
) -> tuple[Tensor, Tensor]:
    """Run one layer over all time steps.

    Args:
        cell: lstm, gru or rnn.
        inputs: what its gates are given by all but the state, `gate_bias` included: (T, B, G), or
            with `ids_TB` a table (V, G).
        ids_TB: which row of the table each place reads; None for inputs of each place.
        weights: of the layer, float32; those of the state are given gradients.
        packed: the same recurrent weights, ready to be multiplied with.
        state_SBH: the state before, float32.

    Returns:
        Hidden (T, B, H), of the products' type, and the state (S, B, H) after, float32.
    """
    bias_H = weights.hidden_bias_G.chunk(3)[2] if cell == "gru" else None
    hidden_TBH, after_SBH = _Layer.apply(
        cell, packed, ids_TB, state_SBH, inputs, weights.hidden_GH, bias_H
    )
    return hidden_TBH, after_SBH


class _Layer(Function):
    """The layer as autograd sees it.

    What it follows comes last: the inputs, the recurrent weights (which are only read as `packed`)
    and a GRU's bias.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        packed: PackedWeights,
        ids_TB: Tensor | None,
        state_SBH: Tensor,
        inputs: Tensor,
        _hidden_GH: Tensor,
        bias_H: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (S, B, H) after."""
        inputs = inputs.contiguous()
        if ids_TB is None:
            time, batch, _ = inputs.shape
            at_TB = torch.arange(time * batch).view(time, batch)
        else:
            at_TB = ids_TB.contiguous()
        time = len(at_TB)
        hidden = _states(state_SBH[0], time, inputs.dtype)
        gates_TBG = inputs.new_empty((*at_TB.shape, inputs.shape[-1]))
        cell_values = None
        arrays: tuple[Tensor, ...] = (hidden[1:],)
        if cell == "lstm":
            cell_values = cells = _states(state_SBH[1], time, torch.float32)
            arrays = (gates_TBG, cells, cells[1:], hidden[1:])
        elif bias_H is not None:
            cell_values = candidates_TBH = torch.empty_like(hidden[1:])
            carried_BH = state_SBH[0].clone()
            bias_TH, carried_TBH = (_repeated(each, time) for each in (bias_H, carried_BH))
            arrays = (bias_TH, gates_TBG, candidates_TBH, carried_TBH, hidden[1:])
        step = kernel(f"{cell}_forward", hidden.dtype, arrays=3 + len(arrays))
        times = zip(hidden[:-1], _addresses(time, at_TB, *arrays), strict=True)
        for before_BH, at_arrays in times:
            product_BG = packed.hidden_to_gates(before_BH)
            step(*before_BH.shape, product_BG.data_ptr(), inputs.data_ptr(), *at_arrays)
        if cell == "gru":
            after_SBH = carried_BH.unsqueeze(0)
        else:
            last_BH = hidden[-1].float()
            after_SBH = torch.stack((last_BH, cells[-1]) if cell == "lstm" else (last_BH,))
        ctx.cell, ctx.packed, ctx.rows = cell, packed, len(inputs)
        ctx.save_for_backward(ids_TB, hidden, gates_TBG, cell_values)
        ctx.mark_non_differentiable(after_SBH)
        return hidden[1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the inputs, the recurrent weights and a GRU's bias."""
        ids_TB, hidden, gates_TBG, cell_values = ctx.saved_tensors
        _backward_steps(ctx.cell, ctx.packed, hidden, gates_TBG, cell_values, d_hidden_TBH)
        d_weights_GH = (gates_TBG.flatten(0, 1).T @ hidden[:-1].flatten(0, 1)).float()
        if ctx.packed.kept_GH is not None:
            d_weights_GH *= ctx.packed.kept_GH
        d_bias_H = None
        if ctx.cell == "gru":
            d_candidates_TBH = gates_TBG.chunk(3, dim=-1)[2]
            d_bias_H = d_candidates_TBH.sum((0, 1), dtype=torch.float32)
            d_candidates_TBH.copy_(cell_values)  # from here on gradients of the inputs
        d_inputs = gates_TBG if ids_TB is None else _sum_by_row(gates_TBG, ids_TB, ctx.rows)
        return None, None, None, None, d_inputs, d_weights_GH, d_bias_H


def _backward_steps(
    cell: str,
    packed: PackedWeights,
    hidden: Tensor,
    gates_TBG: Tensor,
    cell_values: Tensor,
    d_hidden_TBH: Tensor,
) -> None:
    """From the last step to the first, turn the gates' activations into their gradients."""
    time = len(gates_TBG)
    carried_TBH = _repeated(torch.zeros_like(hidden[0], dtype=torch.float32), time)
    arrays: tuple[Tensor, ...] = (hidden[1:], gates_TBG)
    if cell == "lstm":
        arrays = (gates_TBG, cell_values, cell_values[1:], carried_TBH)
    elif cell == "gru":
        arrays = (gates_TBG, cell_values, hidden, carried_TBH)
    step = kernel(f"{cell}_backward", hidden.dtype, arrays=1 + len(arrays))
    at_arrays = list(_addresses(time, *arrays))
    d_hidden, d_gates = d_hidden_TBH.contiguous().unbind(), gates_TBG.unbind()
    for t in reversed(range(time)):
        d_hidden_BH = d_hidden[t]
        if t < time - 1:
            d_hidden_BH = packed.gates_to_hidden(d_gates[t + 1], d_hidden_BH)
        step(*d_hidden_BH.shape, d_hidden_BH.data_ptr(), *at_arrays[t])


def _states(first_BH: Tensor, time: int, dtype: torch.dtype) -> Tensor:
    """Room for T + 1 states, (T + 1, B, H), that begin with the given one."""
    states = torch.empty((time + 1, *first_BH.shape), dtype=dtype)
    states[0] = first_BH
    return states


def _repeated(array: Tensor, time: int) -> Tensor:
    """The same array at all times, as a view."""
    return array.detach().expand(time, *array.shape)


def _addresses(time: int, *arrays: Tensor) -> Iterator[tuple[int, ...]]:
    """Where in memory each array's part begins, for each of the first so many time steps."""
    of_arrays = (count(each.data_ptr(), each.stride(0) * each.element_size()) for each in arrays)
    return islice(zip(*of_arrays, strict=True), time)


def _sum_by_row(d_gates_TBG: Tensor, ids_TB: Tensor, rows: int) -> Tensor:
    """The gradient (V, G) of a table with so many rows; float32."""
    d_table_VG = torch.zeros(rows, d_gates_TBG.shape[-1])
    add_rows = kernel("add_rows", d_gates_TBG.dtype, arrays=3)
    arrays = (ids_TB.contiguous(), d_gates_TBG, d_table_VG)
    add_rows(ids_TB.numel(), d_table_VG.shape[1], *(array.data_ptr() for array in arrays))
    return d_table_VG
