"""The recurrent network in PyTorch.

The parameters carry torch's own names, in torch's own layout, so that `model.safetensors` can
be read by anything that knows `nn.RNN`, `nn.GRU` and `nn.LSTM`.

Shapes: S parts of the state (h; h and c for an LSTM), L layers, B batch, T time, E embedding,
H hidden, G gate rows (4H for an LSTM, 3H for a GRU, H for a plain RNN), V vocabulary.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.config.schema import Config, ModelConfig
from charrnn.ensemble import joined, separated
from charrnn.errors import UserError
from charrnn.network import STATE_PARTS, FloatArray, IdArray
from charrnn.run.model_card import ModelCard
from charrnn.run.reader import TrainedModel
from charrnn.text.corpus import Corpus
from charrnn.training import kernels
from charrnn.training.cells import (
    LayerWeights,
    fused_layer,
    onehot_layer,
    product_dtype,
    weights_of,
)
from charrnn.training.initialization import init_weights
from charrnn.training.kernels import PackedWeights
from charrnn.training.rng import Noise, seed_of_network

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
REPRODUCIBLE_WORKSPACE = ":4096:2"
"""For cuBLAS, so that cuDNN's layers come to the same bits each time, as torch's manual has it."""
SIZES = (
    "cell",
    "input",
    "embedding_size",
    "hidden_size",
    "layers",
    "tie_weights",
    "ensemble_size",
)
"""What two networks must have in common for the weights of one to fit the other."""


class CharRNN(nn.Module):
    """Character ids in, logits of each next character out, the state carried along."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        settle_mkl()
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
    def networks(self) -> tuple["CharRNN", ...]:
        """Itself, as the only network of an ensemble."""
        return (self,)

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
                inputs, ids_TB = self._gate_inputs(layer, below, weights, noise)
                hidden_TBH, after_SBH = kernels.layer(
                    self.config.cell, inputs, ids_TB, weights, packed[layer], before_SBH
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
    ) -> tuple[Tensor, Tensor | None]:
        """What a layer's gates are given by all but the state: at each place, or as a table.

        Characters that come more than once are multiplied with the weights once: a table, and the
        ids (T, B) that read it.
        """
        bias_G = kernels.gate_bias(self.config.cell, weights)
        if layer == 0 and self.embedding is None:
            gates_VG = weights.input_GX.T + bias_G
            return gates_VG.to(product_dtype("cpu")), below
        if layer == 0 and not self.config.input_dropout and self.vocabulary_size <= below.numel():
            assert self.embedding is not None
            return functional.linear(self.embedding.weight, weights.input_GX, bias_G), below
        inputs_TBX = below if layer else self._embed(below, noise)
        return functional.linear(inputs_TBX, weights.input_GX, bias_G), None

    def _embed(self, ids_TB: Tensor, noise: Noise | None) -> Tensor:
        assert self.embedding is not None
        return _drop(self.embedding(ids_TB), self.config.input_dropout, noise)


class Ensemble(nn.Module):
    """Networks side by side, each of which learns by itself; they predict together.

    Networks that began with other weights err in other places: the mean of their logits is more
    often right than any of them (Hansen & Salamon 1990). Their hidden units lie one after the other
    in the state, H being those of all.
    """

    def __init__(self, networks: Sequence[CharRNN]) -> None:
        super().__init__()
        self.config = networks[0].config
        self.vocabulary_size = networks[0].vocabulary_size
        self._networks = nn.ModuleList(networks)

    @property
    def networks(self) -> tuple[CharRNN, ...]:
        """Those that it is made of."""
        return tuple(network for network in self._networks if isinstance(network, CharRNN))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.networks[0].device

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros, shape (S, L, B, H)."""
        return torch.cat([each.initial_state(batch_size) for each in self.networks], dim=3)

    def forward(self, ids_BT: Tensor, state_SLBH: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, V) of each next character, and the state (S, L, B, H) after the last."""
        return predict_together(self.networks, ids_BT, state_SLBH)


def predict_together(
    networks: Sequence[CharRNN],
    ids_BT: Tensor,
    state_SLBH: Tensor,
    packed: Sequence[Sequence[PackedWeights]] | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean of the networks' logits, (B, T, V), and the state (S, L, B, H) of all of them after.

    Nothing is dropped. `packed` has the recurrent weights of each network, as `CharRNN` takes them.
    """
    states = state_SLBH.tensor_split(len(networks), dim=3)
    results = [
        network(ids_BT, own_SLBH.contiguous(), None, weights)
        for network, own_SLBH, weights in zip(
            networks, states, packed or repeat(None, len(networks)), strict=True
        )
    ]
    logits, after = zip(*results, strict=True)
    return torch.stack(logits).mean(dim=0), torch.cat(after, dim=3)


TorchModel = CharRNN | Ensemble


def ensemble_of(networks: Sequence[CharRNN]) -> TorchModel:
    """An ensemble of these networks; a single one is what it is."""
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def weights_of_model(model: TorchModel) -> dict[str, FloatArray]:
    """The weights as `model.safetensors` holds them: float32, under torch's own names."""
    networks = [
        {name: each.detach().float().cpu().numpy() for name, each in network.named_parameters()}
        for network in model.networks
    ]
    return joined(networks, model.config.cell)


@torch.no_grad()
def put_weights(model: TorchModel, weights: Mapping[str, FloatArray]) -> None:
    """Put weights as `model.safetensors` holds them into a model of their size."""
    each_weights = separated(weights, len(model.networks), model.config.cell)
    for network, own in zip(model.networks, each_weights, strict=True):
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.tensor(own[name]))


def _drop(units: Tensor, share: float, noise: Noise | None) -> Tensor:
    return units if noise is None else noise.drop(units, share)


def new_model(config: Config, corpus: Corpus) -> TorchModel:
    """Make the network with its first weights, which depend on `train.seed` alone.

    Raises:
        UserError: It is to be on a GPU, and there is none that torch can use; or in float16, and
            not on a GPU.
    """
    device = choose_device(config.train.device)
    check_precision(config.train.precision, device)
    networks = []
    with torch_threads(1):  # whose number would change the last bits
        for number in range(config.model.ensemble_size):
            torch.manual_seed(seed_of_network(config.train.seed, number))
            networks.append(CharRNN(config.model, len(corpus.vocabulary)))
            init_weights(networks[-1], corpus.vocabulary.unk_id)
    return ensemble_of(networks).to(device)


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse float16 where it gains nothing.

    Raises:
        UserError: It is asked for, and the device is no GPU.
    """
    if precision == "float16" and device.type != "cuda":
        raise UserError(
            f"train.precision is float16, which is for a GPU, and the device is {device.type}",
            hint="precision: auto takes the fastest that the device has; a run that was begun in "
            "float16 goes on with a GPU alone",
        )


@functools.cache
def settle_mkl() -> None:
    """Let MKL find out what processor it is on before two threads ask at once.

    Its vector functions, which torch's exp and tanh are, do so in their first call, and for some
    nanoseconds the number of the processor is there before that of the function for it
    (`mkl_vml_serv_cpu_detect`): a thread that reads it then computes with less precision.
    """
    torch.exp(torch.zeros(1))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let each of torch's operations use so many threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", REPRODUCIBLE_WORKSPACE)
    return torch.device(name)


class TorchNetwork:
    """A model that is read from, never trained; float32, dropout off."""

    def __init__(self, model: TorchModel) -> None:
        self.model = model
        self.device = model.device

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU, which shares out a batch by itself."""
        return self.device.type == "cuda"

    @property
    def vocabulary_size(self) -> int:
        """The number of ids the network can read and predict."""
        return self.model.vocabulary_size

    def initial_state(self, batch_size: int) -> FloatArray:
        """Zeros, shape (S, L, B, H)."""
        return self.model.initial_state(batch_size).cpu().numpy()

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logits (B, T, V) of each next id, and the state (S, L, B, H) after the last id."""
        with torch.inference_mode():
            ids = torch.from_numpy(np.ascontiguousarray(ids_BT, dtype=np.int64)).to(self.device)
            state = torch.from_numpy(np.ascontiguousarray(state_SLBH)).to(self.device)
            logits_BTV, state = self.model(ids, state)
        return logits_BTV.cpu().numpy(), state.cpu().numpy()


def sizes_of(card: ModelCard) -> dict[str, Any]:
    """The settings of section `model` that a network with a run's weights must have."""
    unused = {"embedding_size"} if card.input == "onehot" else set()
    sizes = {name: getattr(card, name) for name in SIZES if name not in unused}
    for name in sizes.keys() & {"embedding_size", "hidden_size"}:  # of all networks together
        sizes[name] //= card.ensemble_size
    return sizes


def load_network(trained: TrainedModel, device: str = "auto") -> TorchNetwork:
    """Load a trained run's network, on a GPU if there is one; on a CPU it computes in one thread.

    Raises:
        UserError: A GPU is asked for and there is none that torch can use.
    """
    torch.set_num_threads(1)
    card = trained.card
    config = ModelConfig(**sizes_of(card), dropout=0.0)
    networks = [CharRNN(config, card.vocabulary_size) for _ in range(card.ensemble_size)]
    model = ensemble_of(networks)
    put_weights(model, trained.weights)
    return TorchNetwork(model.to(choose_device(device)))
