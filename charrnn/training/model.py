"""The recurrent network in torch, and how its weights begin.

The parameters carry torch's own names, in torch's own layout, so that `model.safetensors` can
be read by anything that knows `nn.RNN`, `nn.GRU` and `nn.LSTM`.

Shapes: S parts of the state (h; h and c for an LSTM), L layers, B batch, T time, E embedding,
H hidden, G gate rows (4H for an LSTM, 3H for a GRU, H for a plain RNN), V vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.config import ModelConfig
from charrnn.run import GATES, STATE_PARTS
from charrnn.training.onehot import sweep_onehot

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class CharRNN(nn.Module):
    """Character ids in, logits of each next character out, the state carried along."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        onehot = config.input == "onehot"
        self.embedding = None if onehot else nn.Embedding(vocabulary_size, config.embedding_size)
        self.rnn = RECURRENT[config.cell](
            vocabulary_size if onehot else config.embedding_size,
            config.hidden_size,
            config.layers,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.output = nn.Linear(config.hidden_size, vocabulary_size)
        if config.tie_weights and self.embedding is not None:
            self.output.weight = self.embedding.weight

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros, shape (S, L, B, H)."""
        shape = STATE_PARTS[self.config.cell], self.config.layers, batch_size, self.rnn.hidden_size
        return torch.zeros(shape, device=self.output.bias.device)

    def forward(self, ids_BT: Tensor, state_SLBH: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, V) of each next character, and the state (S, L, B, H) after the last."""
        ids_TB = ids_BT.T
        if self.embedding is None:
            hidden_TBH, state_SLBH = sweep_onehot(self.rnn, ids_TB, state_SLBH)
        else:
            inputs_TBE = self._drop(self.embedding(ids_TB), self.config.input_dropout)
            hidden_TBH, state_SLBH = self._sweep(inputs_TBE, state_SLBH)
        logits_TBV = self.output(self._drop(hidden_TBH, self.config.dropout))
        return logits_TBV.transpose(0, 1), state_SLBH

    def _sweep(self, inputs_TBE: Tensor, state_SLBH: Tensor) -> tuple[Tensor, Tensor]:
        if len(state_SLBH) == 1:
            hidden_TBH, hidden_LBH = self.rnn(inputs_TBE, state_SLBH[0])
            return hidden_TBH, hidden_LBH.unsqueeze(0)
        hidden_TBH, parts = self.rnn(inputs_TBE, (state_SLBH[0], state_SLBH[1]))
        return hidden_TBH, torch.stack(parts)

    def _drop(self, units: Tensor, share: float) -> Tensor:
        return functional.dropout(units, share, self.training) if share else units


def initialize(model: CharRNN, unknown_id: int) -> None:
    """Set the first weights, from torch's random generator.

    Recurrent matrices are orthogonal, gate by gate, so that gradients neither vanish nor explode
    at first (Saxe et al. 2014, arXiv:1312.6120); an LSTM's forget gates begin open with a bias
    of 1 (Jozefowicz et al. 2015); what is read as unknown begins as silence.
    """
    for name, parameter in model.named_parameters():
        if "weight_hh" in name:
            for gate in parameter.data.split(model.rnn.hidden_size):
                nn.init.orthogonal_(gate)
        elif "bias" in name:
            nn.init.zeros_(parameter)
        elif name == "embedding.weight":
            nn.init.normal_(parameter, std=_embedding_scale(model.config))
        else:
            nn.init.xavier_uniform_(parameter)
    with torch.no_grad():
        if model.config.cell == "lstm":
            for layer in range(model.config.layers):
                forget_gate(getattr(model.rnn, f"bias_ih_l{layer}")).fill_(1.0)
        if model.embedding is None:
            model.rnn.weight_ih_l0[:, unknown_id] = 0.0
        elif not model.config.tie_weights:
            model.embedding.weight[unknown_id] = 0.0


def forget_gate(rows: Tensor) -> Tensor:
    """The forget gate's part of an LSTM's (4H, ...) rows, which torch orders i, f, g, o."""
    return rows.chunk(GATES["lstm"])[1]


def _embedding_scale(config: ModelConfig) -> float:
    return float(config.hidden_size**-0.5) if config.tie_weights else 1.0
