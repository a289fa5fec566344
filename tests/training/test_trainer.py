"""Training from outside: what it writes, what it resumes, what it refuses."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from charrnn.config.load import read_run_config
from charrnn.config.schema import Config, DataConfig, ModelConfig, TrainConfig
from charrnn.errors import RunFailedError, UserError
from charrnn.evaluation.evaluate import score_text
from charrnn.inference.network import NumpyNetwork
from charrnn.run.checkpoint_files import STATE_FILE
from charrnn.run.reader import read_model
from charrnn.run.writer import RunWriter
from charrnn.tensors import dump_described, parse_described
from charrnn.text.corpus import Corpus
from charrnn.training import kernels
from charrnn.training import trainer as trainer_module
from charrnn.training.batches import Batches
from charrnn.training.clock import Clock
from charrnn.training.events import Evaluated, Event, Finished, Stepped
from charrnn.training.model import TorchModel, new_model
from charrnn.training.optimizers import learning_rate_at
from charrnn.training.step import StepResult
from charrnn.training.trainer import Trainer
from charrnn.training.training_state import TrainingProgress, capture, restore
from charrnn.validation import record_from_json
from tests.corpora import lines_corpus, stream_corpus
from tests.training.precision import needs_bfloat16

STEPS = 24


def config_for(corpus: Corpus, **train: object) -> Config:
    settings: dict[str, object] = {
        "steps": STEPS,
        "batch_size": 4,
        "sequence_length": 32,
        "eval_every_steps": 7,
        "save_every_steps": 5,
        "log_every_steps": 3,
        "precision": "float32",
        "threads": 1,
        **train,
    }
    return Config(
        data=DataConfig(mode=corpus.manifest.options.mode),
        model=ModelConfig(hidden_size=12, embedding_size=8, dropout=0.3, input_dropout=0.1),
        train=TrainConfig(**settings),  # type: ignore[arg-type]
    )


def trainer_for(corpus: Corpus, run: Path, config: Config) -> Trainer:
    fresh = not run.exists()
    writer = RunWriter.claim(run, corpus.vocabulary) if fresh else RunWriter.reopen(run)
    trainer = Trainer(config, corpus, new_model(config, corpus), writer)
    if not fresh:
        try:
            trainer.resume()
        except UserError:
            writer.close()
            raise
    return trainer


def stop_in_the_next_evaluation(trainer: Trainer) -> None:
    estimate = trainer.evaluator.estimate

    def stopped_in_the_middle(model: TorchModel) -> float:
        trainer.request_stop()
        return estimate(model)

    trainer.evaluator.estimate = stopped_in_the_middle  # type: ignore[method-assign]


def evaluate_to(trainer: Trainer, *losses: float) -> None:
    """Let the evaluations of a training come to these losses."""
    told = iter(losses)
    trainer.evaluator.estimate = lambda model: next(told)  # type: ignore[method-assign]  # noqa: ARG005


def train(
    corpus: Corpus, run: Path, config: Config, *, stop_after: tuple[int, ...] = ()
) -> list[Event]:
    """Train to the end, being stopped after each of the given steps and resumed."""
    events: list[Event] = []
    for stop_at in (*stop_after, math.inf):
        trainer = trainer_for(corpus, run, config)
        try:
            for event in trainer.run():
                events.append(event)
                if isinstance(event, Stepped) and event.step == stop_at:
                    trainer.request_stop()
        finally:
            trainer.writer.close()
    return events


def metrics_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def everything_learned(run: Path) -> dict[str, Any]:
    """All that two equal trainings must agree in, bit for bit."""
    state = load_file(run / "last" / "state.safetensors")
    best = load_file(run / "model.safetensors")
    card = json.loads((run / "model.json").read_text())
    return {
        "metrics": metrics_of(run),
        "card": card,
        **{f"last {name}": value.tobytes() for name, value in state.items()},
        **{f"best {name}": value.tobytes() for name, value in best.items()},
    }


@pytest.fixture(scope="module", params=["stream", "lines"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    if request.param == "stream":
        return stream_corpus(folder, characters=1200)
    return lines_corpus(folder, lines=60, shuffle=True)


@pytest.fixture(scope="module")
def uninterrupted(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(corpus, run, config_for(corpus))
    return everything_learned(run)


@pytest.mark.parametrize("stop_after", [(9,), (7, 23), (1, 10, 11)])
def test_a_resumed_training_ends_with_the_very_bits_of_an_uninterrupted_one(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path, stop_after: tuple[int, ...]
) -> None:
    train(corpus, tmp_path / "run", config_for(corpus), stop_after=stop_after)
    assert everything_learned(tmp_path / "run") == uninterrupted


@needs_bfloat16
@pytest.mark.skipif(not kernels.available(), reason="native kernels need a C compiler")
def test_native_kernels_and_dropped_weights_are_resumed_to_the_very_bits(
    corpus: Corpus, tmp_path: Path
) -> None:
    config = config_for(corpus, kernel="native", precision="bfloat16", threads=2, steps=12)
    config = replace(config, model=replace(config.model, cell="gru", weight_dropout=0.3))
    train(corpus, tmp_path / "whole", config)
    train(corpus, tmp_path / "run", config, stop_after=(3, 8))
    assert everything_learned(tmp_path / "run") == everything_learned(tmp_path / "whole")


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_the_momentum_of_muon_is_resumed_to_the_very_bits(
    corpus: Corpus, tmp_path: Path, precision: str
) -> None:
    config = config_for(corpus, optimizer="muon", precision=precision, threads=2, steps=12)
    train(corpus, tmp_path / "whole", config)
    train(corpus, tmp_path / "run", config, stop_after=(3, 8))
    assert everything_learned(tmp_path / "run") == everything_learned(tmp_path / "whole")


@pytest.mark.parametrize("look_every", [2, 16])
def test_looking_seldom_at_what_came_of_steps_changes_nothing(
    corpus: Corpus,
    uninterrupted: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    look_every: int,
) -> None:
    """As on a GPU, where a look waits; stopped and resumed between two looks."""
    monkeypatch.setattr(trainer_module, "CPU_LOOK_STEPS", look_every)
    train(corpus, tmp_path / "run", config_for(corpus), stop_after=(8, 23))
    assert everything_learned(tmp_path / "run") == uninterrupted


def test_what_is_not_finite_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "CPU_LOOK_STEPS", 16)
    corpus = stream_corpus(tmp_path, characters=1200)
    config = config_for(corpus, log_every_steps=50, eval_every_steps=50, save_every_steps=5)
    trainer = trainer_for(corpus, tmp_path / "run", config)
    step = trainer.training_step.step

    def poisoned(index: int, *arguments: Any) -> StepResult:
        result = step(index, *arguments)
        return result._replace(figures=result.figures * math.nan) if index == 11 else result

    trainer.training_step.step = poisoned  # type: ignore[method-assign, assignment]
    with pytest.raises(RunFailedError, match="not finite at step 12;"):
        list(trainer.run())
    assert trainer.progress.step == 15
    assert trainer.progress.saved_step == 10
    trainer.writer.close()


def test_a_stop_at_the_end_of_an_epoch_is_resumed_in_the_next(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    batches = Batches(corpus.train, corpus.vocabulary, config_for(corpus).train)
    ends = np.cumsum([len(list(batches.epoch(epoch))) for epoch in range(3)])
    within = tuple(int(step) for step in ends if step < STEPS)
    assert within, "there is an epoch's end to stop at"
    train(corpus, tmp_path / "run", config_for(corpus), stop_after=within)
    assert everything_learned(tmp_path / "run") == uninterrupted


def test_how_long_patience_has_lasted_is_resumed_too(corpus: Corpus, tmp_path: Path) -> None:
    config = config_for(corpus, patience=2, steps=200, learning_rate=0.3, eval_every_steps=2)
    whole = train(corpus, tmp_path / "whole", config)[-1]
    assert isinstance(whole, Finished)
    assert whole.reason == "patience"
    stops = (whole.step - 3, whole.step - 2, whole.step - 1)
    train(corpus, tmp_path / "run", config, stop_after=stops)
    assert everything_learned(tmp_path / "run") == everything_learned(tmp_path / "whole")


def test_a_kill_after_a_stop_during_an_evaluation_writes_no_line_twice(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    """The evaluation at step 7 is stopped, then done, then lost with all that was not saved."""
    run, config = tmp_path / "run", config_for(corpus)
    trainer = trainer_for(corpus, run, config)
    for event in trainer.run():
        if isinstance(event, Stepped) and event.step == 6:
            stop_in_the_next_evaluation(trainer)
    trainer.writer.close()
    trainer = trainer_for(corpus, run, config)
    for event in trainer.run():
        if isinstance(event, Stepped) and event.step == 8:
            break
    trainer.writer.close()
    assert [line["step"] for line in metrics_of(run)] == [3, 6, 7]

    train(corpus, run, config)
    assert everything_learned(run) == uninterrupted


def test_a_stop_during_an_evaluation_is_resumed_with_that_evaluation(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    run, config = tmp_path / "run", config_for(corpus)
    trainer = trainer_for(corpus, run, config)
    stop_in_the_next_evaluation(trainer)
    events = list(trainer.run())
    trainer.writer.close()
    assert not any(isinstance(event, Evaluated) for event in events)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stopped"
    assert events[-1].step == 7

    train(corpus, run, config)
    assert everything_learned(run) == uninterrupted


def test_a_kill_is_resumed_from_the_last_save(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    run, config = tmp_path / "run", config_for(corpus)
    trainer = trainer_for(corpus, run, config)
    for event in trainer.run():
        if isinstance(event, Stepped) and event.step == 18:
            break
    trainer.writer.close()
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 18, "trai')

    train(corpus, run, config)
    assert everything_learned(run) == uninterrupted


def test_how_often_it_looks_saves_and_logs_changes_nothing_of_what_is_learned(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    other = config_for(corpus, eval_every_steps=4, save_every_steps=11, log_every_steps=50)
    train(corpus, run, other)
    learned = everything_learned(run)
    for name, value in uninterrupted.items():
        if name.startswith("last model."):
            assert learned[name] == value, name


def saves_of(run: Path) -> list[int]:
    """The steps after which a run was saved, if it keeps them all."""
    return sorted(int(file.stem.partition("-")[2]) for file in (run / "last").glob("state-*"))


def test_saves_have_a_time_of_their_own(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    config = config_for(corpus, save_every_steps=1000, save_every_minutes=1e-9, keep=1000)
    train(corpus, tmp_path / "run", config)
    assert saves_of(tmp_path / "run") == [*range(STEPS + 1)]
    assert everything_learned(tmp_path / "run") == uninterrupted
    rarely = replace(config.train, save_every_minutes=None, steps=6)
    train(corpus, tmp_path / "rarely", replace(config, train=rarely))
    assert saves_of(tmp_path / "rarely") == [0, 6]


def test_older_saves_are_kept_and_can_be_gone_back_to(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    run, config = tmp_path / "run", config_for(corpus, keep=2)
    train(corpus, run, config)
    with RunWriter.reopen(run) as writer:
        writer.saves.go_back(15)
    assert metrics_of(run) == uninterrupted["metrics"]
    train(corpus, run, config)
    assert everything_learned(run) == uninterrupted


def test_the_metrics_tell_steps_characters_losses_and_rates(
    corpus: Corpus, uninterrupted: dict[str, Any]
) -> None:
    lines = uninterrupted["metrics"]
    assert [line["step"] for line in lines] == sorted({*range(3, STEPS + 1, 3), 7, 14, 21, 24})
    assert [line["step"] for line in lines if "valid_loss_nats" in line] == [7, 14, 21, 24]
    assert all(line["train_loss_nats"] > 0 for line in lines)
    assert all(0 <= line["clipped_fraction"] <= 1 for line in lines)
    config = config_for(corpus).train
    rates = [learning_rate_at(line["step"] - 1, config) for line in lines]
    assert [line["learning_rate"] for line in lines] == rates
    batches = Batches(corpus.train, corpus.vocabulary, config_for(corpus).train)
    seen = [batch.targets for epoch in range(9) for batch in batches.epoch(epoch)]
    assert [line["chars"] for line in lines] == [sum(seen[: line["step"]]) for line in lines]


def test_the_best_weights_are_those_of_the_lowest_validation_loss(
    corpus: Corpus, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    config = config_for(corpus)
    trainer = trainer_for(corpus, run, config)
    evaluate_to(trainer, 2.0, 1.0, 3.0, 1.5)
    weights: dict[int, np.ndarray[Any, Any]] = {}
    for event in trainer.run():
        if isinstance(event, Stepped):
            weights[event.step] = (
                trainer.training_step.model.networks[0].output.weight.detach().numpy().copy()
            )
    trainer.writer.close()

    model = read_model(run)

    assert (model.card.step, model.card.valid_loss_nats) == (14, 1.0)
    np.testing.assert_array_equal(model.weights["output.weight"], weights[14])


def test_training_stops_when_patience_has_run_out(corpus: Corpus, tmp_path: Path) -> None:
    config = config_for(corpus, patience=2, steps=1000)
    trainer = trainer_for(corpus, tmp_path / "run", config)
    evaluate_to(trainer, 2.0, 1.0, 1.2, 1.1)
    finished = list(trainer.run())[-1]
    trainer.writer.close()
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.step, finished.best_step) == ("patience", 28, 14)


def test_a_loss_that_is_not_finite_stops_before_the_update_and_keeps_the_best(
    corpus: Corpus, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trainer = trainer_for(corpus, run, config_for(corpus))
    events = trainer.run()
    next(event for event in events if isinstance(event, Stepped) and event.step == 9)
    with torch.no_grad():
        trainer.training_step.model.networks[0].output.bias[0] = math.nan
    before = trainer.training_step.model.networks[0].output.weight.detach().clone()
    with pytest.raises(RunFailedError, match=r"not finite at step 10;.*of step 7") as failure:
        list(events)
    trainer.writer.close()
    assert "learning_rate" in failure.value.hint
    assert torch.equal(trainer.training_step.model.networks[0].output.weight, before)
    assert read_model(run).card.step == 7


def test_it_learns(corpus: Corpus, tmp_path: Path) -> None:
    config = config_for(corpus, steps=60, eval_every_steps=60, learning_rate=0.05)
    config = replace(config, model=replace(config.model, dropout=0.0, input_dropout=0.0))
    train(corpus, tmp_path / "run", config)
    lines = metrics_of(tmp_path / "run")
    assert lines[-1]["train_loss_nats"] < 0.7 * lines[0]["train_loss_nats"]


def test_a_save_of_another_network_or_corpus_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    run, config = tmp_path / "run", config_for(corpus, steps=5)
    train(corpus, run, config)
    wider = replace(config, model=replace(config.model, hidden_size=13))
    with pytest.raises(UserError, match="does not fit"):
        train(corpus, run, wider)
    make = stream_corpus if corpus.train.starts is None else lines_corpus
    with pytest.raises(UserError, match="corpus"):
        train(make(tmp_path, 500), run, config)


def test_a_save_that_names_no_hash_of_its_corpus_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    run, config = tmp_path / "run", config_for(corpus, steps=2)
    train(corpus, run, config)
    file = run / "last" / STATE_FILE
    tensors, description = parse_described(file.read_bytes(), source="the save")
    odd = {**description, "corpus_sha256": {"a": 1}}
    file.write_bytes(dump_described(tensors, odd))
    with pytest.raises(UserError, match="corpus"):
        train(corpus, run, replace(config, train=replace(config.train, steps=4)))


def test_a_stop_during_the_last_evaluation_is_no_end(corpus: Corpus, tmp_path: Path) -> None:
    run, config = tmp_path / "run", config_for(corpus, steps=7)
    trainer = trainer_for(corpus, run, config)
    stop_in_the_next_evaluation(trainer)
    finished = list(trainer.run())[-1]
    trainer.writer.close()
    assert isinstance(finished, Finished)
    assert finished.reason == "stopped"

    finished = train(corpus, run, config)[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.best_step) == ("steps done", 7)


def test_an_evaluation_right_after_resuming_has_a_line_of_the_metrics(
    corpus: Corpus, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", config_for(corpus)
    trainer = trainer_for(corpus, run, config)
    for event in trainer.run():
        if isinstance(event, Stepped) and event.step == 9:
            trainer.request_stop()
    trainer.writer.close()
    assert metrics_of(run)[-1]["step"] == 9

    train(corpus, run, config_for(corpus, steps=9))

    last = metrics_of(run)[-1]
    assert last["step"] == 9
    assert last["train_loss_nats"] == metrics_of(run)[-2]["train_loss_nats"]
    assert last["valid_loss_nats"] > 0


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_ends_the_training_and_keeps_the_best(
    corpus: Corpus, tmp_path: Path, loss: float
) -> None:
    run = tmp_path / "run"
    trainer = trainer_for(corpus, run, config_for(corpus))
    evaluate_to(trainer, 2.0, loss)
    with pytest.raises(RunFailedError, match=r"validation loss.*after step 14,.*of step 7"):
        list(trainer.run())
    trainer.writer.close()
    assert read_model(run).card.step == 7


@pytest.mark.parametrize(
    "damage",
    [
        {"step": -1},
        {"batch": 1.5},
        {"chars": True},
        {"seconds": math.inf},
        {"step": None},
        {"changes": [1]},
    ],
)
def test_a_progress_that_cannot_be_is_refused(damage: dict[str, Any]) -> None:
    whole = asdict(TrainingProgress())
    assert record_from_json(TrainingProgress, whole, source="it") == TrainingProgress()
    with pytest.raises(UserError, match="damaged"):
        record_from_json(TrainingProgress, {**whole, **damage}, source="it")


@pytest.mark.parametrize(
    "name", ["hidden", "optimizer.0.exp_avg", "optimizer.0.step", "optimizer.2.momentum"]
)
def test_saved_arrays_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    corpus = stream_corpus(tmp_path, characters=1200)
    config = config_for(corpus, steps=2, optimizer="muon")
    trainer = trainer_for(corpus, tmp_path / "run", config)
    list(trainer.run())
    trainer.writer.close()
    tensors = capture(trainer.training_step, trainer.state_SLBH)
    restore(trainer.training_step, tensors)
    for wrong in (tensors[name][None], tensors[name].astype(np.float64)):
        with pytest.raises(UserError, match="does not fit"):
            restore(trainer.training_step, {**tensors, name: wrong})
    if name.startswith("optimizer"):
        del tensors[name]
        with pytest.raises(UserError, match="does not fit"):
            restore(trainer.training_step, tensors)


class PlannedClock(Clock):
    """A clock with the same plans on every machine: another number of steps after each step."""

    def __init__(self, plans: dict[int, int]) -> None:
        super().__init__(1e9, begin=0.0)
        self.plans = plans

    def plan(self, planned: int, *, done: int, **_seconds: float) -> int:
        return self.plans.get(done, planned)


def train_by(
    clock: Clock, corpus: Corpus, run: Path, *, stop_at: int | None = None, **settings: object
) -> None:
    """Begin a training that keeps to a clock."""
    config = config_for(corpus, **settings)
    writer = RunWriter.claim(run, corpus.vocabulary)
    with writer:
        trainer = Trainer(config, corpus, new_model(config, corpus), writer, clock)
        for event in trainer.run():
            if isinstance(event, Stepped) and event.step == stop_at:
                trainer.request_stop()


def test_steps_that_the_clock_planned_anew_are_written_down_and_resumed_to_the_very_bits(
    corpus: Corpus, tmp_path: Path
) -> None:
    plans = {6: 30, 13: 17}
    train_by(PlannedClock(plans), corpus, tmp_path / "whole")
    train_by(PlannedClock(plans), corpus, tmp_path / "stopped", stop_at=15)
    planned = read_run_config(tmp_path / "stopped" / "config.yaml")
    train(corpus, tmp_path / "stopped", planned)

    assert planned.train.steps == 17
    assert "step 13: train.steps: 30 -> 17" in (tmp_path / "stopped/config.yaml").read_text()
    assert metrics_of(tmp_path / "whole")[-1]["step"] == 17
    assert everything_learned(tmp_path / "stopped") == everything_learned(tmp_path / "whole")


def test_a_training_without_a_new_plan_is_the_one_without_a_clock(
    corpus: Corpus, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    train_by(PlannedClock({}), corpus, tmp_path / "run")
    assert everything_learned(tmp_path / "run") == uninterrupted


@pytest.fixture(scope="module", params=["stream", "lines"])
def long_to_validate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Corpus:
    """A corpus whose validation split is longer than what its trainings learn from."""
    folder = tmp_path_factory.mktemp("long")
    if request.param == "stream":
        return stream_corpus(folder, characters=20_000, valid_fraction=0.5)
    return lines_corpus(folder, lines=2000, valid_fraction=0.5)


def test_a_long_validation_split_is_read_in_part_on_the_way_and_whole_at_the_end(
    long_to_validate: Corpus, tmp_path: Path
) -> None:
    run, corpus = tmp_path / "run", long_to_validate
    events = train(corpus, run, config_for(corpus))

    evaluations = [line for line in metrics_of(run) if "valid_loss_nats" in line]
    assert {line["valid_chars"] for line in evaluations} == {4096}
    whole = validation_loss(run, corpus)
    assert read_model(run).card.valid_loss_nats == pytest.approx(whole, abs=1e-5)
    assert evaluations[-1]["valid_loss_nats"] == pytest.approx(whole, rel=0.02)
    assert evaluations[-1]["valid_loss_nats"] != pytest.approx(whole, abs=1e-5)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.best_loss_nats == read_model(run).card.valid_loss_nats


def test_the_whole_is_read_with_the_best_weights_where_these_are_not_the_last(
    long_to_validate: Corpus, tmp_path: Path
) -> None:
    run, corpus = tmp_path / "run", long_to_validate
    trainer = trainer_for(corpus, run, config_for(corpus))
    evaluate_to(trainer, 3.0, 1.0, 2.0, 2.5)
    with trainer.writer:
        list(trainer.run())

    card = read_model(run).card
    assert card.step == 14
    assert card.valid_loss_nats == pytest.approx(validation_loss(run, corpus), abs=1e-5)


def test_a_stop_while_the_whole_is_read_is_resumed_with_that(
    long_to_validate: Corpus, tmp_path: Path
) -> None:
    corpus = long_to_validate
    train(corpus, tmp_path / "whole", config_for(corpus))
    trainer = trainer_for(corpus, tmp_path / "run", config_for(corpus))
    read_whole = trainer.evaluator.whole

    def stopped_in_the_middle(model: TorchModel) -> float:
        trainer.request_stop()
        return read_whole(model)

    trainer.evaluator.whole = stopped_in_the_middle  # type: ignore[method-assign]
    with trainer.writer:
        *_, finished = trainer.run()
    assert isinstance(finished, Finished)
    assert finished.reason == "stopped"
    train(corpus, tmp_path / "run", config_for(corpus))
    assert everything_learned(tmp_path / "run") == everything_learned(tmp_path / "whole")


def test_all_of_a_validation_split_is_read_each_time_where_that_is_asked_for(
    long_to_validate: Corpus, tmp_path: Path
) -> None:
    run, corpus = tmp_path / "run", long_to_validate
    train(corpus, run, config_for(corpus, eval_time_fraction=1.0))
    last = metrics_of(run)[-1]
    assert "valid_chars" not in last
    assert last["valid_loss_nats"] == pytest.approx(validation_loss(run, corpus), abs=1e-5)


def validation_loss(run: Path, corpus: Corpus) -> float:
    """The loss of a run on the whole validation split, as `charrnn eval` computes it."""
    model, valid = read_model(run), corpus.valid
    network = NumpyNetwork.of(model)
    return score_text(network, valid.ids, valid.starts, corpus.vocabulary).loss_nats
