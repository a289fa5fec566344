"""One step of learning: forward, loss, backward, clip, update. Loss and weights stay float32.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, V vocabulary.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.config import TrainConfig
from charrnn.training.batches import IGNORED, Batch
from charrnn.training.model import CharRNN


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step showed."""

    loss_nats: float
    """Mean negative log-likelihood per target, in nats."""
    gradient_norm: float
    """Length of the whole gradient before clipping."""
    state_SLBH: Tensor
    """The state after the batch, detached."""


class NotFiniteError(ArithmeticError):
    """The loss or the gradient of a step is infinite or not a number; nothing was updated."""


class Learner:
    """A model, its optimiser and the arithmetic they compute with."""

    def __init__(self, model: CharRNN, config: TrainConfig, precision: torch.dtype) -> None:
        self.model = model
        self.config = config
        self.precision = precision
        self.device = model.output.bias.device
        self.parameters = list(model.parameters())
        self.optimizer = _adamw(model, config)

    def step(self, batch: Batch, state_SLBH: Tensor, learning_rate: float) -> StepResult:
        """Learn from one batch.

        Raises:
            NotFiniteError: Before anything is updated.
        """
        self.model.train()
        self.optimizer.zero_grad()
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            logits_BTV, state_SLBH = self.model(batch.ids_BT.to(self.device), state_SLBH)
        loss = mean_loss(logits_BTV, batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        result = StepResult(loss.item(), norm.item(), state_SLBH.detach().float())
        if not (math.isfinite(result.loss_nats) and math.isfinite(result.gradient_norm)):
            raise NotFiniteError
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        return result


def mean_loss(logits_BTV: Tensor, batch: Batch) -> Tensor:
    """The sum of the negative log-likelihoods over the targets, divided by their number."""
    targets_BT = batch.targets_BT.to(logits_BTV.device)
    nats = functional.cross_entropy(
        logits_BTV.float().flatten(0, 1),
        targets_BT.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )
    return nats / batch.targets


def _adamw(model: CharRNN, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); biases are not decayed."""
    matrices = _with_dimensions(model.parameters(), matrices=True)
    biases = _with_dimensions(model.parameters(), matrices=False)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def _with_dimensions(parameters: Iterable[Tensor], *, matrices: bool) -> list[Tensor]:
    return [parameter for parameter in parameters if (parameter.dim() > 1) == matrices]
