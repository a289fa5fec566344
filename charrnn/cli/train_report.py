"""What `train` says about a training at its beginning and at its end."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.console import Console
from charrnn.messages import quote

if TYPE_CHECKING:
    from charrnn.config.schema import Config
    from charrnn.training.events import Finished, Started
    from charrnn.training.trainer import Trainer
    from charrnn.training.transfer import Transfer

MOST_CHARACTERS_SHOWN = 20


def tell_start(event: "Started", trainer: "Trainer", console: Console) -> None:
    """Say what is trained, on what, and how."""
    model, corpus = trainer.config.model, trainer.corpus
    console.note(
        f"{trainer.writer.path}: {model.cell} {model.layers} x {model.hidden_size}, "
        f"{event.parameters:,} parameters, {len(corpus.vocabulary)} ids, "
        f"{len(corpus.train.ids):,} characters to learn from; "
        f"{event.steps:,} steps on {event.device} in {event.precision}"
        f"{_kernel_in_words(trainer)}{_threads_in_words(trainer)}"
        + (f", going on after step {event.first_step:,}" if event.first_step else "")
    )


def choice_in_words(config: "Config") -> str:
    """What was chosen for a text and a time, as settings that can be given again."""
    model, train = config.model, config.train
    return (
        f"chosen: model.hidden_size={model.hidden_size} model.dropout={model.dropout} "
        f"model.weight_dropout={model.weight_dropout} train.optimizer={train.optimizer} "
        f"train.batch_size={train.batch_size} train.steps={train.steps}"
    )


def tell_end(finished: "Finished", trainer: "Trainer", console: Console) -> None:
    """Say what came out, and what to do next."""
    writer = trainer.writer
    if finished.reason == "stopped":
        console.note(
            f"stopped after step {finished.step:,}; "
            f"`charrnn train --resume --out {writer.path}` goes on"
        )
        return
    if finished.reason == "patience":
        console.note(f"stopped early at step {finished.step:,}: no better loss for a while")
    loss = math.nan if finished.best_loss_nats is None else finished.best_loss_nats
    console.facts(
        f"\n{writer.path}",
        [
            ("validation loss", f"{loss:.4f} nats per character (step {finished.best_step:,})"),
            ("bits per character", f"{loss / math.log(2):.4f}"),
            ("trained", f"{finished.chars:,} characters in {finished.seconds:.0f} s"),
            ("clipped", f"{finished.clipped_fraction:.1%} of the steps"),
            ("next", f"charrnn generate --run {writer.path}{_example_options(trainer)}"),
        ],
    )


def _kernel_in_words(trainer: "Trainer") -> str:
    return " by native kernels" if trainer.training_step.is_native else ""


def _threads_in_words(trainer: "Trainer") -> str:
    return f" with {trainer.training_step.parts} threads" if trainer.training_step.parts > 1 else ""


def _example_options(trainer: "Trainer") -> str:
    """Options for a first text that work with every vocabulary."""
    if not trainer.batches.carries_state:
        return " --samples 10"
    return ' --seed "The "' if all(char in trainer.corpus.vocabulary for char in "The ") else ""


def summary(finished: "Finished", run: Path) -> dict[str, Any]:
    """What a program wants to know."""
    loss = finished.best_loss_nats
    return {
        "run": str(run),
        "reason": finished.reason,
        "step": finished.step,
        "best_step": finished.best_step,
        "valid_loss_nats": loss,
        "bits_per_char": None if loss is None else loss / math.log(2),
        "chars": finished.chars,
        "seconds": round(finished.seconds, 3),
        "clipped_fraction": finished.clipped_fraction,
        "saving_seconds": round(finished.saving_seconds, 3),
    }


def transfer_in_words(transfer: "Transfer") -> str:
    """How the characters of two runs compare when one begins with the other's weights."""
    return (
        f"begun with the weights of {transfer.source} (step {transfer.step:,}): "
        f"{transfer.matched:,} characters matched; {_those(transfer.new)} new here; "
        f"{_those(transfer.left)} only there"
    )


def _those(chars: Sequence[str]) -> str:
    if not chars:
        return "none"
    shown = " ".join(quote(char) for char in chars[:MOST_CHARACTERS_SHOWN])
    more = len(chars) - MOST_CHARACTERS_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
