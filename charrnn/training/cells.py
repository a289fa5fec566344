"""One recurrent layer over all time steps: fused by torch, or cell by cell over one-hot input.

A one-hot vector times a matrix is one column of the matrix, so one-hot input is looked up and
never built. torch's fused layers want dense input; for one-hot the cells are written out here, as
equations; `kernels` computes the same in C, `charrnn.inference.cells` in NumPy. Sources: Elman 1990
for the RNN; Hochreiter & Schmidhuber 1997 and Gers et al. 2000 for the LSTM; Cho et al. 2014 for
the GRU, with the reset gate after the product, as torch has it.

Shapes: S parts of the state, B batch, T time, X input units, H hidden, G gate rows.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Cell = Callable[[Tensor, Tensor, "LayerWeights"], Tensor]

PERSISTENT_MULTIPLE, LARGEST_PERSISTENT = 128, 1024
PERSISTENT_ROWS, MOST_PERSISTENT_ROWS = 8, 128
"""Units and rows, with which cuDNN's persistent kernels serve."""
ONE_LAYER = (True, 1, 0.0, True, False, False)
"""To torch: with biases, one layer, no dropout, training, one direction, time before batch."""


class LayerWeights(NamedTuple):
    """The weights of one layer, in the order that torch's fused layers take them."""

    input_GX: Tensor
    hidden_GH: Tensor
    input_bias_G: Tensor
    hidden_bias_G: Tensor


def weights_of(rnn: nn.RNNBase, layer: int) -> LayerWeights:
    """The weights of one layer, under torch's own names."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return LayerWeights(*(getattr(rnn, f"{name}_l{layer}") for name in names))


def fused_layer(
    cell: str, inputs_TBX: Tensor, weights: LayerWeights, state_SBH: Tensor
) -> tuple[Tensor, Tensor]:
    """One layer over dense input; hidden (T, B, H) and the state (S, B, H) after."""
    dtype = product_dtype(inputs_TBX.device.type)
    if not inputs_TBX.is_cuda:
        if cell != "lstm":  # which takes its weights once
            weights = LayerWeights(*_cast(weights, dtype))
        return _fused_layer(cell, inputs_TBX, weights, state_SBH)
    # Autocast would let cuDNN compute in float16 whatever is asked for (torch's AutocastRNN.cpp).
    with torch.autocast("cuda", enabled=False):
        return _fused_layer(cell, *arranged_for_cudnn(cell, inputs_TBX, weights, state_SBH, dtype))


def product_dtype(device: str) -> torch.dtype:
    """What products are computed in: autocast's type, or float32."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


def _cast(weights: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Weights as products take them, once for all time steps.

    Autocast would remember them, too, but forgets those of all threads when one of them is done:
    how gradients are rounded then depends on the moment.
    """
    return [weight.to(dtype) for weight in weights]


def arranged_for_cudnn(
    cell: str, inputs_TBX: Tensor, weights: LayerWeights, state_SBH: Tensor, dtype: torch.dtype
) -> tuple[Tensor, LayerWeights, Tensor]:
    """The same layer, of the given type, as cuDNN is fastest with it.

    The weights lie one after the other, or cuDNN would copy them; the inputs have zeros behind them
    where that lets its persistent kernels serve.
    """
    zeros = missing_columns(cell, inputs_TBX, state_SBH, dtype)
    if zeros:
        inputs_TBX = functional.pad(inputs_TBX, (0, zeros))
        weights = weights._replace(input_GX=functional.pad(weights.input_GX, (0, zeros)))
    flat = torch.cat([weight.flatten() for weight in weights]).to(dtype)
    pieces = flat.split([weight.numel() for weight in weights])
    views = (piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True))
    return inputs_TBX.to(dtype), LayerWeights(*views), state_SBH.to(dtype)


def missing_columns(cell: str, inputs_TBX: Tensor, state_SBH: Tensor, dtype: torch.dtype) -> int:
    """How many inputs of a layer are missing for cuDNN's persistent kernels to serve, if they can.

    They keep the recurrent matrix on the chip from step to step. When torch takes them is written
    in its aten/src/ATen/native/cudnn/RNN.cpp, `get_algo`.
    """
    _, rows, hidden = state_SBH.shape
    serve = (
        dtype == torch.float16
        and cell != "gru"
        and hidden % PERSISTENT_MULTIPLE == 0
        and hidden <= LARGEST_PERSISTENT
        and rows % PERSISTENT_ROWS == 0
        and rows <= MOST_PERSISTENT_ROWS
    )
    return -inputs_TBX.shape[2] % PERSISTENT_MULTIPLE if serve else 0


def _fused_layer(
    cell: str, inputs_TBX: Tensor, weights: LayerWeights, state_SBH: Tensor
) -> tuple[Tensor, Tensor]:
    start_S1BH = state_SBH.unsqueeze(1)
    if cell == "lstm":
        hidden_TBH, *after = torch.lstm(inputs_TBX, tuple(start_S1BH), weights, *ONE_LAYER)
    else:
        fused = torch.gru if cell == "gru" else torch.rnn_tanh
        hidden_TBH, *after = fused(inputs_TBX, start_S1BH[0], weights, *ONE_LAYER)
    return hidden_TBH, torch.cat(after)


def onehot_layer(
    cell: str, ids_TB: Tensor, weights: LayerWeights, state_SBH: Tensor
) -> tuple[Tensor, Tensor]:
    """One layer over ids that stand for one-hot vectors; hidden (T, B, H) and the state after."""
    gates_TBG = functional.embedding(ids_TB, weights.input_GX.T) + weights.input_bias_G
    recurrent = (weights.hidden_GH, weights.hidden_bias_G)
    hidden_GH, bias_G = _cast(recurrent, product_dtype(ids_TB.device.type))
    weights = weights._replace(hidden_GH=hidden_GH, hidden_bias_G=bias_G)
    hidden = []
    for gates_BG in gates_TBG:
        state_SBH = CELLS[cell](gates_BG, state_SBH, weights)
        hidden.append(state_SBH[0])
    return torch.stack(hidden), state_SBH


def _from_hidden(state_SBH: Tensor, weights: LayerWeights) -> Tensor:
    return functional.linear(state_SBH[0], weights.hidden_GH, weights.hidden_bias_G)


def _rnn_cell(gates_BG: Tensor, state_SBH: Tensor, weights: LayerWeights) -> Tensor:
    """Elman: h' = tanh(x + W h + b)."""
    return torch.tanh(gates_BG + _from_hidden(state_SBH, weights)).unsqueeze(0)


def _gru_cell(gates_BG: Tensor, state_SBH: Tensor, weights: LayerWeights) -> Tensor:
    """GRU: n = tanh(x_n + r (W_n h + b_n)), h' = (1 - z) n + z h."""
    reset_x, update_x, new_x = gates_BG.chunk(3, dim=-1)
    reset_h, update_h, new_h = _from_hidden(state_SBH, weights).chunk(3, dim=-1)
    reset = torch.sigmoid(reset_x + reset_h)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + reset * new_h)
    return torch.lerp(new, state_SBH[0].to(new.dtype), update).unsqueeze(0)


def _lstm_cell(gates_BG: Tensor, state_SBH: Tensor, weights: LayerWeights) -> Tensor:
    """LSTM: c' = f c + i g, h' = o tanh(c')."""
    gates = gates_BG + _from_hidden(state_SBH, weights)
    input_, forget, candidate, output = gates.chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * state_SBH[1] + torch.sigmoid(input_) * torch.tanh(candidate)
    return torch.stack((torch.sigmoid(output) * torch.tanh(cell), cell))


CELLS: dict[str, Cell] = {"rnn": _rnn_cell, "gru": _gru_cell, "lstm": _lstm_cell}
