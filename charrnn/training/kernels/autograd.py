"""One recurrent layer through time and back: products by oneDNN, all else by our kernels.

One time step is one product and one pass over its results. The weights are put into the order that
the product wants once a training step, not once a time step; the gradient of the recurrent weights
is one large product at the end of the way back, not a small one in each of its steps. The cells'
equations are those of `charrnn.training.cells`.

No gradient goes to the state before: truncated backpropagation ends there.

Shapes: S parts of the state, T time, B batch, H hidden, G gate rows, N rows of inputs.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from charrnn.training.cells import LayerWeights
from charrnn.training.kernels.compiler import kernel
from charrnn.training.kernels.packed_linear import PackedWeights

Arrays = dict[str, Tensor]


class GateInputs(NamedTuple):
    """What the gates are given by all but the state, `gate_bias` included."""

    rows_NG: Tensor
    """Of the products' type, contiguous: a row for each place, or for each character there is."""
    at_TB: Tensor
    """Which row each place reads, int64."""
    is_table: bool
    """Whether several places may read the same row."""

    @classmethod
    def of_places(cls, gates_TBG: Tensor) -> "GateInputs":
        """A row for each place."""
        time, batch, _ = gates_TBG.shape
        rows_NG = gates_TBG.flatten(0, 1).contiguous()
        return cls(rows_NG, torch.arange(time * batch).view(time, batch), is_table=False)

    @classmethod
    def of_characters(cls, gates_VG: Tensor, ids_TB: Tensor) -> "GateInputs":
        """A row for each character of the vocabulary."""
        return cls(gates_VG.contiguous(), ids_TB.contiguous(), is_table=True)


FORWARD_ARRAYS = {
    "lstm": ("gates", "cells", "cells'", "hidden'"),
    "gru": ("bias", "gates", "candidates", "carried", "hidden'"),
    "rnn": ("hidden'",),
}
"""What each cell's kernel takes after the products, the inputs, and which of these each row reads.

A name stands for an array's part at the time step at hand, `NAME'` for its part one step later.
"""
BACKWARD_ARRAYS = {
    "lstm": ("gates", "cells", "cells'", "carried"),
    "gru": ("gates", "candidates", "hidden", "carried"),
    "rnn": ("hidden'", "gates"),
}
"""What it takes on the way back, after the gradient of the hidden state."""
SAME_AT_ALL_TIMES = ("bias", "carried")


def layer(
    cell: str,
    inputs: GateInputs,
    weights: LayerWeights,
    packed: PackedWeights,
    state_SBH: Tensor,
) -> tuple[Tensor, Tensor]:
    """Run one layer over all time steps.

    Args:
        cell: lstm, gru or rnn.
        inputs: what its gates are given by all but the state.
        weights: of the layer, float32; those of the state are given gradients.
        packed: the same recurrent weights, ready to be multiplied with.
        state_SBH: the state before, float32.

    Returns:
        Hidden (T, B, H), of the products' type, and the state (S, B, H) after, float32.
    """
    bias_H = weights.hidden_bias_G.chunk(3)[2] if cell == "gru" else None
    hidden_TBH, after_SBH = _Layer.apply(
        cell, packed, inputs, state_SBH, inputs.rows_NG, weights.hidden_GH, bias_H
    )
    return hidden_TBH, after_SBH


def gate_bias(cell: str, weights: LayerWeights) -> Tensor:
    """The biases (G,) that are just added: all but what a GRU's reset gate scales."""
    hidden_bias_G = weights.hidden_bias_G
    if cell == "gru":
        reset_H, update_H, candidate_H = hidden_bias_G.chunk(3)
        hidden_bias_G = torch.cat((reset_H, update_H, torch.zeros_like(candidate_H)))
    return weights.input_bias_G + hidden_bias_G


class _Layer(Function):
    """The layer as autograd sees it.

    What it follows comes last: the rows of the inputs, the recurrent weights (which are only read
    as `packed`) and a GRU's bias.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        packed: PackedWeights,
        inputs: GateInputs,
        state_SBH: Tensor,
        rows_NG: Tensor,
        _hidden_GH: Tensor,
        bias_H: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (S, B, H) after."""
        arrays = _arrays_for(cell, inputs, state_SBH)
        if bias_H is not None:
            arrays["bias"] = bias_H.detach().contiguous()
        _run_forward(cell, packed, inputs, arrays)
        ctx.cell, ctx.packed, ctx.is_table, ctx.rows = cell, packed, inputs.is_table, len(rows_NG)
        ctx.kept = [name for name in arrays if name not in SAME_AT_ALL_TIMES]
        ctx.save_for_backward(inputs.at_TB, *(arrays[name] for name in ctx.kept))
        after_SBH = _state_after(cell, arrays)
        ctx.mark_non_differentiable(after_SBH)
        return arrays["hidden"][1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the inputs, the recurrent weights and a GRU's bias."""
        at_TB, *kept = ctx.saved_tensors
        arrays: Arrays = dict(zip(ctx.kept, kept, strict=True))
        hidden = arrays["hidden"]
        arrays.setdefault("gates", torch.empty_like(hidden[1:]))
        arrays["carried"] = torch.zeros_like(hidden[0], dtype=torch.float32)
        _run_backward(ctx.cell, ctx.packed, arrays, d_hidden_TBH)
        d_gates_TBG = arrays["gates"]
        d_weights_GH = _weights_gradient(ctx.packed, d_gates_TBG, hidden)
        d_bias_H = None
        if ctx.cell == "gru":
            d_candidate_TBH = d_gates_TBG.chunk(3, dim=-1)[2]
            d_bias_H = d_candidate_TBH.sum((0, 1), dtype=torch.float32)
            d_candidate_TBH.copy_(arrays["candidates"])  # from here on gradients of the inputs
        d_rows_NG = d_gates_TBG.flatten(0, 1)
        if ctx.is_table:
            d_rows_NG = _sum_by_row(d_rows_NG, at_TB, ctx.rows)
        return None, None, None, None, d_rows_NG, d_weights_GH, d_bias_H


def _arrays_for(cell: str, inputs: GateInputs, state_SBH: Tensor) -> Arrays:
    """Make room for all that a cell computes; its states, T + 1 of them, begin with the given."""
    time, rows_NG = len(inputs.at_TB), inputs.rows_NG
    arrays = {"hidden": _started_with(state_SBH[0], time, rows_NG.dtype)}
    if cell != "rnn":
        arrays["gates"] = rows_NG.new_empty((*inputs.at_TB.shape, rows_NG.shape[1]))
    if cell == "lstm":
        arrays["cells"] = _started_with(state_SBH[1], time, torch.float32)
    if cell == "gru":
        arrays["candidates"] = torch.empty_like(arrays["hidden"][1:])
        arrays["carried"] = state_SBH[0].clone()
    return arrays


def _started_with(state_BH: Tensor, time: int, dtype: torch.dtype) -> Tensor:
    states = torch.empty((time + 1, *state_BH.shape), dtype=dtype)
    states[0] = state_BH
    return states


def _state_after(cell: str, arrays: Arrays) -> Tensor:
    """The state (S, B, H) after the last step, float32."""
    if cell == "gru":
        return arrays["carried"].unsqueeze(0)
    last_BH = arrays["hidden"][-1].float()
    return torch.stack((last_BH, arrays["cells"][-1]) if cell == "lstm" else (last_BH,))


def _run_forward(cell: str, packed: PackedWeights, inputs: GateInputs, arrays: Arrays) -> None:
    hidden, names = arrays["hidden"], FORWARD_ARRAYS[cell]
    step = kernel(f"{cell}_forward", hidden.dtype, arrays=3 + len(names))
    at_rows = inputs.rows_NG.data_ptr()
    times = zip(
        hidden[:-1],
        _addresses(inputs.at_TB),
        _addresses_in_time(arrays, names, len(hidden) - 1),
        strict=True,
    )
    for before_BH, at_index, at_arrays in times:
        product_BG = packed.forward(before_BH)
        step(*before_BH.shape, product_BG.data_ptr(), at_rows, at_index, *at_arrays)


def _run_backward(cell: str, packed: PackedWeights, arrays: Arrays, d_hidden_TBH: Tensor) -> None:
    """From the last step to the first; the gates' activations become their gradients."""
    d_gates, d_hidden = arrays["gates"].unbind(), d_hidden_TBH.contiguous().unbind()
    time, names = len(d_hidden), BACKWARD_ARRAYS[cell]
    step = kernel(f"{cell}_backward", d_hidden[0].dtype, arrays=1 + len(names))
    at_arrays = list(_addresses_in_time(arrays, names, time))
    for t in range(time - 1, -1, -1):
        d_hidden_BH = d_hidden[t]
        if t < time - 1:
            d_hidden_BH = packed.backward.added(d_gates[t + 1], d_hidden_BH)
        step(*d_hidden_BH.shape, d_hidden_BH.data_ptr(), *at_arrays[t])


def _addresses_in_time(
    arrays: Arrays, names: Sequence[str], time: int
) -> Iterator[tuple[int, ...]]:
    """The addresses of a kernel's arrays at each time step."""

    def of(name: str) -> Iterable[int]:
        array = arrays[name.removesuffix("'")]
        if name in SAME_AT_ALL_TIMES:
            return repeat(array.data_ptr(), time)
        first = 1 if name.endswith("'") else 0
        return _addresses(array)[first : first + time]

    return zip(*map(of, names), strict=True)


def _addresses(array: Tensor) -> range:
    """Where in memory each item of a contiguous array's first dimension begins."""
    begin, each = array.data_ptr(), array.stride(0) * array.element_size()
    return range(begin, begin + len(array) * each, each)


def _weights_gradient(packed: PackedWeights, d_gates_TBG: Tensor, hidden: Tensor) -> Tensor:
    """The gradient (G, H) of the recurrent weights: one product over all times and rows."""
    d_weights_GH = torch.mm(d_gates_TBG.flatten(0, 1).T, hidden[:-1].flatten(0, 1)).float()
    return d_weights_GH if packed.kept_GH is None else d_weights_GH.mul_(packed.kept_GH)


def _sum_by_row(d_places: Tensor, at_TB: Tensor, rows: int) -> Tensor:
    """The gradient (rows, G) of a table, from that (T * B, G) of the places; float32."""
    places, gates = d_places.shape
    d_rows_NG = torch.zeros(rows, gates)
    add_rows = kernel("add_rows", d_places.dtype, arrays=3)
    add_rows(places, gates, at_TB.data_ptr(), d_places.data_ptr(), d_rows_NG.data_ptr())
    return d_rows_NG
