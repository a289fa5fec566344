"""The recurrent sweep over one-hot input: a column of W_x is looked up, nothing is multiplied.

A one-hot vector times a matrix is one column of the matrix. torch's fused cells want the dense
vector, so here the cells are written out, as equations in time. Formulas: Elman 1990 for the
RNN; Hochreiter & Schmidhuber 1997 and Gers et al. 2000 for the LSTM; Cho et al. 2014 for the
GRU, with the reset gate after the product, as `torch.nn.GRU` has it.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, G gate rows.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Cell = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def sweep_onehot(rnn: nn.RNNBase, ids_TB: Tensor, state_SLBH: Tensor) -> tuple[Tensor, Tensor]:
    """Run all layers over T steps; returns hidden (T, B, H) and the state (S, L, B, H)."""
    weight_GV, bias_G = _weight_and_bias(rnn, "ih_l0")
    gates_TBG = functional.embedding(ids_TB, weight_GV.T) + bias_G
    hidden_TBH, state_SBH = _sweep_layer(rnn, 0, gates_TBG, state_SLBH[:, 0])
    after = [state_SBH]
    for layer in range(1, rnn.num_layers):
        dropped_TBH = functional.dropout(hidden_TBH, rnn.dropout, rnn.training)
        gates_TBG = functional.linear(dropped_TBH, *_weight_and_bias(rnn, f"ih_l{layer}"))
        hidden_TBH, state_SBH = _sweep_layer(rnn, layer, gates_TBG, state_SLBH[:, layer])
        after.append(state_SBH)
    return hidden_TBH, torch.stack(after, dim=1)


def _sweep_layer(
    rnn: nn.RNNBase, layer: int, gates_TBG: Tensor, state_SBH: Tensor
) -> tuple[Tensor, Tensor]:
    cell = CELLS[rnn.mode]
    weight, bias = _weight_and_bias(rnn, f"hh_l{layer}")
    hidden = []
    for gates_BG in gates_TBG:
        state_SBH = cell(gates_BG, state_SBH, weight, bias)
        hidden.append(state_SBH[0])
    return torch.stack(hidden), state_SBH


def _weight_and_bias(rnn: nn.RNNBase, suffix: str) -> tuple[Tensor, Tensor]:
    return getattr(rnn, f"weight_{suffix}"), getattr(rnn, f"bias_{suffix}")


def _rnn_cell(gates_BG: Tensor, state_SBH: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.tanh(gates_BG + functional.linear(state_SBH[0], weight, bias)).unsqueeze(0)


def _gru_cell(gates_BG: Tensor, state_SBH: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    reset_x, update_x, new_x = gates_BG.chunk(3, dim=-1)
    reset_h, update_h, new_h = functional.linear(state_SBH[0], weight, bias).chunk(3, dim=-1)
    reset = torch.sigmoid(reset_x + reset_h)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + reset * new_h)
    return torch.lerp(new, state_SBH[0].to(new.dtype), update).unsqueeze(0)


def _lstm_cell(gates_BG: Tensor, state_SBH: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    hidden, cell = state_SBH
    gates = gates_BG + functional.linear(hidden, weight, bias)
    write, forget, candidate, read = gates.chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(write) * torch.tanh(candidate)
    return torch.stack((torch.sigmoid(read) * torch.tanh(cell), cell))


CELLS: dict[str, Cell] = {"RNN_TANH": _rnn_cell, "GRU": _gru_cell, "LSTM": _lstm_cell}
