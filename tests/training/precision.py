"""Whether bfloat16 works on this processor, as the package itself finds out: by a step with it."""

import itertools
from functools import cache

import pytest
import torch

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.training import kernels
from charrnn.training.batches import Batch
from charrnn.training.model import CharRNN
from charrnn.training.step import TrainingStep


@cache
def bfloat16_works() -> bool:
    """Whether every cell can be trained in bfloat16, by torch and by our own kernels."""
    ids, targets = torch.randint(5, (2, 2, 3))
    batch = Batch(ids, targets, targets.numel())
    names = ("torch", "native") if kernels.available() else ("torch",)
    for kernel, cell in itertools.product(names, ("lstm", "gru", "rnn")):
        model = CharRNN(ModelConfig(cell=cell, hidden_size=8), 5)  # type: ignore[arg-type]
        config = TrainConfig(kernel=kernel, precision="bfloat16", threads=1)  # type: ignore[arg-type]
        try:
            TrainingStep(model, config).step(0, batch, model.initial_state(2), rate=0.0)
        except RuntimeError:
            return False
    return True


needs_bfloat16 = pytest.mark.skipif(
    not bfloat16_works(), reason="torch has no bfloat16 for this processor"
)
