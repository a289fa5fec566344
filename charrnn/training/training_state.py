"""What a training writes: all that its next step depends on, and what its best weights are.

Weights, the optimisers' moments, the carried hidden state and where in the data and the schedule
training stands, as named arrays and a few numbers: with these a resumed training takes the very
steps that an uninterrupted one would have taken. Random states are not among them: all randomness
is derived from the seed and the place (see `rng`, `batches`).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from charrnn.errors import UserError
from charrnn.run.checkpoint_files import DAMAGED_HINT
from charrnn.tensors import Tensors
from charrnn.training.step import TrainingStep

MODEL, OPTIMIZER, LOSS_SCALE, HIDDEN = "model.", "optimizer.", "loss_scale.", "hidden"

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0, le=sys.float_info.max)]


@dataclass(kw_only=True, slots=True)
class TrainingProgress:
    """Where a training stands, between two steps."""

    step: Count = 0
    epoch: Count = 0
    batch: Count = 0
    """Batches of this epoch that are done."""
    chars: Count = 0
    seconds: Amount = 0.0
    clipped_steps: Count = 0
    skipped_steps: Count = 0
    """Steps that moved no weight as a gradient overflowed, and how many of them came last."""
    skipped_in_a_row: Count = 0
    evaluated_step: Count = 0
    saved_step: Count = 0
    logged_step: Count = 0
    sampled_step: Count = 0
    best_loss_nats: Amount | None = None
    best_step: Count = 0
    evaluations_without_gain: Count = 0
    whole_step: Count = 0
    """The step whose weights were scored on the whole validation split, with this loss."""
    whole_loss_nats: Amount | None = None
    running_nats: Amount = 0.0
    """Nats and characters that the next line of the metrics tells of, or the line at this step."""
    running_chars: Count = 0
    changes: list[str] = field(default_factory=list)
    """What was changed when the training was resumed, and at which step."""

    def count_step(self, targets: int) -> None:
        """Count a step that learns from so many targets."""
        self.step += 1
        self.batch += 1
        self.chars += targets

    def count_result(
        self, step: int, targets: int, loss_nats: float, *, is_clipped: bool, is_skipped: bool
    ) -> None:
        """Count what came of a step that was counted: the mean loss of its targets, in nats."""
        if self.logged_step == step - 1:
            self.running_nats, self.running_chars = 0.0, 0
        self.clipped_steps += is_clipped
        self.skipped_steps += is_skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if is_skipped else 0
        self.running_nats += loss_nats * targets
        self.running_chars += targets

    @property
    def running_loss_nats(self) -> float:
        """Mean training loss since the line of the metrics before."""
        return self.running_nats / max(self.running_chars, 1)

    @property
    def loss_nats(self) -> float | None:
        """The validation loss of the best weights: of the whole split, once that was scored."""
        return self.whole_loss_nats if self.is_whole_scored else self.best_loss_nats

    @property
    def is_whole_scored(self) -> bool:
        """Whether the best weights were scored on the whole of a split that is long."""
        return self.whole_step == self.best_step

    @property
    def clipped_fraction(self) -> float:
        """Share of all steps whose gradient was clipped."""
        return self.clipped_steps / max(self.step, 1)


def capture(training_step: TrainingStep, state_SLBH: Tensor | None) -> Tensors:
    """Collect all that the next step depends on, as NumPy arrays."""
    tensors = tensors_of(training_step)
    if state_SLBH is not None:
        tensors[HIDDEN] = state_SLBH
    return {name: value.detach().cpu().numpy() for name, value in tensors.items()}


def restore(training_step: TrainingStep, tensors: Tensors) -> Tensor | None:
    """Put everything back; returns the carried hidden state (S, L, B, H), if there was one.

    Raises:
        UserError: The arrays do not fit this network.
    """
    if any(name.startswith(OPTIMIZER) for name in tensors):
        for optimizer in training_step.optimizers:
            optimizer.begin_moments()
    places = tensors_of(training_step)
    if HIDDEN in tensors:
        batch_size = training_step.config.batch_size
        places[HIDDEN] = training_step.model.initial_state(batch_size)
    fill(places, tensors)
    return places.get(HIDDEN)


def fill(places: Mapping[str, Tensor], tensors: Tensors) -> None:
    """Copy saved arrays to their places, in float32.

    Raises:
        UserError: A name or a shape differs.
    """
    for name in sorted(tensors.keys() | places.keys()):
        if name not in tensors:
            what = f"{name} is missing"
        elif name not in places:
            what = f"{name} has no place in it"
        elif tensors[name].shape != places[name].shape or tensors[name].dtype != np.float32:
            what = f"{name} is {tensors[name].dtype} {list(tensors[name].shape)}"
        else:
            places[name].copy_(torch.tensor(tensors[name]))
            continue
        raise UserError(
            f"the saved state does not fit the configuration: {what}", hint=DAMAGED_HINT
        )


def tensors_of(training_step: TrainingStep) -> dict[str, Tensor]:
    """The weights, what the optimisers remember of each, and a loss scale, by their saved names."""
    tensors = {MODEL + name: value for name, value in training_step.model.state_dict().items()}
    for index, parameter in enumerate(training_step.parameters):
        for optimizer in training_step.optimizers:
            for name, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{OPTIMIZER}{index}.{name}"] = value
    if (loss_scale := training_step.loss_scale) is not None:
        tensors |= {LOSS_SCALE + name: value for name, value in vars(loss_scale).items()}
    return tensors
