"""The training loop, as a generator of events. It never prints and never touches a signal.

Between two steps, everything that the next step depends on can be saved (`TrainingProgress`, the
optimisers, the carried state); a training resumed from it takes the same steps that it would have
taken. Evaluating and saving change nothing of what is learned. A stop is noticed between two
steps, and in an evaluation between two batches. With a clock, the steps are planned anew on the
way, so that the training ends in time; each plan is saved with the step that it was made at.

Several processes run the same loop, each with its share of the rows. What only process 0 can
decide, as it has the clock, it tells the others now and then (`_confer`).

Shapes: S parts of the state, L layers, B batch, H hidden.
"""

import copy
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace

import torch
from torch import Tensor

from charrnn.config.schema import Config
from charrnn.errors import RunFailedError
from charrnn.run.checkpoint_files import DAMAGED_HINT, Checkpoint
from charrnn.run.model_card import ModelCard
from charrnn.run.paths import METRICS_FILE, SAMPLES_FILE
from charrnn.run.reader import read_model
from charrnn.run.writer import RunWriter
from charrnn.text.corpus import Corpus
from charrnn.training import training_state
from charrnn.training.batches import Batch, Batches
from charrnn.training.clock import LAST_SHARE, Clock
from charrnn.training.evaluator import Evaluator
from charrnn.training.events import (
    EndReason,
    Evaluated,
    Event,
    Finished,
    Planned,
    Sampled,
    ScoredWhole,
    Started,
    Stepped,
)
from charrnn.training.kept_weights import KeptWeights
from charrnn.training.model import TorchModel, put_weights, torch_threads, weights_of_model
from charrnn.training.optimizers import learning_rate_at
from charrnn.training.process_group import ProcessGroup
from charrnn.training.resume import check_same_corpus
from charrnn.training.samples import write_sample
from charrnn.training.step import TrainingStep
from charrnn.training.training_state import TrainingProgress
from charrnn.validation import record_from_json

CONFERENCE_SECONDS = 1.0
"""About how often several processes ask process 0 for its clock."""
SAVES_AT_THE_END = 2
"""One of the best weights, one of the last state."""
CPU_LOOK_STEPS, GPU_LOOK_STEPS = 1, 16
"""Steps between two looks at what came of them; on a GPU, a look waits for all in its queue."""


class _EvaluationStopped(Exception):  # noqa: N818 - control flow, no error
    """A stop was asked for in the middle of an evaluation, which is done again on resuming."""


class Trainer:
    """One training of one network on one corpus, into one run directory.

    With a clock, which process 0 alone has, it has as many steps as fit in the time.
    """

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        model: TorchModel,
        writer: RunWriter,
        clock: Clock | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.writer = writer
        self.group = group or ProcessGroup()
        self.training_step = TrainingStep(model, config.train, self.group)
        self.kept = KeptWeights(model, config.train)
        self.batches = Batches(corpus.train, corpus.vocabulary, config.train)
        self.evaluator = Evaluator(config, corpus, self.group, self._heed_stop)
        self.clock = clock
        self.progress = TrainingProgress()
        self.state_SLBH: Tensor | None = None
        self.started_at = self.saved_at = time.perf_counter()
        self.saves, self.saving_seconds = 0, 0.0
        self.is_save_late = False
        self.confers_at = 0
        self.unseen: list[tuple[int, int, Tensor]] = []
        self.look_every = GPU_LOOK_STEPS if model.device.type == "cuda" else CPU_LOOK_STEPS

    def resume(self, changes: Sequence[str] = ()) -> None:
        """Go back to where the run's last save stands, or to the beginning if nothing was saved.

        `changes` says what is different from now on; it is kept with the saves.

        Raises:
            UserError: The save is missing or damaged, or was made with another corpus or network.
        """
        stored = self.group.first(self.writer.load_last)
        trained_sha256 = None if stored is None else stored.description.get("corpus_sha256", "")
        self.group.first(lambda: check_same_corpus(self.writer.path, self.corpus, trained_sha256))
        if stored is not None:
            self.progress = record_from_json(
                TrainingProgress,
                stored.description.get("progress"),
                source="the saved state",
                hint=DAMAGED_HINT,
            )
            others = self.kept.restore(stored.tensors)
            state_SLBH = training_state.restore(self.training_step, others)
            self.state_SLBH = (
                None if state_SLBH is None else self.training_step.own_state(state_SLBH)
            )
        has_best = self.progress.best_loss_nats is not None
        self.group.first(lambda: self.writer.check_best(kept=has_best))
        self._note(changes)
        self.writer.keep_lines_until(METRICS_FILE, self.progress.logged_step)
        self.writer.keep_lines_until(SAMPLES_FILE, self.progress.sampled_step)

    def request_stop(self) -> None:
        """Ask the training to save and end after the step at hand."""
        self.group.stop_requested = True

    def run(self) -> Iterator[Event]:
        """Train until the steps are done, patience has run out or a stop is asked for.

        Raises:
            RunFailedError: A loss or gradient was not finite, or the disk is full.
        """
        self.saved_at = time.perf_counter()
        self.started_at = self.saved_at - self.progress.seconds
        self.group.begin_steps(self.config.train.process_timeout_seconds)
        self.group.copy_from_first(training_state.tensors_of(self.training_step).values())
        with torch_threads(1), closing(self._upcoming()) as upcoming:
            yield self._started()
            if self.progress.step == 0:
                self._save()
            self.writer.write_config(self.config)
            with suppress(_EvaluationStopped):
                while True:
                    if self.progress.step >= self.confers_at and self._confer():
                        yield Planned(self.config.train.steps)
                    if self._evaluation_is_due:
                        yield self._evaluate()
                    if self._log_is_due:
                        self._log()
                    if self._whole_is_due:
                        yield self._score_whole()
                    if self._sample_is_due:
                        yield self._sample()
                    if self.is_over or self.group.is_stopping:
                        break
                    if self._save_is_due:
                        self._save()
                    yield self._take_step(next(upcoming))
            self._save()
            yield self._finished()

    @property
    def seconds(self) -> float:
        """Seconds of training so far: evaluations, saves and what was before a resume included."""
        return time.perf_counter() - self.started_at

    def _confer(self) -> bool:
        """Hear from process 0 what its clock says; whether that changed the number of steps."""
        steps, self.is_save_late, pause = self.group.first(self._look_at_clock)
        self.confers_at = self.progress.step + pause
        if steps == self.config.train.steps:
            return False
        self._note([f"train.steps: {self.config.train.steps} -> {steps}, to end in time"])
        self.config = replace(self.config, train=replace(self.config.train, steps=steps))
        self._save()
        self.writer.write_config(self.config)
        return True

    def _look_at_clock(self) -> tuple[int, bool, int]:
        """How many steps there are to be, whether a save is late, and steps until the next look."""
        train, step = self.config.train, self.progress.step
        minutes = math.inf if train.save_every_minutes is None else train.save_every_minutes
        is_late = time.perf_counter() - self.saved_at >= 60 * minutes
        pause = 1
        if self.group.size > 1 and step:
            pause = max(1, round(CONFERENCE_SECONDS * step / self.seconds))
        if self.clock is None:
            return train.steps, is_late, pause
        estimate, whole = self.evaluator.expected_seconds(self.clock.seconds_a_char)
        is_whole_read = whole <= LAST_SHARE * self.clock.seconds
        steps = self.clock.plan(
            train.steps,
            done=step,
            evaluation=estimate / train.eval_every_steps,
            ending=estimate
            + is_whole_read * whole
            + SAVES_AT_THE_END * self.saving_seconds / max(self.saves, 1),
        )
        return steps, is_late, pause

    def _note(self, changes: Sequence[str]) -> None:
        """Keep what has changed from this step on, with the saves and above the settings."""
        noted = [f"step {self.progress.step}: {change}" for change in changes]
        self.progress.changes += noted
        self.writer.notes += noted

    def _take_step(self, batch: Batch) -> Stepped:
        begin, step = time.perf_counter(), self.progress.step
        rate = learning_rate_at(step, self.config.train)
        state_SLBH = self.state_SLBH
        if state_SLBH is None:
            state_SLBH = self.training_step.initial_state(len(batch.ids_BT))
        result = self.training_step.step(step, batch, state_SLBH, rate)
        self.state_SLBH = result.state_SLBH if self.batches.carries_state else None
        self.progress.count_step(batch.targets)
        self.kept.count_step(self.progress.step)
        self.unseen.append((self.progress.step, batch.targets, result.figures))
        if not self.progress.running_chars or len(self.unseen) >= self.look_every:
            self._look()
        self.progress.seconds = self.seconds
        if self.clock is not None:
            self.clock.count_step(time.perf_counter() - begin)
        return Stepped(
            step=self.progress.step,
            chars=self.progress.chars,
            seconds=self.progress.seconds,
            train_loss_nats=self.progress.running_loss_nats,
        )

    def _look(self) -> None:
        """Take note of what came of the steps since the last look."""
        unseen, self.unseen = self.unseen, []
        if not unseen:
            return
        progress, clip_norm = self.progress, self.config.train.clip_norm
        figures = torch.stack([each for _, _, each in unseen]).tolist()
        for (step, targets, _), (loss, norm) in zip(unseen, figures, strict=True):
            is_skipped = not math.isfinite(norm)
            progress.count_result(
                step, targets, loss, is_clipped=clip_norm < norm < math.inf, is_skipped=is_skipped
            )
            if not math.isfinite(loss) or progress.skipped_in_a_row > self.training_step.most_skips:
                raise self._diverged(
                    f"the loss or its gradient is not finite at step {step:,}; nothing was updated"
                )

    def _upcoming(self) -> Generator[Batch, None, None]:
        """The batches from where training stands, epoch after epoch."""
        while True:
            yield from self.batches.epoch(self.progress.epoch, start=self.progress.batch)
            self.progress.epoch += 1
            self.progress.batch = 0
            if self.state_SLBH is not None:
                # Row b ends where row b + 1 began: its state is handed on to that.
                rows = self.config.train.batch_size
                state_SLBH = self.training_step.whole_state(self.state_SLBH, rows).roll(1, dims=2)
                state_SLBH[:, :, 0] = 0.0
                self.state_SLBH = self.training_step.own_state(state_SLBH)

    def _heed_stop(self, _targets: int) -> None:
        if self.group.is_stopping:
            raise _EvaluationStopped

    def _evaluate(self) -> Evaluated:
        self._look()
        progress, model = self.progress, self.kept.model()
        loss = self.evaluator.estimate(model)
        if not math.isfinite(loss):
            raise self._diverged(f"the validation loss is not finite after step {progress.step:,}")
        is_best = progress.best_loss_nats is None or loss < progress.best_loss_nats
        if is_best:
            progress.best_loss_nats, progress.best_step = loss, progress.step
            self._save_best(model, loss)
        progress.evaluations_without_gain = 0 if is_best else progress.evaluations_without_gain + 1
        progress.evaluated_step = progress.step
        sample = self.evaluator.sample
        self._log(valid_loss_nats=loss, **({} if sample is None else {"valid_chars": sample}))
        assert progress.best_loss_nats is not None
        return Evaluated(progress.step, loss, progress.best_loss_nats, is_best)

    def _score_whole(self) -> ScoredWhole:
        """Score the whole validation split with the best weights, of which a part was scored."""
        progress, model = self.progress, self.kept.model()
        if progress.best_step != progress.step:
            model = copy.deepcopy(model)
            weights = self.group.first(lambda: read_model(self.writer.path).weights)
            put_weights(model, weights)
        loss = self.evaluator.whole(model)
        self._save_best(model, loss)
        progress.whole_step, progress.whole_loss_nats = progress.best_step, loss
        return ScoredWhole(progress.best_step, loss, self.evaluator.chars)

    def _save_best(self, model: TorchModel, loss: float) -> None:
        card = self._card(self.progress.best_step, loss)
        self.writer.save_best(weights_of_model(model), card)

    def _card(self, step: int, valid_loss_nats: float) -> ModelCard:
        return ModelCard.of(
            self.config,
            vocabulary_size=len(self.corpus.vocabulary),
            corpus_sha256=self.corpus.manifest.corpus_sha256,
            step=step,
            valid_loss_nats=valid_loss_nats,
        )

    def _sample(self) -> Sampled:
        """Let the network write, and keep what it wrote."""
        self._look()
        step = self.progress.sampled_step = self.progress.step
        if not self.group.is_first:
            return Sampled(step, [])
        weights = weights_of_model(self.kept.model())
        card = self._card(step, self.progress.running_loss_nats)
        texts = write_sample(weights, card, self.corpus)
        self.writer.append_line(SAMPLES_FILE, {"step": step, "texts": texts})
        return Sampled(step, texts)

    def _log(self, **more: float) -> None:
        """Write a line of the metrics; an evaluation always has one."""
        self._look()
        progress = self.progress
        line: dict[str, float] = {
            "step": progress.step,
            "epoch": progress.epoch,
            "seconds": round(self.seconds, 3),
            "chars": progress.chars,
            "train_loss_nats": progress.running_loss_nats,
            "learning_rate": learning_rate_at(progress.step - 1, self.config.train),
            "clipped_fraction": progress.clipped_fraction,
            **more,
        }
        if (loss_scale := self.training_step.loss_scale) is not None:
            line["skipped_steps"] = progress.skipped_steps
            line["loss_scale"] = float(loss_scale.scale)
        self.writer.append_line(METRICS_FILE, line)
        progress.logged_step = progress.step

    def _is_due(self, last: int, interval: int) -> bool:
        """Whether something that happens at intervals, and at the end, should happen now."""
        step = self.progress.step
        return step != last and (step % interval == 0 or step >= self.config.train.steps)

    @property
    def _log_is_due(self) -> bool:
        step = self.progress.step
        return step != self.progress.logged_step and step % self.config.train.log_every_steps == 0

    @property
    def _sample_is_due(self) -> bool:
        step, interval = self.progress.step, self.config.train.sample_every_steps
        return step != self.progress.sampled_step and interval > 0 and step % interval == 0

    @property
    def _evaluation_is_due(self) -> bool:
        return self._is_due(self.progress.evaluated_step, self.config.train.eval_every_steps)

    @property
    def _whole_is_due(self) -> bool:
        """Whether the best weights are still to be scored on the whole split, now at the end."""
        if not self.is_over or self.evaluator.sample is None:
            return False
        _, whole = self.evaluator.expected_seconds(0.0)
        clock = self.clock
        has_time = self.group.first(lambda: clock is None or clock.has_time(whole))
        return has_time and not self.progress.is_whole_scored

    @property
    def _save_is_due(self) -> bool:
        """Whether so many steps, or so many minutes, have gone by since the last save."""
        interval = 1 if self.is_save_late else self.config.train.save_every_steps
        return self._is_due(self.progress.saved_step, interval)

    @property
    def is_over(self) -> bool:
        """Whether no step is left: all are done, or patience has run out."""
        train, progress = self.config.train, self.progress
        patience = math.inf if train.patience is None else train.patience
        return progress.step >= train.steps or progress.evaluations_without_gain >= patience

    def _save(self) -> None:
        """Write what `--resume` needs."""
        self._look()
        begin = time.perf_counter()
        self.progress.seconds = self.seconds
        step = self.progress.saved_step = self.progress.step
        for optimizer in self.training_step.optimizers:
            optimizer.gather_moments()
        of_step = training_state.tensors_of(self.training_step)
        self.group.copy_from_first([*of_step.values(), *self.kept.mean.values()])
        state_SLBH = self.state_SLBH
        if state_SLBH is not None:
            state_SLBH = self.training_step.whole_state(state_SLBH, self.config.train.batch_size)
        tensors = training_state.capture(self.training_step, state_SLBH) | self.kept.tensors()
        corpus_sha256 = self.corpus.manifest.corpus_sha256
        state = Checkpoint(
            tensors, {"corpus_sha256": corpus_sha256, "progress": asdict(self.progress)}
        )
        self.writer.save_last(state, step=step, keep=self.config.train.keep)
        self.saved_at, self.is_save_late = time.perf_counter(), False
        self.saves += 1
        self.saving_seconds += self.saved_at - begin

    def _started(self) -> Started:
        return Started(
            device=str(self.training_step.model.device),
            precision=self.config.train.precision,
            parameters=sum(parameter.numel() for parameter in self.training_step.parameters),
            steps=self.config.train.steps,
            first_step=self.progress.step,
        )

    def _finished(self) -> Finished:
        progress = self.progress
        reason: EndReason = "patience"
        if self._evaluation_is_due or self._whole_is_due or not self.is_over:
            reason = "stopped"
        elif progress.step >= self.config.train.steps:
            reason = "steps done"
        return Finished(
            reason=reason,
            step=progress.step,
            chars=progress.chars,
            seconds=progress.seconds,
            best_step=progress.best_step,
            best_loss_nats=progress.loss_nats,
            estimated_from=None if progress.is_whole_scored else self.evaluator.sample,
            clipped_fraction=progress.clipped_fraction,
            saving_seconds=self.saving_seconds,
        )

    def _diverged(self, what: str) -> BaseException:
        progress, best = self.progress, "no weights have been kept yet"
        if progress.best_loss_nats is not None:
            kept_in = self.writer.path
            best = f"the best weights so far, of step {progress.best_step:,}, are in {kept_in}"
        error = RunFailedError(
            f"{what}, and {best}",
            hint="a lower train.learning_rate, a smaller train.clip_norm or a longer "
            "train.warmup_steps usually helps; so does train.precision=float32",
        )
        return self.group.told_by_first(error)
