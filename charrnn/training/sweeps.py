"""A recurrent layer swept through time on a CPU: products by oneDNN, all else by our kernels.

One step is one product and one pass. The weights are put into the order that the product wants
once a sweep, not once a step; the gradient of the recurrent weights is one large product after
the sweep back, not a small one in each of its steps. Formulas: Hochreiter & Schmidhuber 1997 and
Gers et al. 2000 for the LSTM; Cho et al. 2014 for the GRU, with the reset gate after the product,
as torch has it; Elman 1990 for the RNN.

Gates come in with all that does not depend on the state (input, biases) and are used up: forward
puts activations in their place, backward their gradients. Nobody else may need them; what makes
them (a lookup, a linear map) does not. No gradient goes to the state before: truncated
backpropagation ends there.

Shapes: S parts of the state, T time, B batch, H hidden, G gate rows, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from charrnn.training.cells import LayerWeights
from charrnn.training.native import Kernels
from charrnn.training.products import RecurrentProducts


class NativeSweep:
    """How the layers of one training step are swept: with these kernels and these weights."""

    def __init__(self, kernels: Kernels, cell: str, products: Sequence[RecurrentProducts]) -> None:
        self._kernels = kernels
        self._cell = cell
        self._products = products

    def layer(
        self, index: int, gates_TBG: Tensor, weights: LayerWeights, state_SBH: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One layer, from what its input gives its gates; hidden (T, B, H) and the state after.

        Args:
            index: which layer.
            gates_TBG: of the products' type, contiguous, with `bias_outside` in it; overwritten.
            weights: of the layer, float32; they are given gradients.
            state_SBH: the state before, float32.
        """
        products = self._products[index]
        begin = (self._kernels, products, gates_TBG, weights.hidden_GH)
        swept: tuple[Tensor, Tensor]
        if self._cell == "lstm":
            swept = LstmSweep.apply(*begin, state_SBH)
        elif self._cell == "rnn":
            swept = RnnSweep.apply(*begin, state_SBH)
        else:
            _, _, bias_H = weights.hidden_bias_G.chunk(3)
            swept = GruSweep.apply(*begin, bias_H, state_SBH)
        return swept

    def looked_up(self, table_VG: Tensor, ids_TB: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows (T, B, G) of a table in this type, ready to be swept."""
        rows: Tensor = Lookup.apply(self._kernels, table_VG, ids_TB, dtype)
        return rows


def bias_outside(cell: str, hidden_bias_G: Tensor) -> Tensor:
    """The biases that are just added to the gates: all but those that a GRU's reset gate scales."""
    if cell != "gru":
        return hidden_bias_G
    *outside, candidate_H = hidden_bias_G.chunk(3)
    return torch.cat((*outside, torch.zeros_like(candidate_H)))


class Lookup(Function):
    """Rows of a table, rounded to a type; their gradients are summed in float32."""

    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, table_VG: Tensor, ids_TB: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """The rows (T, B, G) of the ids."""
        ctx.kernels, ctx.shape = kernels, table_VG.shape
        ctx.save_for_backward(ids_TB)
        return functional.embedding(ids_TB, table_VG.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_rows_TBG: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient (V, G) of the table."""
        (ids_TB,) = ctx.saved_tensors
        ids_TB, d_rows_TBG = ids_TB.contiguous(), d_rows_TBG.contiguous()
        d_table_VG = torch.zeros(ctx.shape)
        add_rows = ctx.kernels("add_rows", d_rows_TBG.dtype)
        add_rows(
            ids_TB.numel(),
            ctx.shape[1],
            ids_TB.data_ptr(),
            d_rows_TBG.data_ptr(),
            d_table_VG.data_ptr(),
        )
        return None, d_table_VG, None, None


class LstmSweep(Function):
    """c' = f c + i g, h' = o tanh(c')."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        products: RecurrentProducts,
        gates_TBG: Tensor,
        _hidden_GH: Tensor,
        state_SBH: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (2, B, H) after."""
        hidden = _began_with(state_SBH[0], gates_TBG)
        cells = _began_with(state_SBH[1], gates_TBG, torch.float32)
        step = kernels("lstm_forward", gates_TBG.dtype)
        at_gates, at_cells, at_hidden = map(_addresses, (gates_TBG, cells, hidden))
        for t, (before_BH, gates_BG) in enumerate(zip(hidden, gates_TBG, strict=False)):
            moved_BG = products.forward.added(before_BH, gates_BG)
            step(
                *before_BH.shape,
                moved_BG.data_ptr(),
                at_gates[t],
                at_cells[t],
                at_cells[t + 1],
                at_hidden[t + 1],
            )
        ctx.kernels, ctx.products = kernels, products
        ctx.save_for_backward(gates_TBG, cells, hidden)
        after_SBH = torch.stack((hidden[-1].float(), cells[-1]))
        ctx.mark_non_differentiable(after_SBH)
        return hidden[1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the gates and of the recurrent weights."""
        gates_TBG, cells, hidden = ctx.saved_tensors
        d_hidden_TBH = d_hidden_TBH.contiguous()
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
        return None, None, gates_TBG, _weights_gradient(ctx.products, gates_TBG, hidden), None


class GruSweep(Function):
    """n = tanh(x_n + r (W_n h + b_n)), h' = n + z (h - n)."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        products: RecurrentProducts,
        gates_TBG: Tensor,
        _hidden_GH: Tensor,
        bias_H: Tensor,
        state_SBH: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (1, B, H) after."""
        hidden = _began_with(state_SBH[0], gates_TBG)
        candidates_TBH = torch.empty_like(hidden[1:])
        state_BH = state_SBH[0].clone()
        bias_H = bias_H.detach().contiguous()
        step = kernels("gru_forward", gates_TBG.dtype)
        at_gates, at_candidates, at_hidden = map(_addresses, (gates_TBG, candidates_TBH, hidden))
        for t, before_BH in enumerate(hidden[:-1]):
            moved_BG = products.forward(before_BH)
            step(
                *state_BH.shape,
                moved_BG.data_ptr(),
                bias_H.data_ptr(),
                at_gates[t],
                at_candidates[t],
                state_BH.data_ptr(),
                at_hidden[t + 1],
            )
        ctx.kernels, ctx.products = kernels, products
        ctx.save_for_backward(gates_TBG, candidates_TBH, hidden)
        after_SBH = state_BH.unsqueeze(0)
        ctx.mark_non_differentiable(after_SBH)
        return hidden[1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the gates, the recurrent weights and the candidate's bias."""
        gates_TBG, candidates_TBH, hidden = ctx.saved_tensors
        d_hidden_TBH = d_hidden_TBH.contiguous()
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
        _, _, candidate_TBH = gates_TBG.chunk(3, dim=-1)
        d_bias_H = candidate_TBH.sum((0, 1), dtype=torch.float32)
        candidate_TBH.copy_(candidates_TBH)
        return None, None, gates_TBG, d_weights_GH, d_bias_H, None


class RnnSweep(Function):
    """h' = tanh(x + W h)."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        products: RecurrentProducts,
        gates_TBG: Tensor,
        _hidden_GH: Tensor,
        state_SBH: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Hidden (T, B, H) and the state (1, B, H) after."""
        hidden = _began_with(state_SBH[0], gates_TBG)
        step = kernels("rnn_forward", gates_TBG.dtype)
        at_hidden = _addresses(hidden)
        for t, (before_BH, gates_BG) in enumerate(zip(hidden, gates_TBG, strict=False)):
            moved_BG = products.forward.added(before_BH, gates_BG)
            step(*before_BH.shape, moved_BG.data_ptr(), at_hidden[t + 1])
        ctx.kernels, ctx.products = kernels, products
        ctx.save_for_backward(gates_TBG, hidden)
        after_SBH = hidden[-1:].float()
        ctx.mark_non_differentiable(after_SBH)
        return hidden[1:], after_SBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden_TBH: Tensor, _d_after: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the gates and of the recurrent weights."""
        gates_TBG, hidden = ctx.saved_tensors
        d_hidden_TBH = d_hidden_TBH.contiguous()
        step = ctx.kernels("rnn_backward", gates_TBG.dtype)
        at_gates, at_hidden = map(_addresses, (gates_TBG, hidden))
        for t, d_hidden_BH in _backwards(ctx.products, gates_TBG, d_hidden_TBH):
            step(*d_hidden_BH.shape, at_hidden[t + 1], d_hidden_BH.data_ptr(), at_gates[t])
        return None, None, gates_TBG, _weights_gradient(ctx.products, gates_TBG, hidden), None


def _began_with(state_BH: Tensor, gates_TBG: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Room for T + 1 states, (T + 1, B, H), the first of which is there."""
    states = torch.empty((len(gates_TBG) + 1, *state_BH.shape), dtype=dtype or gates_TBG.dtype)
    states[0] = state_BH
    return states


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
    d_gates, d_hidden = d_gates_TBG.unbind(), d_hidden_TBH.unbind()
    last = len(d_hidden) - 1
    yield last, d_hidden[last]
    for t in range(last - 1, -1, -1):
        yield t, products.backward.added(d_gates[t + 1], d_hidden[t])


def _weights_gradient(products: RecurrentProducts, d_gates_TBG: Tensor, hidden: Tensor) -> Tensor:
    """The gradient (G, H) of the recurrent weights: one product over all times and rows."""
    d_weights_GH = torch.mm(d_gates_TBG.flatten(0, 1).T, hidden[:-1].flatten(0, 1)).float()
    return d_weights_GH if products.kept_GH is None else d_weights_GH.mul_(products.kept_GH)
