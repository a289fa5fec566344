"""The first weights of a network.

Shapes: G gate rows, X input units, H hidden.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from charrnn.network import GATES
from charrnn.training.cells import weights_of

if TYPE_CHECKING:
    from charrnn.training.model import CharRNN


def init_weights(model: "CharRNN", unknown_id: int) -> None:
    """Set the first weights, from torch's random generator.

    Recurrent matrices are orthogonal, gate by gate, so that gradients neither vanish nor explode
    at first (Saxe et al. 2014, arXiv:1312.6120); an LSTM's forget gates begin open with a bias
    of 1 (Jozefowicz et al. 2015); the input of an unknown character begins as zeros.
    """
    for name, parameter in model.named_parameters():
        if "weight_hh" in name:
            for gate in parameter.data.split(model.config.hidden_size):
                nn.init.orthogonal_(gate)
        elif "bias" in name:
            nn.init.zeros_(parameter)
        elif name == "embedding.weight":
            scale = model.config.hidden_size**-0.5 if model.config.tie_weights else 1.0
            nn.init.normal_(parameter, std=scale)
        else:
            nn.init.xavier_uniform_(parameter)
    with torch.no_grad():
        if model.config.cell == "lstm":
            for layer in range(model.config.layers):
                forget_gate(weights_of(model.rnn, layer).input_bias_G).fill_(1.0)
        if model.embedding is None:
            weights_of(model.rnn, 0).input_GX[:, unknown_id] = 0.0
        elif not model.config.tie_weights:
            model.embedding.weight[unknown_id] = 0.0


def forget_gate(rows: Tensor) -> Tensor:
    """The forget gate's part of an LSTM's (4H, ...) rows, which torch orders i, f, g, o."""
    return rows.chunk(GATES["lstm"])[1]
