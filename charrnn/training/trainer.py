"""The training loop, as a generator of events. It never prints and never touches a signal.

Between two steps stands everything that the next step depends on (`Progress`, the learner, the
carried state); it can be saved there, and a training that goes on from a save takes the very
steps that it would have taken. Evaluating and saving change nothing of what is learned. A stop
is noticed between two steps, and in an evaluation whenever the network is read on.

Shapes: S parts of the state, L layers, B batch, H hidden.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from charrnn.config.schema import Config
from charrnn.errors import RunFailedError
from charrnn.network import FloatArray, IdArray, Network
from charrnn.run.checkpoints import SavedState
from charrnn.run.model_card import ModelCard
from charrnn.run.writer import RunWriter
from charrnn.text.corpus import Corpus
from charrnn.training import checkpoint
from charrnn.training.batches import Batch, Batches
from charrnn.training.checkpoint import Progress
from charrnn.training.events import (
    EndReason,
    Evaluated,
    Event,
    Finished,
    Saved,
    Started,
    Stepped,
)
from charrnn.training.model import CharRNN, initialize
from charrnn.training.schedule import learning_rate_at
from charrnn.training.step import NotFiniteError, StepResult, TrainingStep
from charrnn.training.threads import threads_of_torch
from charrnn.training.torch_network import TorchNetwork, choose_device

Evaluate = Callable[[Network], float]
"""Scores the whole validation split, in nats per character."""
SECONDS_A_MINUTE = 60.0


class StopRequest:
    """How whoever listens asks the trainer to save and end after the step at hand."""

    def __init__(self) -> None:
        self.made = False

    def make(self) -> None:
        """Ask for the stop."""
        self.made = True


class _EvaluationStopped(Exception):  # noqa: N818 - control flow, no error
    """A stop was asked for in the middle of an evaluation, which is done again on resuming."""


class _StoppableNetwork:
    """The network as an evaluation reads it, until a stop is asked for."""

    def __init__(self, network: Network, stop: StopRequest) -> None:
        self._network = network
        self._stop = stop

    @property
    def vocabulary_size(self) -> int:
        return self._network.vocabulary_size

    def initial_state(self, batch_size: int) -> FloatArray:
        return self._network.initial_state(batch_size)

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self._stop.made:
            raise _EvaluationStopped
        return self._network.advance(ids_BT, state_SLBH)


def new_model(config: Config, corpus: Corpus) -> CharRNN:
    """The network with its first weights, which depend on `train.seed` alone."""
    torch.manual_seed(config.train.seed)
    model = CharRNN(config.model, len(corpus.vocabulary))
    initialize(model, corpus.vocabulary.unk_id)
    return model.to(choose_device(config.train.device))


class Clock:
    """Seconds of training, counted on from what was taken before a resume."""

    def __init__(self, seconds: float) -> None:
        self._zero = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """The seconds so far, evaluations and saves included."""
        return time.perf_counter() - self._zero


class Trainer:
    """One training of one network on one corpus, into one run directory."""

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        model: CharRNN,
        writer: RunWriter,
        *,
        evaluate: Evaluate,
        stop: StopRequest,
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.writer = writer
        self.evaluate = evaluate
        self.stop = stop
        self.learner = TrainingStep(model, config.train)
        self.batches = Batches(corpus.train, corpus.vocabulary, config.train)
        self.progress = Progress()
        self.state_SLBH: Tensor | None = None
        self.clock = Clock(0.0)
        self.saved_at = 0.0
        self.saving_seconds = 0.0

    def resume(self, changes: Sequence[str] = ()) -> None:
        """Go back to where the run's last save stands, or to the beginning if nothing was saved.

        `changes` says what is different from now on; it is kept with the saves.

        Raises:
            UserError: The save is missing or damaged, or was made with another corpus or network.
        """
        stored = self.writer.load_last()
        if stored is not None:
            self.progress = checkpoint.read_progress(stored.description, self._corpus_sha256)
            self.state_SLBH = checkpoint.restore(self.learner, stored.tensors)
        self.writer.check_best(kept=self.progress.best_loss_nats is not None)
        noted = [f"step {self.progress.step}: {change}" for change in changes]
        self.progress.changes += noted
        self.writer.notes += noted
        self.writer.keep_metrics_until(self.progress.logged_step)

    def run(self) -> Iterator[Event]:
        """Train until the steps are done, patience has run out or a stop is asked for.

        Raises:
            RunFailedError: A loss or gradient was not finite, or the disk is full.
        """
        with threads_of_torch(1):
            yield from self._run()

    def _run(self) -> Iterator[Event]:
        self.clock = Clock(self.progress.seconds)
        self.saved_at = self.clock.seconds
        yield self._started()
        if self.progress.step == 0:
            yield self._saved()
        self.writer.write_config(self.config)
        upcoming = self._upcoming()
        try:
            while True:
                if self._evaluation_is_due:
                    yield self._evaluated()
                self._log_if_due()
                if self.is_over or self.stop.made:
                    break
                if self._save_is_due:
                    yield self._saved()
                yield self._stepped(next(upcoming))
        except _EvaluationStopped:
            pass
        finally:
            upcoming.close()
        yield self._saved()
        yield self._finished()

    def _stepped(self, batch: Batch) -> Stepped:
        learning_rate = learning_rate_at(self.progress.step, self.config.train)
        try:
            result = self.learner.step(
                self.progress.step, batch, self._state_before(batch), learning_rate
            )
        except NotFiniteError as error:
            raise self._diverged(
                f"the loss or its gradient is not finite at step {self.progress.step + 1:,}; "
                "nothing was updated"
            ) from error
        self.state_SLBH = result.state_SLBH if self.batches.carries_state else None
        self._count(batch, result)
        return Stepped(
            step=self.progress.step,
            epoch=self.progress.epoch,
            chars=self.progress.chars,
            seconds=self.progress.seconds,
            train_loss_nats=self.progress.running_loss_nats,
            learning_rate=learning_rate,
            clipped_share=self.progress.clipped_share,
        )

    def _count(self, batch: Batch, result: StepResult) -> None:
        progress = self.progress
        if progress.logged_step == progress.step:
            progress.running_nats, progress.running_chars = 0.0, 0
        progress.step += 1
        progress.batch += 1
        progress.chars += batch.targets
        progress.seconds = self.clock.seconds
        progress.clipped_steps += result.gradient_norm > self.config.train.clip_norm
        progress.running_nats += result.loss_nats * batch.targets
        progress.running_chars += batch.targets

    def _state_before(self, batch: Batch) -> Tensor:
        if self.state_SLBH is None:
            return self.learner.model.initial_state(len(batch.ids_BT))
        return self.state_SLBH

    def _upcoming(self) -> Generator[Batch, None, None]:
        """The batches from where training stands, epoch after epoch."""
        while True:
            yield from self.batches.epoch(self.progress.epoch, start=self.progress.batch)
            self.progress.epoch += 1
            self.progress.batch = 0
            self._hand_states_on()

    def _hand_states_on(self) -> None:
        """At an epoch's end row b stands where row b + 1 began: it gives its state to that."""
        if self.state_SLBH is not None:
            self.state_SLBH = self.state_SLBH.roll(1, dims=2)
            self.state_SLBH[:, :, 0] = 0.0

    def _evaluated(self) -> Evaluated:
        progress = self.progress
        loss = self.evaluate(_StoppableNetwork(TorchNetwork(self.learner.model), self.stop))
        if not math.isfinite(loss):
            raise self._diverged(f"the validation loss is not finite after step {progress.step:,}")
        is_best = progress.best_loss_nats is None or loss < progress.best_loss_nats
        if is_best:
            progress.best_loss_nats, progress.best_step = loss, progress.step
            self.writer.save_best(self._weights(), self._card(loss))
        progress.evaluations_without_gain = 0 if is_best else progress.evaluations_without_gain + 1
        progress.evaluated_step = progress.step
        self._log({"valid_loss_nats": loss})
        best = loss if progress.best_loss_nats is None else progress.best_loss_nats
        return Evaluated(progress.step, loss, best, is_best)

    def _log_if_due(self) -> None:
        step = self.progress.step
        if step != self.progress.logged_step and step % self.config.train.log_every_steps == 0:
            self._log({})

    def _log(self, more: Mapping[str, float]) -> None:
        """Write a line of the metrics; an evaluation always has one."""
        progress = self.progress
        line: dict[str, float] = {
            "step": progress.step,
            "epoch": progress.epoch,
            "seconds": round(self.clock.seconds, 3),
            "chars": progress.chars,
            "train_loss_nats": progress.running_loss_nats,
            **more,
        }
        self.writer.append_metrics(line)
        progress.logged_step = progress.step

    def _is_due(self, last: int, interval: int) -> bool:
        """Whether something that happens at intervals, and at the end, should happen now."""
        step = self.progress.step
        at_end = step >= self.config.train.steps
        return step != last and (step % interval == 0 or at_end)

    @property
    def _evaluation_is_due(self) -> bool:
        return self._is_due(self.progress.evaluated_step, self.config.train.eval_every_steps)

    @property
    def _save_is_due(self) -> bool:
        """Whether so many steps, or so many minutes, have gone by since the last save."""
        train, saved_step = self.config.train, self.progress.saved_step
        minutes = math.inf if train.save_every_minutes is None else train.save_every_minutes
        is_late = self.clock.seconds - self.saved_at >= SECONDS_A_MINUTE * minutes
        return self._is_due(saved_step, train.save_every_steps) or (
            is_late and self.progress.step != saved_step
        )

    @property
    def _corpus_sha256(self) -> str:
        return self.corpus.manifest.corpus_sha256

    @property
    def is_over(self) -> bool:
        """Whether no step is left: all are done, or patience has run out."""
        patience = self.config.train.patience
        out_of_patience = (
            patience is not None and self.progress.evaluations_without_gain >= patience
        )
        return self.progress.step >= self.config.train.steps or out_of_patience

    def _saved(self) -> Saved:
        begin = self.progress.seconds = self.clock.seconds
        step = self.progress.saved_step = self.progress.step
        state = SavedState(
            checkpoint.capture(self.learner, self.state_SLBH),
            {"corpus_sha256": self._corpus_sha256, "progress": asdict(self.progress)},
        )
        self.writer.save_last(state, step=step, keep=self.config.train.keep)
        self.saved_at = self.clock.seconds
        self.saving_seconds += self.saved_at - begin
        return Saved(step)

    def _weights(self) -> dict[str, FloatArray]:
        return {
            name: weight.detach().float().cpu().numpy()
            for name, weight in self.learner.model.named_parameters()
        }

    def _card(self, valid_loss_nats: float) -> ModelCard:
        return ModelCard.of(
            self.config,
            vocabulary_size=len(self.corpus.vocabulary),
            corpus_sha256=self._corpus_sha256,
            step=self.progress.step,
            valid_loss_nats=valid_loss_nats,
        )

    def _started(self) -> Started:
        return Started(
            device=str(self.learner.model.device),
            precision=self.config.train.precision,
            parameters=sum(parameter.numel() for parameter in self.learner.parameters),
            steps=self.config.train.steps,
            first_step=self.progress.step,
        )

    def _finished(self) -> Finished:
        progress = self.progress
        return Finished(
            reason=self._end_reason,
            step=progress.step,
            chars=progress.chars,
            seconds=progress.seconds,
            best_step=progress.best_step,
            best_loss_nats=progress.best_loss_nats,
            clipped_share=progress.clipped_share,
            saving_seconds=self.saving_seconds,
        )

    @property
    def _end_reason(self) -> EndReason:
        if self._evaluation_is_due or not self.is_over:
            return "stopped"
        return "steps done" if self.progress.step >= self.config.train.steps else "patience"

    def _diverged(self, what: str) -> RunFailedError:
        best = (
            f"the best weights so far, of step {self.progress.best_step:,}, are in "
            f"{self.writer.path}"
            if self.progress.best_loss_nats is not None
            else "no weights have been kept yet"
        )
        return RunFailedError(
            f"{what}, and {best}",
            hint="a lower train.learning_rate, a smaller train.clip_norm or a longer "
            "train.warmup_steps usually helps; so does train.precision=float32",
        )
