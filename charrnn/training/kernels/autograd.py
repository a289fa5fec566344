"""A recurrent layer swept through time on a CPU: products by oneDNN, all else by our kernels.

One step is one product and one pass. The weights are put into the order that the product wants
once a training step, not once a time step; the gradient of the recurrent weights is one large
product after the sweep back, not a small one in each of its steps. Formulas: Hochreiter &
Schmidhuber 1997 and Gers et al. 2000 for the LSTM; Cho et al. 2014 for the GRU, with the reset
gate after the product, as torch has it; Elman 1990 for the RNN.

No gradient goes to the state before: truncated backpropagation ends there.

Shapes: S parts of the state, T time, B batch, H hidden, G gate rows, N rows of inputs.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from charrnn.training.cells import LayerWeights
from charrnn.training.kernels import Kernels
from charrnn.training.kernels.packed_linear import RecurrentProducts


class Inputs(NamedTuple):
    """What the gates are given by all but the state, `bias_outside` included."""

    rows_NG: Tensor
    """Of the products' type, contiguous: a row for each place, or for each character there is."""
    at_TB: Tensor
    """Which row each place reads, int64."""
    is_table: bool
    """Whether several places may read the same row."""

    @classmethod
    def of_places(cls, gates_TBG: Tensor) -> "Inputs":
        """A row for each place."""
        time, batch, _ = gates_TBG.shape
        rows_NG = gates_TBG.flatten(0, 1).contiguous()
        return cls(rows_NG, torch.arange(time * batch).view(time, batch), is_table=False)

    @classmethod
    def of_characters(cls, gates_VG: Tensor, ids_TB: Tensor) -> "Inputs":
        """A row for each character of the vocabulary."""
        return cls(gates_VG.contiguous(), ids_TB.contiguous(), is_table=True)


class NativeSweep:
    """How the layers of one training step are swept: with these kernels and these weights."""

    def __init__(self, kernels: Kernels, cell: str, products: Sequence[RecurrentProducts]) -> None:
        self._kernels = kernels
        self._cell = cell
        self._products = products

    def layer(
        self, index: int, inputs: Inputs, weights: LayerWeights, state_SBH: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state after, float32, of one layer.

        Args:
            index: which layer.
            inputs: what its gates are given by all but the state.
            weights: of the layer, float32; those of the state are given gradients.
            state_SBH: the state before, float32.
        """
        begin = (self._kernels, self._products[index], inputs, state_SBH)
        swept: tuple[Tensor, Tensor]
        if self._cell == "lstm":
            swept = LstmSweep.apply(*begin, inputs.rows_NG, weights.hidden_GH)
        elif self._cell == "rnn":
            swept = RnnSweep.apply(*begin, inputs.rows_NG, weights.hidden_GH)
        else:
            _, _, bias_H = weights.hidden_bias_G.chunk(3)
            swept = GruSweep.apply(*begin, inputs.rows_NG, weights.hidden_GH, bias_H)
        return swept


def bias_outside(cell: str, hidden_bias_G: Tensor) -> Tensor:
    """The biases that are just added to the gates: all but those that a GRU's reset gate scales."""
    if cell != "gru":
        return hidden_bias_G
    *outside, candidate_H = hidden_bias_G.chunk(3)
    return torch.cat((*outside, torch.zeros_like(candidate_H)))


class _Sweep(Function):
    """What the sweeps of all cells share.

    The tensors that autograd follows, the rows of the inputs and the recurrent weights, come last;
    the weights themselves are only read through the products made of them.
    """

    @staticmethod
    def _keep(ctx: Any, kernels: Kernels, products: RecurrentProducts, inputs: Inputs) -> None:
        ctx.kernels, ctx.products, ctx.is_table = kernels, products, inputs.is_table
        ctx.number_of_rows = len(inputs.rows_NG)

    @staticmethod
    def _gradients(
        ctx: Any, d_gates_TBG: Tensor, hidden: Tensor, at_TB: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The gradients (N, G) of the inputs and (G, H) of the recurrent weights."""
        d_weights_GH = _weights_gradient(ctx.products, d_gates_TBG, hidden)
        return _Sweep._inputs_gradient(ctx, d_gates_TBG, at_TB), d_weights_GH

    @staticmethod
    def _inputs_gradient(ctx: Any, d_gates_TBG: Tensor, at_TB: Tensor) -> Tensor:
        """The gradient (N, G) of the inputs; what several places read is summed in float32."""
        d_places_NG = d_gates_TBG.flatten(0, 1)
        if not ctx.is_table:
            return d_places_NG
        places, gates = d_places_NG.shape
        d_rows_NG = torch.zeros(ctx.number_of_rows, gates)
        add_rows = ctx.kernels("add_rows", d_places_NG.dtype)
        add_rows(places, gates, at_TB.data_ptr(), d_places_NG.data_ptr(), d_rows_NG.data_ptr())
        return d_rows_NG


class LstmSweep(_Sweep):
    """c' = f c + i g, h' = o tanh(c')."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        products: RecurrentProducts,
        inputs: Inputs,
        state_SBH: Tensor,
        rows_NG: Tensor,
        _hidden_GH: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (2, B, H) after."""
        hidden = _began_with(state_SBH[0], len(inputs.at_TB), rows_NG.dtype)
        cells = _began_with(state_SBH[1], len(inputs.at_TB), torch.float32)
        gates_TBG = _gates_like(inputs)
        step = kernels("lstm_forward", rows_NG.dtype)
        at_inputs, at_gates, at_cells, at_hidden = map(
            _addresses, (inputs.at_TB, gates_TBG, cells, hidden)
        )
        for t, before_BH in enumerate(hidden[:-1]):
            product_BG = products.forward(before_BH)
            step(
                *before_BH.shape,
                product_BG.data_ptr(),
                rows_NG.data_ptr(),
                at_inputs[t],
                at_gates[t],
                at_cells[t],
                at_cells[t + 1],
                at_hidden[t + 1],
            )
        _Sweep._keep(ctx, kernels, products, inputs)
        ctx.save_for_backward(inputs.at_TB, gates_TBG, cells, hidden)
        after_SBH = torch.stack((hidden[-1].float(), cells[-1]))
        ctx.mark_non_differentiable(after_SBH)
        return hidden[1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the inputs and of the recurrent weights."""
        at_TB, gates_TBG, cells, hidden = ctx.saved_tensors
        step = ctx.kernels("lstm_backward", gates_TBG.dtype)
        at_gates, at_cells = map(_addresses, (gates_TBG, cells))
        d_cells_BH = torch.zeros_like(cells[0])
        for t, d_hidden_BH in _backwards(ctx.products, gates_TBG, d_hidden_TBH):
            step(
                *d_cells_BH.shape,
                at_gates[t],
                at_cells[t],
                at_cells[t + 1],
                d_hidden_BH.data_ptr(),
                d_cells_BH.data_ptr(),
            )
        return None, None, None, None, *_Sweep._gradients(ctx, gates_TBG, hidden, at_TB)


class GruSweep(_Sweep):
    """n = tanh(x_n + r (W_n h + b_n)), h' = n + z (h - n)."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        products: RecurrentProducts,
        inputs: Inputs,
        state_SBH: Tensor,
        rows_NG: Tensor,
        _hidden_GH: Tensor,
        bias_H: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (1, B, H) after."""
        hidden = _began_with(state_SBH[0], len(inputs.at_TB), rows_NG.dtype)
        candidates_TBH = torch.empty_like(hidden[1:])
        gates_TBG = _gates_like(inputs)
        state_BH = state_SBH[0].clone()
        bias_H = bias_H.detach().contiguous()
        step = kernels("gru_forward", rows_NG.dtype)
        at_inputs, at_gates, at_candidates, at_hidden = map(
            _addresses, (inputs.at_TB, gates_TBG, candidates_TBH, hidden)
        )
        for t, before_BH in enumerate(hidden[:-1]):
            product_BG = products.forward(before_BH)
            step(
                *state_BH.shape,
                product_BG.data_ptr(),
                bias_H.data_ptr(),
                rows_NG.data_ptr(),
                at_inputs[t],
                at_gates[t],
                at_candidates[t],
                state_BH.data_ptr(),
                at_hidden[t + 1],
            )
        _Sweep._keep(ctx, kernels, products, inputs)
        ctx.save_for_backward(inputs.at_TB, gates_TBG, candidates_TBH, hidden)
        after_SBH = state_BH.unsqueeze(0)
        ctx.mark_non_differentiable(after_SBH)
        return hidden[1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the inputs, the recurrent weights and the candidate's bias."""
        at_TB, gates_TBG, candidates_TBH, hidden = ctx.saved_tensors
        step = ctx.kernels("gru_backward", gates_TBG.dtype)
        at_gates, at_candidates, at_hidden = map(_addresses, (gates_TBG, candidates_TBH, hidden))
        d_state_BH = torch.zeros_like(hidden[0], dtype=torch.float32)
        for t, d_hidden_BH in _backwards(ctx.products, gates_TBG, d_hidden_TBH):
            step(
                *d_state_BH.shape,
                at_gates[t],
                at_candidates[t],
                at_hidden[t],
                d_hidden_BH.data_ptr(),
                d_state_BH.data_ptr(),
            )
        d_weights_GH = _weights_gradient(ctx.products, gates_TBG, hidden)
        _, _, d_candidate_TBH = gates_TBG.chunk(3, dim=-1)
        d_bias_H = d_candidate_TBH.sum((0, 1), dtype=torch.float32)
        d_candidate_TBH.copy_(candidates_TBH)  # from here on gradients of the inputs
        d_rows_NG = _Sweep._inputs_gradient(ctx, gates_TBG, at_TB)
        return None, None, None, None, d_rows_NG, d_weights_GH, d_bias_H


class RnnSweep(_Sweep):
    """h' = tanh(x + W h)."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        products: RecurrentProducts,
        inputs: Inputs,
        state_SBH: Tensor,
        rows_NG: Tensor,
        _hidden_GH: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (1, B, H) after."""
        hidden = _began_with(state_SBH[0], len(inputs.at_TB), rows_NG.dtype)
        step = kernels("rnn_forward", rows_NG.dtype)
        at_inputs, at_hidden = map(_addresses, (inputs.at_TB, hidden))
        for t, before_BH in enumerate(hidden[:-1]):
            product_BG = products.forward(before_BH)
            step(
                *before_BH.shape,
                product_BG.data_ptr(),
                rows_NG.data_ptr(),
                at_inputs[t],
                at_hidden[t + 1],
            )
        _Sweep._keep(ctx, kernels, products, inputs)
        ctx.save_for_backward(inputs.at_TB, hidden)
        after_SBH = hidden[-1:].float()
        ctx.mark_non_differentiable(after_SBH)
        return hidden[1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the inputs and of the recurrent weights."""
        at_TB, hidden = ctx.saved_tensors
        d_gates_TBG = torch.empty_like(hidden[1:])
        step = ctx.kernels("rnn_backward", hidden.dtype)
        at_gates, at_hidden = map(_addresses, (d_gates_TBG, hidden))
        for t, d_hidden_BH in _backwards(ctx.products, d_gates_TBG, d_hidden_TBH):
            step(*d_hidden_BH.shape, at_hidden[t + 1], d_hidden_BH.data_ptr(), at_gates[t])
        return None, None, None, None, *_Sweep._gradients(ctx, d_gates_TBG, hidden, at_TB)


def _began_with(state_BH: Tensor, time: int, dtype: torch.dtype) -> Tensor:
    """Room for T + 1 states, (T + 1, B, H), the first of which is there."""
    states = torch.empty((time + 1, *state_BH.shape), dtype=dtype)
    states[0] = state_BH
    return states


def _gates_like(inputs: Inputs) -> Tensor:
    """Room for the gates (T, B, G)."""
    return inputs.rows_NG.new_empty((*inputs.at_TB.shape, inputs.rows_NG.shape[1]))


def _addresses(tensor: Tensor) -> range:
    """Where in memory each item of a contiguous tensor's first dimension begins."""
    begin, each = tensor.data_ptr(), tensor.stride(0) * tensor.element_size()
    return range(begin, begin + len(tensor) * each, each)


def _backwards(
    products: RecurrentProducts, d_gates_TBG: Tensor, d_hidden_TBH: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """Each time, the last first, with the gradient (B, H) of its hidden state.

    That is what comes from above, and from the gates of the time after, whose gradients whoever
    asks has written by then.
    """
    d_gates, d_hidden = d_gates_TBG.unbind(), d_hidden_TBH.contiguous().unbind()
    last = len(d_hidden) - 1
    yield last, d_hidden[last]
    for t in range(last - 1, -1, -1):
        yield t, products.backward.added(d_gates[t + 1], d_hidden[t])


def _weights_gradient(products: RecurrentProducts, d_gates_TBG: Tensor, hidden: Tensor) -> Tensor:
    """The gradient (G, H) of the recurrent weights: one product over all times and rows."""
    d_weights_GH = torch.mm(d_gates_TBG.flatten(0, 1).T, hidden[:-1].flatten(0, 1)).float()
    return d_weights_GH if products.kept_GH is None else d_weights_GH.mul_(products.kept_GH)
