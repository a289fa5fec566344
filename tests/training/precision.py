"""Whether bfloat16 works on this processor, as the package itself finds out: by a step with it."""

import itertools
from functools import cache

import pytest
import torch

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.training import kernels
from charrnn.training.autotune import try_step
from charrnn.training.batches import Batch
from charrnn.training.model import CharRNN


@cache
def bfloat16_works() -> bool:
    """Whether every cell can be trained in bfloat16, by torch and by our own kernels."""
    ids, targets = torch.randint(5, (2, 2, 3))
    names = ("torch", "native") if kernels.available() else ("torch",)
    return all(
        try_step(
            TrainConfig(kernel=kernel, precision="bfloat16", threads=1),  # type: ignore[arg-type]
            CharRNN(ModelConfig(cell=cell, hidden_size=8), 5),  # type: ignore[arg-type]
            Batch(ids, targets, targets.numel()),
        )
        is None
        for kernel, cell in itertools.product(names, ("lstm", "gru", "rnn"))
    )


needs_bfloat16 = pytest.mark.skipif(
    not bfloat16_works(), reason="torch has no bfloat16 for this processor"
)
