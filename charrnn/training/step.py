"""One step of learning: forward, loss, backward, clip, update. Loss and weights stay float32.

On a CPU the rows of a batch are cut into parts that are computed side by side, a thread each, and
the gradients are added in order. That beats giving every small product to all threads, which then
spend their time waiting for each other.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, V vocabulary.
"""

import ctypes
import functools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.config.schema import TrainConfig
from charrnn.training import kernels
from charrnn.training.batches import IGNORE_INDEX, Batch
from charrnn.training.cells import weights_of
from charrnn.training.kernels import PackedWeights
from charrnn.training.model import CharRNN
from charrnn.training.optimizers import optimizers_for
from charrnn.training.rng import Noise

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of mallopt(3), by the numbers that glibc's malloc.h gives them."""
LARGEST_THRESHOLD_BYTES = 1 << 30
OLD_LARGEST_THRESHOLD_BYTES = 32 << 20
"""The largest threshold that older glibc takes."""


class StepResult(NamedTuple):
    """What came of a step."""

    loss_nats: float
    """Mean negative log-likelihood per target, in nats."""
    gradient_norm: float
    """Length of the whole gradient before clipping."""
    state_SLBH: Tensor
    """The state after the batch."""


class NotFiniteError(ArithmeticError):
    """The loss or the gradient of a step is infinite or not a number; nothing was updated."""


class TrainingStep:
    """A model, its optimisers and the arithmetic they compute with.

    Our own kernels are for a CPU; on a GPU torch's layers are used, whatever the kernel is to be.

    Raises:
        UserError: The kernel is to be native, and there is no C compiler.
    """

    def __init__(self, model: CharRNN, config: TrainConfig) -> None:
        tune_malloc()
        self.model = model
        self.config = config
        self.precision = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        self.is_native = config.kernel == "native" and model.device.type != "cuda"
        if self.is_native:
            kernels.check_available()
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
        compute_part = functools.partial(
            self._compute_part,
            targets=batch.targets,
            packed=self._pack(index, rows // count) if self.is_native else None,
        )
        parts = self._pool.map(
            compute_part,
            [Noise(self.config.seed, index, part, self.model.device) for part in range(count)],
            batch.ids_BT.tensor_split(count),
            batch.targets_BT.tensor_split(count),
            state_SLBH.tensor_split(count, dim=2),
        )
        losses, gradients, states = zip(*parts, strict=True)
        for parameter, *of_parts in zip(self.parameters, *gradients, strict=True):
            parameter.grad = _total(of_parts)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm))
        loss = float(sum(losses))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise NotFiniteError
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        return StepResult(loss, norm, torch.cat(states, dim=2))

    def _pack(self, index: int, rows: int) -> list[PackedWeights]:
        """Each layer's recurrent weights, as the parts of one step share them."""
        noise = Noise(self.config.seed, index, self.parts, self.model.device)
        layers = [weights_of(self.model.rnn, each) for each in range(self.model.config.layers)]
        share = self.model.config.weight_dropout
        return [
            PackedWeights(
                layer.hidden_GH,
                noise.kept(layer.hidden_GH, share),
                dtype=self.precision,
                rows=rows,
                pool=self._pool,
            )
            for layer in layers
        ]

    def _compute_part(
        self,
        noise: Noise,
        ids_BT: Tensor,
        targets_BT: Tensor,
        state_SLBH: Tensor,
        *,
        targets: int,
        packed: Sequence[PackedWeights] | None,
    ) -> tuple[Tensor, Sequence[Tensor], Tensor]:
        """Forward and backward over some rows; their loss, gradients and state after."""
        device = self.model.device
        state_SLBH = noise.clear_rows(state_SLBH, self.config.cold_start_fraction)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            logits_BTV, state_SLBH = self.model(ids_BT.to(device), state_SLBH, noise, packed)
        loss = summed_loss(logits_BTV, targets_BT.to(device)) / targets
        gradients = torch.autograd.grad(loss, self.parameters)
        return loss.detach(), gradients, state_SLBH.detach().float()


def summed_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Sum the negative log-likelihood in nats over the targets that are not IGNORE_INDEX."""
    return functional.cross_entropy(
        logits_BTV.float().flatten(0, 1),
        targets_BT.flatten(),
        ignore_index=IGNORE_INDEX,
        reduction="sum",
    )


def _total(gradients: Sequence[Tensor]) -> Tensor:
    """The sum, always in the same order, as a tensor that no other weight's gradient shares."""
    first, *others = gradients
    return functools.reduce(torch.add, others, first) if others else first.clone()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let each of torch's operations use so many threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def tune_malloc() -> None:
    """Keep freed memory in the process for the next step, which will need the same.

    glibc hands large blocks back to the system as soon as they are free, and gets them again page
    by page, zeroed: in each step of training thousands of page faults, a fifth of its time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # not glibc
        return
    for threshold_bytes in (LARGEST_THRESHOLD_BYTES, OLD_LARGEST_THRESHOLD_BYTES):
        if mallopt(MMAP_THRESHOLD, threshold_bytes):
            mallopt(TRIM_THRESHOLD, LARGEST_THRESHOLD_BYTES)
            return
