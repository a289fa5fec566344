"""The optimizers, AdamW and Muon for the recurrent matrices, and the learning-rate schedule.

AdamW scales every weight's step by that weight's own past. Muon looks at a matrix as a whole: the
gradient of a recurrent matrix, summed over time, has a few long directions and many short ones,
and an orthogonal update moves along all of them alike. The weights that are no map from units to
units (embedding, output, biases) stay with AdamW.

Muon is Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), with the scale of Liu et
al. 2025 (arXiv:2502.16982); AdamW is Loshchilov & Hutter 2019 (arXiv:1711.05101). Each gate's rows
are a matrix of their own here. `torch.optim.Muon` learns as much from as many steps, but its
products are bfloat16 on every processor, and ten times slower where there is no bfloat16.

The learning rate rises linearly, then falls along the cosine of Loshchilov & Hutter 2017 (SGDR,
arXiv:1608.03983), without restarts.

Shapes: H hidden units, X what a gate reads: the inputs, or the H units of the state; G gate rows.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import torch
from torch import Tensor

from charrnn.config.schema import TrainConfig
from charrnn.network import GATES
from charrnn.training.model import TorchModel
from charrnn.training.process_group import ProcessGroup

MOMENTUM = 0.9
ITERATIONS = 3
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial ax + bx^3 + cx^5, which Jordan et al. chose to lift small singular values fast.
They apply it five times; here three times do, and two learn less."""
UPDATE_SIZE = 0.7
"""Root mean square of what is added to a matrix, for a learning rate of 1: 3.5 times what Liu et
al. take for transformers."""
SMALLEST_NORM = 1e-12
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Of AdamW, as the paper and torch have them."""

Moments = dict[str, Tensor]


class Optimizer(ABC):
    """Moves weights, in groups with a `weight_decay` and an `lr` each, and remembers moments.

    Args:
        groups: Weights, as `params`, with what they have in common.
        factor: How many times the learning rate these weights are moved at.

    Stands in for `torch.optim.Optimizer`, which imports torch._dynamo: 1.7 s of every start.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], factor: float = 1.0) -> None:
        self._factor = factor
        self.param_groups = [{"lr": 0.0, **group} for group in groups]
        self.state: dict[Tensor, Moments] = {}
        """What is remembered of each weight, from the first step on."""
        self.found_inf = torch.zeros(())
        """1 where the next step is to change nothing: a number on the device, so nobody waits."""

    def set_rate(self, rate: float | Tensor) -> None:
        """Take the next step at this learning rate; on a GPU, a number () on the device."""
        for group in self.param_groups:
            group["lr"] = rate * self._factor

    @abstractmethod
    def step(self) -> None:
        """Move every weight by its gradient."""

    @abstractmethod
    def moments_of(self, weight: Tensor) -> Moments:
        """What is remembered of a weight that has not been moved: zeros."""

    @abstractmethod
    def gather_moments(self) -> None:
        """Make what is remembered complete in every process; all processes have to call it."""

    def begin_moments(self) -> None:
        """Give every weight that has none its moments."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight not in self.state:
                    self.state[weight] = self.moments_of(weight)


class AdamW(Optimizer):
    """Every weight's step scaled by that weight's own past: torch's fused one, bit by bit."""

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight by its gradient."""
        self.begin_moments()
        for group in self.param_groups:
            weights = group["params"]
            moments = [self.state[weight] for weight in weights]
            steps = [each["step"] for each in moments]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                weights,
                [weight.grad for weight in weights],
                [each["exp_avg"] for each in moments],
                [each["exp_avg_sq"] for each in moments],
                [],
                steps,
                lr=group["lr"],
                beta1=BETA_1,
                beta2=BETA_2,
                weight_decay=group["weight_decay"],
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
                found_inf=self.found_inf,
            )
            torch._foreach_sub_(steps, [self.found_inf] * len(steps))

    def gather_moments(self) -> None:
        """Do nothing: every process has all of them."""

    def moments_of(self, weight: Tensor) -> Moments:
        """The means of the gradient and of its square, and the number of steps."""
        return {
            "exp_avg": torch.zeros_like(weight),
            "exp_avg_sq": torch.zeros_like(weight),
            "step": torch.zeros((), device=weight.device),
        }


class Muon(Optimizer):
    """Momentum, Nesterov's way, with every gate's update made orthogonal.

    Processes share out the gates, as their products are most of the work, and the threads of `pool`
    those of a process. Each gate's are computed by one thread, so the result does not depend on
    the number of either. Products are computed in `dtype`, all else in float32. A process moves all
    weights, but keeps up the momenta of its own gates alone until `gather_moments`.
    """

    def __init__(
        self,
        weights_GX: Sequence[Tensor],
        *,
        gates: int,
        weight_decay: float,
        dtype: torch.dtype,
        pool: Executor,
        processes: ProcessGroup | None = None,
    ) -> None:
        super().__init__([{"params": weights_GX, "weight_decay": weight_decay}])
        self._gates = gates
        self._dtype = dtype
        self._pool = pool
        self._processes = processes or ProcessGroup()

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight by its gradient."""
        self.begin_moments()
        is_kept = self.found_inf == 0
        direction = functools.partial(_direction, dtype=self._dtype, is_kept=is_kept)
        for group in self.param_groups:
            weights = self._gates_of(group["params"])
            gradients = self._gates_of([each.grad for each in group["params"]])
            momenta = self._gates_of([self.state[each]["momentum"] for each in group["params"]])
            ours = self._pool.map(direction, gradients[self._ours], momenta[self._ours])
            move = functools.partial(
                _move, rate=group["lr"], weight_decay=group["weight_decay"], is_kept=is_kept
            )
            list(self._pool.map(move, weights, self._from_all(list(ours), weights, self._dtype)))

    @torch.no_grad()
    def gather_moments(self) -> None:
        """Get the moments that other processes have kept up."""
        momenta = self._gates_of([moments["momentum"] for moments in self.state.values()])
        latest = self._from_all(momenta[self._ours], momenta, torch.float32)
        for place, momentum in zip(momenta, latest, strict=True):
            if place is not momentum:
                place.copy_(momentum)

    @property
    def _ours(self) -> slice:
        """The gates whose turn is this process's."""
        return slice(self._processes.rank, None, self._processes.size)

    def _gates_of(self, arrays: Sequence[Tensor]) -> list[Tensor]:
        return [gate for array in arrays for gate in array.chunk(self._gates)]

    def _from_all(
        self, ours: Sequence[Tensor], gates: Sequence[Tensor], dtype: torch.dtype
    ) -> Sequence[Tensor]:
        """An array like each gate, of this type, from the process whose turn it is."""
        size = self._processes.size
        if size == 1 or not gates:
            return ours
        shares = [gates[turn::size] for turn in range(size)]
        counts = [sum(gate.numel() for gate in share) for share in shares]
        # As bytes: not every torch can send bfloat16.
        none = gates[0].new_zeros(0, dtype.itemsize, dtype=torch.uint8)
        sent = torch.cat([none, *(array.reshape(-1, 1).view(torch.uint8) for array in ours)])
        received = self._processes.gather(sent, counts).view(dtype).flatten()
        in_turns = iter(received.split([gate.numel() for share in shares for gate in share]))
        arrays = list(gates)
        for turn, share in enumerate(shares):
            arrays[turn::size] = [next(in_turns).view_as(gate) for gate in share]
        return arrays

    def moments_of(self, weight: Tensor) -> Moments:
        """The mean of the gradient."""
        return {"momentum": torch.zeros_like(weight)}


@torch.no_grad()  # which holds for one thread alone
def _direction(
    gradient_HX: Tensor, momentum_HX: Tensor, *, dtype: torch.dtype, is_kept: Tensor
) -> Tensor:
    """The gradient a step further along the momentum, made orthogonal; updates the momentum.

    Whether the step is kept is known where the tensors are, so it is computed all the same.
    """
    after_HX = momentum_HX.lerp(gradient_HX, 1 - MOMENTUM)
    ahead_HX = gradient_HX.lerp(after_HX, MOMENTUM)
    momentum_HX.copy_(torch.where(is_kept, after_HX, momentum_HX))
    return nearly_orthogonal(ahead_HX, dtype)


@torch.no_grad()
def _move(
    gate_HX: Tensor,
    direction_HX: Tensor,
    *,
    rate: float | Tensor,
    weight_decay: float,
    is_kept: Tensor,
) -> None:
    size = UPDATE_SIZE * math.sqrt(max(gate_HX.shape))
    moved_HX = gate_HX * (1 - rate * weight_decay) - direction_HX.float() * (rate * size)
    gate_HX.copy_(torch.where(is_kept, moved_HX, gate_HX))


@torch.no_grad()
def nearly_orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrix with its singular values brought near 1 and its singular vectors kept.

    By Newton-Schulz iterations in `dtype`, which the result has, too.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if is_tall else matrix
    x = (wide / wide.norm().clamp(min=SMALLEST_NORM)).to(dtype)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    orthogonal: Tensor = x.T if is_tall else x
    return orthogonal


def optimizers_for(
    model: TorchModel,
    config: TrainConfig,
    dtype: torch.dtype,
    pool: Executor,
    processes: ProcessGroup | None = None,
) -> list[Optimizer]:
    """Those that together move every weight of the model.

    Muon's products are never float16, in whose range the small entries of a large matrix are lost.
    """
    weights = list(model.parameters())
    if config.optimizer == "adamw":
        return [_adamw(weights, config.weight_decay)]
    # What one-hot characters enter by is a table, and no matrix between units.
    tables = {"weight_ih_l0"} if model.config.input == "onehot" else set()
    recurrent = [
        weight
        for network in model.networks
        for name, weight in network.rnn.named_parameters()
        if weight.dim() == 2 and name not in tables
    ]
    ours = set(map(id, recurrent))
    muon = Muon(
        recurrent,
        gates=GATES[model.config.cell],
        weight_decay=config.weight_decay,
        dtype=torch.bfloat16 if dtype == torch.float16 else dtype,
        pool=pool,
        processes=processes,
    )
    others = [weight for weight in weights if id(weight) not in ours]
    return [muon, _adamw(others, config.weight_decay, config.adamw_rate_factor)]


def _adamw(weights: Sequence[Tensor], weight_decay: float, factor: float = 1.0) -> AdamW:
    """Biases are not decayed."""
    matrices = [weight for weight in weights if weight.dim() > 1]
    biases = [weight for weight in weights if weight.dim() <= 1]
    return AdamW(
        [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": biases, "weight_decay": 0.0},
        ],
        factor,
    )


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """The learning rate of the step with this index, 0 being the first.

    Rises to `learning_rate` in `warmup_steps`, and ends at `final_learning_rate_fraction` of it
    with the last of `steps`. A warm-up that would take more than a tenth of a short training is
    cut to that.
    """
    warmup = min(config.warmup_steps, config.steps // 10)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    share_done = (step - warmup) / max(config.steps - 1 - warmup, 1)
    floor = config.final_learning_rate_fraction
    cosine = 0.5 * (1 + math.cos(math.pi * min(share_done, 1.0)))
    return config.learning_rate * (floor + (1 - floor) * cosine)
