"""All that the next step depends on, as named arrays and a few numbers, and back again.

Weights, the optimisers' moments, the carried hidden state and where in the data and the schedule
training stands: with these a resumed training takes the very steps that an uninterrupted one would
have taken. Random states are not among them: all randomness is derived from the seed and the place
(see `noise`, `batches`).
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Optimizer

from charrnn.errors import UserError
from charrnn.messages import format_value, reason
from charrnn.run.checkpoints import DAMAGED_HINT
from charrnn.tensors import Tensors
from charrnn.training.optimizers import moments_of
from charrnn.training.step import TrainingStep

MODEL, OPTIMIZER, HIDDEN = "model.", "optimizer.", "hidden"


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a training stands, between two steps."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    chars: int = 0
    seconds: float = 0.0
    clipped_steps: int = 0
    evaluated_step: int = 0
    saved_step: int = 0
    logged_step: int = 0
    best_loss_nats: float | None = None
    best_step: int = 0
    evaluations_without_gain: int = 0
    running_nats: float = 0.0
    """Nats and characters that the next line of the metrics tells of, or the line at this step."""
    running_chars: int = 0
    changes: list[str] = field(default_factory=list)
    """What was changed when the training was resumed, and at which step."""

    @property
    def running_loss_nats(self) -> float:
        """Mean training loss since the line of the metrics before."""
        return self.running_nats / self.running_chars

    @property
    def clipped_share(self) -> float:
        """Share of all steps whose gradient was clipped."""
        return self.clipped_steps / max(self.step, 1)


def read_progress(description: dict[str, Any], corpus_sha256: str) -> Progress:
    """Where the training stood, as its last save describes it.

    Raises:
        UserError: It was made with another corpus, or it is damaged.
    """
    if (theirs := description.get("corpus_sha256")) != corpus_sha256:
        raise UserError(
            "the corpus is not the one that this run was trained on: "
            f"its SHA-256 is {corpus_sha256}, the run's is {format_value(theirs)}",
            hint="resume with the same text, or begin a new run",
        )
    stored = description.get("progress")
    if not isinstance(stored, dict) or not _is_whole(stored):
        raise UserError("the saved state is damaged", hint=DAMAGED_HINT)
    return Progress(**stored)


def _is_whole(stored: dict[str, Any]) -> bool:
    """Whether every field is there, of its kind, finite and not negative."""
    blank = asdict(Progress())
    return (
        stored.keys() == blank.keys()
        and all(_fits(value, blank[name]) for name, value in stored.items())
        and _agrees(Progress(**stored))
    )


def _agrees(progress: Progress) -> bool:
    """Whether nothing happened after the step at hand, and every step had characters."""
    earlier = (
        progress.evaluated_step,
        progress.saved_step,
        progress.logged_step,
        progress.best_step,
        progress.clipped_steps,
    )
    has_begun = progress.step > 0
    return max(earlier) <= progress.step and (progress.running_chars > 0) == has_begun


def _fits(value: object, blank: object) -> bool:
    if isinstance(blank, list):
        return isinstance(value, list) and all(isinstance(change, str) for change in value)
    if value is None:
        return blank is None
    kind = int if isinstance(blank, int) else int | float
    return isinstance(value, kind) and not isinstance(value, bool) and 0 <= value < math.inf


def capture(learner: TrainingStep, state_SLBH: Tensor | None) -> Tensors:
    """Everything as NumPy arrays."""
    tensors = {MODEL + name: value for name, value in learner.model.state_dict().items()}
    for index, (parameter, optimizer) in enumerate(_with_optimizers(learner)):
        for name, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{OPTIMIZER}{index}.{name}"] = value
    if state_SLBH is not None:
        tensors[HIDDEN] = state_SLBH
    return {name: value.detach().cpu().numpy() for name, value in tensors.items()}


def restore(learner: TrainingStep, tensors: Tensors) -> Tensor | None:
    """Put everything back; returns the carried hidden state, if there was one.

    Raises:
        UserError: The arrays do not fit this network.
    """
    try:
        learner.model.load_state_dict(_below(tensors, MODEL))
        _restore_optimizers(learner, _below(tensors, OPTIMIZER))
        return _restored_state(learner, tensors.get(HIDDEN))
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"the saved state does not fit the configuration: {reason(error)}", hint=DAMAGED_HINT
        ) from error


def _restored_state(learner: TrainingStep, stored: npt.NDArray[Any] | None) -> Tensor | None:
    if stored is None:
        return None
    blank_SLBH = learner.model.initial_state(learner.config.batch_size)
    if stored.shape != tuple(blank_SLBH.shape) or stored.dtype != np.float32:
        raise ValueError(f"the hidden state is {stored.dtype} {list(stored.shape)}")
    return torch.from_numpy(np.copy(stored)).to(blank_SLBH.device)


def _with_optimizers(learner: TrainingStep) -> list[tuple[Tensor, Optimizer]]:
    """Every weight, in the model's order, with the optimiser that moves it."""
    owners = {
        id(weight): optimizer
        for optimizer in learner.optimizers
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    return [(weight, owners[id(weight)]) for weight in learner.parameters]


def _restore_optimizers(learner: TrainingStep, stored: dict[str, Tensor]) -> None:
    if not stored:  # no step has been taken
        return
    for index, (parameter, optimizer) in enumerate(_with_optimizers(learner)):
        moments = {
            name.removeprefix(f"{index}."): value
            for name, value in stored.items()
            if name.startswith(f"{index}.")
        }
        if moments.keys() != moments_of(optimizer):
            raise ValueError(f"weight {index} has the moments {sorted(moments)}")
        for name, value in moments.items():
            shape = torch.Size() if name == "step" else parameter.shape
            if value.shape != shape or value.dtype != torch.float32:
                raise ValueError(f"{name} of weight {index} is {value.dtype} {list(value.shape)}")
        optimizer.state[parameter] = {
            name: value.to(learner.model.device) for name, value in moments.items()
        }


def _below(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.copy(value))
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
