"""The recurrent network in torch, and how its weights begin.

The parameters carry torch's own names, in torch's own layout, so that `model.safetensors` can
be read by anything that knows `nn.RNN`, `nn.GRU` and `nn.LSTM`.

Shapes: S parts of the state (h; h and c for an LSTM), L layers, B batch, T time, E embedding,
H hidden, G gate rows (4H for an LSTM, 3H for a GRU, H for a plain RNN), V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.config.schema import Config, ModelConfig
from charrnn.errors import UserError
from charrnn.network import GATES, STATE_PARTS
from charrnn.text.corpus import Corpus
from charrnn.training import kernels
from charrnn.training.cells import LayerWeights, fused_layer, onehot_layer, weights_of
from charrnn.training.kernels import GateInputs, PackedWeights
from charrnn.training.rng import Noise

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
        )
        self.output = nn.Linear(config.hidden_size, vocabulary_size)
        if config.tie_weights and self.embedding is not None:
            self.output.weight = self.embedding.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.output.bias.device

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros, shape (S, L, B, H)."""
        config = self.config
        shape = (STATE_PARTS[config.cell], config.layers, batch_size, config.hidden_size)
        return torch.zeros(shape, device=self.device)

    def forward(
        self,
        ids_BT: Tensor,
        state_SLBH: Tensor,
        noise: Noise | None = None,
        packed: Sequence[PackedWeights] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, T, V) of each next character, and the state (S, L, B, H) after the last.

        With `noise`, units are dropped as training does; without, none are. With `packed`, each
        layer's recurrent weights, layers are computed by our own kernels, without by torch; no
        gradient goes to the state then.
        """
        below: Tensor = ids_BT.T
        after = []
        for layer, before_SBH in enumerate(state_SLBH.unbind(1)):
            weights = weights_of(self.rnn, layer)
            if packed is None:
                hidden_TBH, after_SBH = self._torch_layer(layer, below, weights, before_SBH, noise)
            else:
                inputs = self._gate_inputs(layer, below, weights, noise)
                hidden_TBH, after_SBH = kernels.layer(
                    self.config.cell, inputs, weights, packed[layer], before_SBH
                )
            after.append(after_SBH)
            below = _drop(hidden_TBH, self.config.dropout, noise)
        logits_TBV = self.output(below)
        return logits_TBV.transpose(0, 1), torch.stack(after, dim=1)

    def _torch_layer(
        self,
        layer: int,
        below: Tensor,
        weights: LayerWeights,
        before_SBH: Tensor,
        noise: Noise | None,
    ) -> tuple[Tensor, Tensor]:
        hidden_GH = _drop(weights.hidden_GH, self.config.weight_dropout, noise)
        weights = weights._replace(hidden_GH=hidden_GH)
        if layer == 0 and self.embedding is None:
            return onehot_layer(self.config.cell, below, weights, before_SBH)
        inputs_TBX = below if layer else self._embed(below, noise)
        return fused_layer(self.config.cell, inputs_TBX, weights, before_SBH)

    def _gate_inputs(
        self, layer: int, below: Tensor, weights: LayerWeights, noise: Noise | None
    ) -> GateInputs:
        """What a layer's gates are given by all but the state.

        Characters that come more than once are multiplied with the weights once: a table.
        """
        bias_G = kernels.gate_bias(self.config.cell, weights)
        if layer == 0 and self.embedding is None:
            gates_VG = weights.input_GX.T + bias_G
            return GateInputs.of_characters(gates_VG.to(_product_dtype()), below)
        if layer == 0 and not self.config.input_dropout and self.vocabulary_size <= below.numel():
            assert self.embedding is not None
            gates_VG = functional.linear(self.embedding.weight, weights.input_GX, bias_G)
            return GateInputs.of_characters(gates_VG, below)
        inputs_TBX = below if layer else self._embed(below, noise)
        return GateInputs.of_places(functional.linear(inputs_TBX, weights.input_GX, bias_G))

    def _embed(self, ids_TB: Tensor, noise: Noise | None) -> Tensor:
        assert self.embedding is not None
        return _drop(self.embedding(ids_TB), self.config.input_dropout, noise)


def _product_dtype() -> torch.dtype:
    """What products are computed in: autocast's type, or float32."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


def _drop(units: Tensor, share: float, noise: Noise | None) -> Tensor:
    return units if noise is None else noise.drop(units, share)


def new_model(config: Config, corpus: Corpus) -> CharRNN:
    """Make the network with its first weights, which depend on `train.seed` alone.

    Raises:
        UserError: It is to be on a GPU, and there is none that torch can use.
    """
    torch.manual_seed(config.train.seed)
    model = CharRNN(config.model, len(corpus.vocabulary))
    initialize(model, corpus.vocabulary.unk_id)
    return model.to(choose_device(config.train.device))


def choose_device(name: str) -> torch.device:
    """Find the device of this name; `auto` is a GPU if there is one.

    float32 is float32 on a GPU, too, not TF32.

    Raises:
        UserError: A GPU is asked for and there is none that torch can use.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise UserError(
                "the device is cuda, and torch finds no GPU that it can use",
                hint="device: auto takes a GPU where there is one",
            )
        torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


def initialize(model: CharRNN, unknown_id: int) -> None:
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
            nn.init.normal_(parameter, std=_embedding_scale(model.config))
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


def _embedding_scale(config: ModelConfig) -> float:
    return float(config.hidden_size**-0.5) if config.tie_weights else 1.0
