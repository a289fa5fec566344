"""One step of learning: forward, loss, backward, clip, update. Loss and weights stay float32.

The rows of a batch are cut into a fixed number of parts. Threads and processes only share these
out: what a part's gradient is, and in which order the gradients are added, does not depend on them,
so that any number of either takes the same step to the last bit. On a CPU, a thread for each part
beats giving every small product to all threads, which then spend their time waiting for each other.
Each network of an ensemble learns from every row; its parts are computed beside those of others.

On a GPU a step is put into a queue, and nobody waits for it: what came of it stays there until
somebody looks, and it is decided there whether the weights move. `step_graphs` launches it as a
whole where it can.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, V vocabulary.
"""

import ctypes
import functools
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.config.schema import TrainConfig
from charrnn.errors import UserError
from charrnn.messages import join_words
from charrnn.training import kernels
from charrnn.training.batches import IGNORE_INDEX, Batch
from charrnn.training.cells import weights_of
from charrnn.training.kernels import PackedWeights
from charrnn.training.loss_scale import MOST_IN_A_ROW, LossScale
from charrnn.training.model import CharRNN, TorchModel
from charrnn.training.optimizers import optimizers_for
from charrnn.training.process_group import ProcessGroup, pairwise_sum
from charrnn.training.rng import Noise, seed_of_network
from charrnn.training.step_graphs import StepGraphs

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of mallopt(3), by the numbers that glibc's malloc.h gives them."""
LARGEST_THRESHOLD_BYTES = 1 << 30
OLD_LARGEST_THRESHOLD_BYTES = 32 << 20
"""The largest threshold that older glibc takes."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""An environment variable that chooses the GPUs of a process."""


class StepInputs(NamedTuple):
    """What a step learns from, on its device; the numbers are tensors () on a GPU."""

    ids_BT: Tensor
    targets_BT: Tensor
    targets: int | Tensor
    """How many of the targets count."""
    rate: float | Tensor
    state_SLBH: Tensor
    """The state before the batch, of this process's rows."""


class PartResult(NamedTuple):
    """What came of a part of a batch: for one network, or for all."""

    loss: Tensor
    gradients: Sequence[Tensor]
    state_SLBH: Tensor


class StepResult(NamedTuple):
    """What came of a step, on its device. If a figure is not finite, nothing was updated."""

    figures: Tensor
    """Shape (2,): what `loss_nats` and `gradient_norm` read, which waits for the step."""
    state_SLBH: Tensor
    """The state after the batch, of this process's rows."""

    @property
    def loss_nats(self) -> float:
        """Mean negative log-likelihood per target, in nats."""
        return float(self.figures[0])

    @property
    def gradient_norm(self) -> float:
        """Length of the whole gradient before clipping; of an ensemble's, the longest."""
        return float(self.figures[1])


class CallingThread(Executor):
    """Runs everything at once, in the thread that asks: for what is not to be shared out."""

    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        """Run it now; returns a future that is done."""
        done: Future[Any] = Future()
        done.set_result(work(*arguments, **options))
        return done


class TrainingStep:
    """A model, its optimisers and the arithmetic they compute with.

    Our own kernels are for a CPU; on a GPU torch's layers are used, whatever the kernel is to be.

    Args:
        model: what learns.
        config: how.
        group: the processes that share the parts of each batch.

    Raises:
        UserError: The kernel is to be native, and there is no C compiler; or the parts cannot be
            shared out among the processes; or there is no GPU for each of them.

    Attributes:
        loss_scale: what the loss is multiplied by, if its gradients are float16.
    """

    def __init__(
        self, model: TorchModel, config: TrainConfig, group: ProcessGroup | None = None
    ) -> None:
        tune_malloc()
        self.model = model
        self.config = config
        self.group = group or ProcessGroup()
        self.precision = PRECISIONS.get(config.precision, torch.float32)
        self.loss_scale = LossScale(model.device) if self.precision == torch.float16 else None
        self.is_native = config.kernel == "native" and model.device.type != "cuda"
        if self.is_native:
            kernels.check_available()
        self.parameters = list(model.parameters())
        self.parts = parts_of(config, self.group, networks=len(model.networks))
        on_gpu = model.device.type == "cuda"
        if on_gpu:
            check_gpus(self.group)
        self._seeds = [seed_of_network(config.seed, each) for each in range(len(model.networks))]
        self._pool = CallingThread() if on_gpu else ThreadPoolExecutor(config.threads or 1)
        # Processes wait for each other in a step. Recorded in float16, a long training ends
        # elsewhere than it should, for a reason that is not known (docs/training.md).
        is_alone = self.group.size == 1 and not self.group.exchanges
        is_recorded = on_gpu and is_alone and self.loss_scale is None
        self._graphs = StepGraphs(self._take, self._noise_of) if is_recorded else None
        self.optimizers = optimizers_for(model, config, self.precision, self._pool, self.group)

    @property
    def most_skips(self) -> int:
        """How many steps in a row may have a gradient that is not finite, and be left out."""
        return 0 if self.loss_scale is None else MOST_IN_A_ROW

    def rows_of_processes(self, batch_size: int) -> list[int]:
        """How many rows of a batch each process has."""
        sizes = part_sizes(batch_size, self.parts)
        return [sum(sizes[part] for part in share) for share in self.group.shares(self.parts)]

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros for this process's rows of a batch, shape (S, L, B, H)."""
        return self.model.initial_state(self.rows_of_processes(batch_size)[self.group.rank])

    def whole_state(self, state_SLBH: Tensor, batch_size: int) -> Tensor:
        """The state of all rows, of which every process gives its own."""
        rows = state_SLBH.movedim(2, 0)
        gathered = self.group.gather(rows.flatten(1), self.rows_of_processes(batch_size))
        whole_SLBH: Tensor = gathered.view(-1, *rows.shape[1:]).movedim(0, 2).contiguous()
        return whole_SLBH

    def own_state(self, state_SLBH: Tensor) -> Tensor:
        """This process's rows of the state of all rows."""
        counts = self.rows_of_processes(state_SLBH.shape[2])
        own_SLBH: Tensor = state_SLBH.split(counts, dim=2)[self.group.rank].contiguous()
        return own_SLBH

    def step(self, index: int, batch: Batch, state_SLBH: Tensor, rate: float) -> StepResult:
        """Learn from one batch, as the step with this index, at this learning rate.

        Every process is given the whole batch, and the state of its own rows.
        """
        inputs = StepInputs(batch.ids_BT, batch.targets_BT, batch.targets, rate, state_SLBH)
        if self.model.device.type == "cuda":
            inputs = moved(inputs, self.model.device)
        if self._graphs is not None:
            return self._graphs.step(inputs, index)
        rows = max(1, len(batch.ids_BT) // self.parts)
        packed = None
        if self.is_native:
            packed = self._pack_all(index, rows)
        return self._take(inputs, self._noise_of(index), packed)

    @property
    def _own_parts(self) -> range:
        """The parts of a batch that are this process's."""
        return self.group.shares(self.parts)[self.group.rank]

    def _noise_of(self, index: int) -> list[Noise]:
        """What each part of this process draws for each network in the step with this index."""
        device = self.model.device
        return [
            Noise(seed, index, part, device) for part in self._own_parts for seed in self._seeds
        ]

    def _take(
        self,
        inputs: StepInputs,
        noise: Sequence[Noise],
        packed: Sequence[Sequence[PackedWeights]] | None = None,
    ) -> StepResult:
        """Compute and update. On a GPU, nothing here may wait for it or depend on what it holds."""
        parts = self._compute(inputs, noise, packed)
        figures = torch.stack([self._add_up(parts), self._clip()])
        found_inf = (~figures.isfinite().all()).float()
        for optimizer in self.optimizers:
            optimizer.set_rate(inputs.rate)
            optimizer.found_inf = found_inf
            optimizer.step()
        if self.loss_scale is not None:
            self.loss_scale.update(found_inf)
        return StepResult(figures, torch.cat([each.state_SLBH for each in parts], dim=2))

    def _compute(
        self,
        inputs: StepInputs,
        noise: Sequence[Noise],
        packed: Sequence[Sequence[PackedWeights]] | None,
    ) -> list[PartResult]:
        """What comes of each part of this process, for all networks."""
        ours, networks, count = self._own_parts, self.model.networks, len(self.model.networks)
        ids, targets = (
            rows_BT.tensor_split(self.parts)[ours.start : ours.stop]
            for rows_BT in (inputs.ids_BT, inputs.targets_BT)
        )
        states = inputs.state_SLBH.split([len(rows) for rows in ids], dim=2)
        tasks = [
            (network, weights, ids_BT, targets_BT, own_SLBH.contiguous())
            for ids_BT, targets_BT, state_SLBH in zip(ids, targets, states, strict=True)
            for network, weights, own_SLBH in zip(
                networks,
                packed or itertools.repeat(None, count),
                state_SLBH.tensor_split(count, dim=3),
                strict=True,
            )
        ]
        compute = functools.partial(self._compute_part, targets=inputs.targets)
        results = list(self._pool.map(compute, noise, *zip(*tasks, strict=True)))
        return [_beside(results[at : at + count]) for at in range(0, len(results), count)]

    def _clip(self) -> Tensor:
        """Clip the gradient of each network; returns the length of the longest."""
        clip = functools.partial(nn.utils.clip_grad_norm_, max_norm=self.config.clip_norm)
        lengths = self._pool.map(clip, [list(each.parameters()) for each in self.model.networks])
        return torch.stack(list(lengths)).amax()

    def _add_up(self, parts: Sequence[PartResult]) -> Tensor:
        """Give every parameter the gradient of all parts of all processes; returns their loss."""
        gradients = (each.gradients for each in parts)
        totals = [pairwise_sum(of_parts) for of_parts in zip(*gradients, strict=True)]
        *totals, loss = self.group.total([*totals, pairwise_sum([each.loss for each in parts])])
        if self.loss_scale is not None:
            totals = [total / self.loss_scale.scale for total in totals]
        elif len(parts) == 1:  # autograd's own arrays, of which two weights may share one
            totals = [total.clone() for total in totals]
        for parameter, total in zip(self.parameters, totals, strict=True):
            parameter.grad = total.contiguous()  # which fused AdamW wants on a GPU
        return loss

    def _pack_all(self, index: int, rows: int) -> list[list[PackedWeights]]:
        """The recurrent weights of each network; threads share out these, or a single one's."""
        across: Executor = CallingThread()
        within: Executor = self._pool
        if len(self._seeds) > 1:
            across, within = within, across
        pack = functools.partial(self._pack, index=index, rows=rows, pool=within)
        return list(across.map(pack, self.model.networks, self._seeds))

    def _pack(
        self, network: CharRNN, seed: int, *, index: int, rows: int, pool: Executor
    ) -> list[PackedWeights]:
        """Each layer's recurrent weights of a network, as the parts of one step share them."""
        noise = Noise(seed, index, self.parts, network.device)
        layers = [weights_of(network.rnn, each) for each in range(network.config.layers)]
        share = network.config.weight_dropout
        return [
            PackedWeights(
                layer.hidden_GH,
                noise.kept(layer.hidden_GH, share),
                dtype=self.precision,
                rows=rows,
                pool=pool,
            )
            for layer in layers
        ]

    def _compute_part(
        self,
        noise: Noise,
        network: CharRNN,
        packed: Sequence[PackedWeights] | None,
        ids_BT: Tensor,
        targets_BT: Tensor,
        state_SLBH: Tensor,
        *,
        targets: int | Tensor,
    ) -> PartResult:
        """Forward and backward of one network over some rows."""
        parameters, device = list(network.parameters()), network.device
        if not len(ids_BT):
            nothing = [torch.zeros_like(parameter) for parameter in parameters]
            return PartResult(torch.zeros((), device=device), nothing, state_SLBH)
        state_SLBH = noise.clear_rows(state_SLBH, self.config.cold_start_fraction)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            logits_BTV, state_SLBH = network(ids_BT, state_SLBH, noise, packed)
        loss = summed_loss(logits_BTV, targets_BT) / targets
        scale = None if self.loss_scale is None else self.loss_scale.scale
        gradients = torch.autograd.grad(loss, parameters, scale)
        return PartResult(loss.detach(), gradients, state_SLBH.detach().float())


def _beside(networks: Sequence[PartResult]) -> PartResult:
    """What came of a part for all networks: the mean of their losses."""
    if len(networks) == 1:
        return networks[0]
    return PartResult(
        torch.stack([each.loss for each in networks]).mean(),
        [gradient for each in networks for gradient in each.gradients],
        torch.cat([each.state_SLBH for each in networks], dim=3),
    )


def moved(inputs: StepInputs, device: torch.device) -> StepInputs:
    """The inputs on a GPU, which reads them by itself from memory that stays in place."""
    ids_2BT = torch.stack([inputs.ids_BT, inputs.targets_BT]).pin_memory()
    numbers = torch.tensor([inputs.targets, inputs.rate], dtype=torch.float32).pin_memory()
    ids_BT, targets_BT = ids_2BT.to(device, non_blocking=True)
    targets, rate = numbers.to(device, non_blocking=True)
    return StepInputs(ids_BT, targets_BT, targets, rate, inputs.state_SLBH)


def summed_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Sum the negative log-likelihood in nats over the targets that are not IGNORE_INDEX."""
    return functional.cross_entropy(
        logits_BTV.float().flatten(0, 1),
        targets_BT.flatten(),
        ignore_index=IGNORE_INDEX,
        reduction="sum",
    )


def part_sizes(rows: int, parts: int) -> list[int]:
    """How many rows each part of a batch has, as `tensor_split` cuts it."""
    return [rows // parts + (part < rows % parts) for part in range(parts)]


def parts_of(config: TrainConfig, group: ProcessGroup, *, networks: int) -> int:
    """In how many parts each batch is computed, for each network, whoever computes them.

    Raises:
        UserError: The processes cannot share them so that their sums are steps of one tree.
    """
    parts = config.parts or -(-(config.threads or 1) // networks) * group.size
    each, left = divmod(parts, group.size)
    if group.size > 1 and (left or each.bit_count() != 1):
        fitting = [parts >> n for n in range(parts.bit_length()) if parts % (1 << n) == 0]
        raise UserError(
            f"train.parts is {parts}, which {group.size} processes cannot share",
            hint=f"{join_words(map(str, reversed(fitting)), 'or')} can; a new run may have "
            f"train.parts={group.size}, or 2, 4, 8, ... times that",
        )
    return parts


def check_gpus(group: ProcessGroup) -> None:
    """Refuse more processes than GPUs: NCCL does not join two processes on one.

    A launcher that shows each process a GPU of its own sets CUDA_VISIBLE_DEVICES, and is trusted.

    Raises:
        UserError: There are fewer GPUs on this machine than processes.
    """
    gpus = torch.cuda.device_count()
    if group.local_size > gpus and VISIBLE not in os.environ:
        raise UserError(
            f"this machine has {group.local_size} processes and {gpus} GPU{'s'[gpus == 1 :]}, "
            "and each needs one of its own",
            hint=f"start torchrun with --nproc-per-node {gpus}, or set train.device=cpu",
        )


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
