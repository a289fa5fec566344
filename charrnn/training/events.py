"""What happens in a training, as values: the trainer yields them, the command shows them."""

from dataclasses import dataclass
from typing import Literal

EndReason = Literal["steps done", "patience", "stopped"]


@dataclass(frozen=True, slots=True)
class Started:
    """Everything is ready; the next thing is a step."""

    device: str
    precision: str
    parameters: int
    steps: int
    first_step: int
    """0, or where a resumed training goes on."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step was taken."""

    step: int
    chars: int
    seconds: float
    train_loss_nats: float
    """Mean over the steps since the last line of the metrics."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The whole validation split was scored."""

    step: int
    valid_loss_nats: float
    best_loss_nats: float
    is_best: bool


@dataclass(frozen=True, slots=True)
class Sampled:
    """The network wrote something, as it is now."""

    step: int
    texts: list[str]
    """A stretch of text; in lines mode, a few lines."""


@dataclass(frozen=True, slots=True)
class Finished:
    """No more events follow."""

    reason: EndReason
    step: int
    chars: int
    seconds: float
    best_step: int
    best_loss_nats: float | None
    clipped_fraction: float
    """Share of all steps whose gradient was longer than `clip_norm`."""
    saving_seconds: float
    """Seconds that saves of what `--resume` needs took, since this process began to train."""


Event = Started | Stepped | Evaluated | Sampled | Finished
