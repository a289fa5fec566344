"""One step of learning: forward, loss, backward, clip, update. Loss and weights stay float32.

On a CPU the rows of a batch are cut into parts that are computed side by side, each by one thread
that waits for nobody, and the gradients are added in order. That beats giving every small product
to all threads, which then spend their time meeting each other.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, V vocabulary.
"""

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.config.schema import TrainConfig
from charrnn.errors import UserError
from charrnn.training.batches import IGNORED, Batch
from charrnn.training.cells import weights_of
from charrnn.training.heap import keep_freed_memory
from charrnn.training.kernels import Kernels, compiled_kernels
from charrnn.training.kernels.autograd import NativeSweep
from charrnn.training.kernels.packed_linear import RecurrentProducts
from charrnn.training.model import CharRNN
from charrnn.training.optimizers import optimizers_for
from charrnn.training.rng import Noise


class StepResult(NamedTuple):
    """What a step showed."""

    loss_nats: float
    """Mean negative log-likelihood per target, in nats."""
    gradient_norm: float
    """Length of the whole gradient before clipping."""
    state_SLBH: Tensor
    """The state after the batch."""


class NotFiniteError(ArithmeticError):
    """The loss or the gradient of a step is infinite or not a number; nothing was updated."""


class _Part(NamedTuple):
    """What some rows of a batch contribute to a step."""

    loss: Tensor
    gradients: Sequence[Tensor]
    state_SLBH: Tensor


class TrainingStep:
    """A model, its optimisers and the arithmetic they compute with.

    Our own kernels are for a CPU; on a GPU torch's layers it is, whatever the run began with.

    Raises:
        UserError: The kernel is to be native, and there is no C compiler.
    """

    def __init__(self, model: CharRNN, config: TrainConfig) -> None:
        keep_freed_memory()
        self.model = model
        self.config = config
        self.precision = getattr(torch, config.precision)
        wants_native = config.kernel == "native" and model.device.type != "cuda"
        self.kernels = required_kernels() if wants_native else None
        self.parameters = list(model.parameters())
        self.parts = 1 if model.device.type == "cuda" else config.threads or 1
        self._pool = ThreadPoolExecutor(self.parts)
        self.optimizers = optimizers_for(model, config, self.precision, self._pool)

    def step(self, index: int, batch: Batch, state_SLBH: Tensor, rate: float) -> StepResult:
        """Learn from one batch, as the step with this index, at this learning rate.

        Raises:
            NotFiniteError: Before anything is updated.
        """
        rows = len(batch.ids_BT)
        count = min(self.parts, rows)
        sweep = self._sweep(index, rows // count)
        parts = list(
            self._pool.map(
                self._part,
                [Noise(self.config.seed, index, part, self.model.device) for part in range(count)],
                batch.ids_BT.tensor_split(count),
                batch.targets_BT.tensor_split(count),
                [batch.targets] * count,
                state_SLBH.tensor_split(count, dim=2),
                [sweep] * count,
            )
        )
        for parameter, *gradients in zip(
            self.parameters, *(part.gradients for part in parts), strict=True
        ):
            parameter.grad = _total(gradients)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm))
        loss = float(sum(part.loss for part in parts))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise NotFiniteError
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        return StepResult(loss, norm, torch.cat([part.state_SLBH for part in parts], dim=2))

    def _sweep(self, index: int, rows: int) -> NativeSweep | None:
        """What the parts of one step share, if our own kernels sweep its layers."""
        if self.kernels is None:
            return None
        config = self.model.config
        weights = [weights_of(self.model.rnn, layer).hidden_GH for layer in range(config.layers)]
        noise = Noise(self.config.seed, index, self.parts, self.model.device)
        kept = [noise.kept(weights_GH, config.weight_dropout) for weights_GH in weights]
        arrange = functools.partial(
            RecurrentProducts.of, dtype=self.precision, rows=rows, pool=self._pool
        )
        return NativeSweep(self.kernels, config.cell, list(map(arrange, weights, kept)))

    def _part(
        self,
        noise: Noise,
        ids_BT: Tensor,
        targets_BT: Tensor,
        targets: int,
        state_SLBH: Tensor,
        sweep: NativeSweep | None,
    ) -> _Part:
        device = self.model.device
        state_SLBH = noise.clear_rows(state_SLBH, self.config.cold_start_fraction)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            logits_BTV, state_SLBH = self.model(ids_BT.to(device), state_SLBH, noise, sweep)
        loss = summed_loss(logits_BTV, targets_BT.to(device)) / targets
        gradients = torch.autograd.grad(loss, self.parameters)
        return _Part(loss.detach(), gradients, state_SLBH.detach().float())


def required_kernels() -> Kernels:
    """Our own kernels, which somebody asked for.

    Raises:
        UserError: There is no C compiler that works.
    """
    kernels = compiled_kernels()
    if kernels is None:
        raise UserError(
            "train.kernel is native, which takes a C compiler, and there is none that works here",
            hint="install gcc or clang, or name one in the environment variable CC; "
            "a new run can be trained with train.kernel=torch",
        )
    return kernels


def summed_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """The negative log-likelihood in nats, summed over the targets that are not IGNORED."""
    return functional.cross_entropy(
        logits_BTV.float().flatten(0, 1),
        targets_BT.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )


def _total(gradients: Sequence[Tensor]) -> Tensor:
    """The sum, always in the same order, as a tensor that no other weight's gradient shares."""
    first, *others = gradients
    return functools.reduce(torch.add, others, first) if others else first.clone()
