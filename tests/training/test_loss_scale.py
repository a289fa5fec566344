"""float16: its scale, driven on a CPU, whose float16 is slow and whose arithmetic is the same."""

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from charrnn.errors import RunFailedError
from charrnn.training import model as model_module
from charrnn.training.loss_scale import FIRST_SCALE, MOST_IN_A_ROW, STEPS_TO_DOUBLE, LossScale
from charrnn.training.step import TrainingStep
from charrnn.training.training_state import capture, restore, tensors_of
from tests.corpora import stream_corpus
from tests.training.test_step import model_and_batch, train_config
from tests.training.test_trainer import (
    config_for,
    everything_learned,
    metrics_of,
    train,
    trainer_for,
)

OVERFLOWING = 2.0**40
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def without_onednn() -> Iterator[None]:
    """Which has no float16 layers to learn with."""
    torch._C._set_mkldnn_enabled(False)
    yield
    torch._C._set_mkldnn_enabled(True)


@pytest.fixture
def float16_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "check_precision", lambda *_: None)


def scales(overflows: Sequence[bool]) -> list[float]:
    scale = LossScale(CPU)
    seen = []
    for overflow in overflows:
        scale.update(torch.tensor(float(overflow)))
        seen.append(float(scale.scale))
    return seen


def test_an_overflow_halves_the_scale_and_many_steps_without_one_double_it() -> None:
    good = [False] * (STEPS_TO_DOUBLE - 1)
    assert scales([True, True]) == [FIRST_SCALE / 2, FIRST_SCALE / 4]
    assert set(scales(good)) == {FIRST_SCALE}
    seen = scales([*good, False, *good, True, *good, False])
    assert (max(seen), seen[2 * len(good)], seen[-2], seen[-1]) == tuple(
        each * FIRST_SCALE for each in (2, 2, 1, 2)
    )


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_float16_keeps_weights_state_and_loss_in_float32_and_learns_the_same(
    cell: str, optimizer: str
) -> None:
    model, batch = model_and_batch(cell=cell)
    losses = {}
    for precision in ("float32", "float16"):
        config = train_config(precision=precision, optimizer=optimizer, threads=2)
        learner = TrainingStep(copy.deepcopy(model), config)
        first, *_, last = [
            learner.step(index, batch, model.initial_state(6), rate=0.02) for index in range(20)
        ]
        losses[precision] = last.loss_nats
        assert last.state_SLBH.dtype == first.figures.dtype == torch.float32
        assert {p.dtype for p in learner.parameters} == {torch.float32}
        assert last.loss_nats < 0.8 * first.loss_nats
    assert losses["float16"] == pytest.approx(losses["float32"], rel=0.05)


def test_gradients_too_small_for_float16_are_not_lost() -> None:
    """Those of a mean over many targets are mostly below its smallest number, as are these."""
    model, batch = model_and_batch()
    batch = batch._replace(targets=batch.targets * 10_000_000)
    norms = {}
    for precision in ("float32", "float16"):
        learner = TrainingStep(copy.deepcopy(model), train_config(precision=precision))
        norms[precision] = learner.step(0, batch, model.initial_state(6), rate=0.0).gradient_norm
    assert 0 < norms["float32"] < 1e-6
    assert norms["float16"] == pytest.approx(norms["float32"], rel=0.02)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_that_overflows_is_left_out_and_the_next_one_tried_with_half_the_scale(
    optimizer: str,
) -> None:
    model, batch = model_and_batch()
    learner = TrainingStep(model, train_config(precision="float16", optimizer=optimizer))
    assert learner.loss_scale is not None
    learner.step(0, batch, model.initial_state(6), rate=0.1)
    learner.loss_scale.scale.fill_(OVERFLOWING)
    before = copy.deepcopy(tensors_of(learner))

    result = learner.step(1, batch, model.initial_state(6), rate=0.1)

    assert math.isfinite(result.loss_nats)
    assert not math.isfinite(result.gradient_norm)
    after = tensors_of(learner)
    assert after.pop("loss_scale.scale") == before.pop("loss_scale.scale") / 2
    assert after.pop("loss_scale.good_steps") == 0 != before.pop("loss_scale.good_steps")
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_scale_is_saved_and_restored() -> None:
    model, batch = model_and_batch()
    config = train_config(precision="float16", batch_size=6)
    learner, other = (TrainingStep(copy.deepcopy(model), config) for _ in range(2))
    assert learner.loss_scale is not None
    learner.loss_scale.scale.fill_(OVERFLOWING)
    for index in range(3):
        learner.step(index, batch, model.initial_state(6), rate=0.1)

    restore(other, capture(learner, None))

    for each in (learner, other):
        for index in range(3, 40):
            each.step(index, batch, model.initial_state(6), rate=0.01)
    ours, theirs = tensors_of(learner), tensors_of(other)
    assert ours["loss_scale.scale"] < OVERFLOWING / 8
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.usefixtures("float16_anywhere")
def test_a_training_skips_counts_and_resumes_to_the_very_bits(tmp_path: Path) -> None:
    corpus = stream_corpus(tmp_path / "corpus", characters=1200)
    config = config_for(corpus, precision="float16", steps=16)
    ends = []
    for name, stop_after in (("whole", ()), ("stopped", (2, 9))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("charrnn.training.loss_scale.FIRST_SCALE", OVERFLOWING)
            train(corpus, tmp_path / name, config, stop_after=stop_after)
        ends.append(everything_learned(tmp_path / name))
    assert ends[0] == ends[1]
    last = metrics_of(tmp_path / "whole")[-1]
    assert 1 < last["skipped_steps"] < MOST_IN_A_ROW
    assert last["loss_scale"] == OVERFLOWING / 2 ** last["skipped_steps"]


@pytest.mark.usefixtures("float16_anywhere")
def test_a_scale_that_never_fits_ends_the_training(tmp_path: Path) -> None:
    corpus = stream_corpus(tmp_path / "corpus", characters=1200)
    config = config_for(corpus, precision="float16", steps=STEPS_TO_DOUBLE)
    trainer = trainer_for(corpus, tmp_path / "run", config)
    scale = trainer.training_step.loss_scale
    assert scale is not None
    scale.scale.fill_(2.0**126)
    with pytest.raises(RunFailedError, match=rf"not finite at step {MOST_IN_A_ROW + 1};"):
        list(trainer.run())
    trainer.writer.close()


def test_float32_and_bfloat16_have_no_scale_and_skip_nothing() -> None:
    model, _ = model_and_batch()
    for precision in ("float32", "bfloat16"):
        learner = TrainingStep(model, train_config(precision=precision))
        assert learner.loss_scale is None
        assert learner.most_skips == 0
