"""torch's network behind the protocol that generation and scoring are written against.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, V vocabulary.
"""

import numpy as np
import torch

from charrnn.config.schema import ModelConfig
from charrnn.network import FloatArray, IdArray
from charrnn.run.reader import TrainedModel
from charrnn.training.model import CharRNN, choose_device


class TorchNetwork:
    """A `CharRNN` that is read from, never trained; float32, dropout off."""

    def __init__(self, model: CharRNN) -> None:
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


def load_network(trained: TrainedModel, device: str = "auto") -> TorchNetwork:
    """Load a trained run's network, on a GPU if there is one; on a CPU it computes in one thread.

    Raises:
        UserError: A GPU is asked for and there is none that torch can use.
    """
    torch.set_num_threads(1)
    card = trained.card
    config = ModelConfig(
        cell=card.cell,
        input=card.input,
        embedding_size=card.embedding_size,
        hidden_size=card.hidden_size,
        layers=card.layers,
        tie_weights=card.tie_weights,
        dropout=0.0,
    )
    model = CharRNN(config, card.vocabulary_size)
    weights = {name: torch.from_numpy(array.copy()) for name, array in trained.weights.items()}
    if card.tie_weights:
        weights["output.weight"] = weights["embedding.weight"]
    model.load_state_dict(weights)
    return TorchNetwork(model.to(choose_device(device)))
