"""The events of a training as files that TensorBoard shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from charrnn.errors import UserError
from charrnn.training.events import Evaluated, Event, Sampled, Started, Stepped


def check_available() -> None:
    """Look for TensorBoard before a training begins.

    Raises:
        UserError: It is not installed.
    """
    if find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard needs the package tensorboard",
            hint="`pip install 'charrnn-cli[tensorboard]'` installs it",
        )


@contextmanager
def tensorboard_log(folder: Path, every: int) -> Iterator[Callable[[Event], None]]:
    """Write event files; yields what takes the events.

    Args:
        folder: where the files go; those of the steps to come are left out of older files.
        every: steps between two values of the training loss.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer: SummaryWriter | None = None

    def log(event: Event) -> None:
        nonlocal writer
        match event:
            case Started():
                writer = SummaryWriter(str(folder), purge_step=event.first_step + 1)
            case Stepped() if writer and event.step % every == 0:
                writer.add_scalar("loss/train", event.train_loss_nats, event.step)
            case Evaluated() if writer:
                writer.add_scalar("loss/valid", event.valid_loss_nats, event.step)
            case Sampled() if writer:
                writer.add_text("sample", "\n".join(event.texts), event.step)

    try:
        yield log
    finally:
        if writer is not None:
            writer.close()
