"""A step of learning, whole or in parts side by side."""

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.errors import UserError
from charrnn.training.batches import IGNORE_INDEX, Batch
from charrnn.training.initialization import init_weights
from charrnn.training.model import CharRNN
from charrnn.training.process_group import ProcessGroup
from charrnn.training.rng import Noise
from charrnn.training.step import (
    VISIBLE,
    CallingThread,
    TrainingStep,
    check_gpus,
    summed_loss,
)
from charrnn.training.training_state import tensors_of
from tests.training.precision import needs_bfloat16

V = 13


def model_and_batch(**options: object) -> tuple[CharRNN, Batch]:
    torch.manual_seed(0)
    settings = {"hidden_size": 10, "embedding_size": 10, "dropout": 0.0, **options}
    model = CharRNN(ModelConfig(**settings), V)  # type: ignore[arg-type]
    init_weights(model, unknown_id=1)
    ids, targets = torch.randint(V, (6, 8)), torch.randint(V, (6, 8))
    targets[2, 5:] = IGNORE_INDEX
    return model, Batch(ids, targets, int((targets != IGNORE_INDEX).sum()))


def train_config(**options: object) -> TrainConfig:
    settings = {"precision": "float32", "threads": 1, "cold_start_fraction": 0.0, **options}
    return TrainConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_gradient_is_the_one_of_the_mean_loss_over_all_targets(cell: str, tied: bool) -> None:
    model, batch = model_and_batch(cell=cell, layers=2, tie_weights=tied)
    reference = copy.deepcopy(model)
    state = torch.randn_like(model.initial_state(6))
    logits, after = reference(batch.ids_BT, state)
    loss = summed_loss(logits, batch.targets_BT) / batch.targets
    loss.backward()
    norm = torch.nn.utils.get_total_norm(
        [p.grad for p in reference.parameters() if p.grad is not None]
    )

    for threads in (1, 2, 4):
        learner = TrainingStep(copy.deepcopy(model), train_config(threads=threads, clip_norm=1e9))
        result = learner.step(0, batch, state, rate=0.0)

        assert result.loss_nats == pytest.approx(float(loss.detach()), rel=1e-5)
        assert result.gradient_norm == pytest.approx(float(norm), rel=1e-4)
        torch.testing.assert_close(result.state_SLBH, after.detach())
        for ours, theirs in zip(learner.parameters, reference.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_an_update_is_that_of_adamw_on_the_clipped_gradient() -> None:
    model, batch = model_and_batch()
    reference = copy.deepcopy(model)
    state = model.initial_state(6)
    (summed_loss(reference(batch.ids_BT, state)[0], batch.targets_BT) / batch.targets).backward()
    torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.01)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=0.1, weight_decay=0.0)
    optimizer.step()

    config = train_config(clip_norm=0.01, weight_decay=0.0, threads=2)
    TrainingStep(model, config).step(0, batch, state, rate=0.1)

    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_same_step_is_the_same_to_the_bit_however_the_threads_run() -> None:
    model, batch = model_and_batch(dropout=0.4)
    ends = []
    for _ in range(3):
        learner = TrainingStep(copy.deepcopy(model), train_config(threads=3))
        for index in range(4):
            learner.step(index, batch, model.initial_state(6), rate=0.01)
        ends.append([p.detach().clone() for p in learner.parameters])
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))


def test_fewer_rows_than_threads_are_computed_all_the_same() -> None:
    model, batch = model_and_batch()
    learner = TrainingStep(model, train_config(threads=16))
    assert learner.step(0, batch, model.initial_state(6), rate=0.01).loss_nats > 0


@needs_bfloat16
def test_bfloat16_keeps_weights_state_and_loss_in_float32_and_learns_the_same() -> None:
    model, batch = model_and_batch()
    losses = {}
    for precision in ("float32", "bfloat16"):
        learner = TrainingStep(copy.deepcopy(model), train_config(precision=precision))
        for index in range(30):
            result = learner.step(index, batch, model.initial_state(6), rate=0.02)
        losses[precision] = result.loss_nats
        assert result.state_SLBH.dtype == torch.float32
        assert {p.dtype for p in learner.parameters} == {torch.float32}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


@pytest.mark.parametrize("entry", ["embedding", "onehot"])
@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_bfloat16_is_the_same_to_the_bit_however_the_threads_run(cell: str, entry: str) -> None:
    model, batch = model_and_batch(cell=cell, input=entry, hidden_size=48)
    config = train_config(precision="bfloat16", kernel="torch", threads=3)
    ends = set()
    for _ in range(4):
        learner = TrainingStep(copy.deepcopy(model), config)
        for index in range(6):
            learner.step(index, batch, model.initial_state(6), rate=0.01)
        ends.add(b"".join(p.detach().numpy().tobytes() for p in learner.parameters))
    assert len(ends) == 1


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_that_is_not_finite_changes_nothing_that_is_saved(
    optimizer: str, poison: float
) -> None:
    model, batch = model_and_batch()
    learner = TrainingStep(model, train_config(optimizer=optimizer))
    state = model.initial_state(6)
    learner.step(0, batch, state, rate=0.1)
    with torch.no_grad():
        model.output.bias[3] = poison
    before = copy.deepcopy(tensors_of(learner))

    result = learner.step(1, batch, state, rate=0.1)

    assert not math.isfinite(result.loss_nats)
    assert not math.isfinite(result.gradient_norm)
    after = tensors_of(learner)
    assert after.keys() == before.keys()
    for name, value in after.items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_nothing_in_a_step_waits_for_a_number(cell: str, optimizer: str, precision: str) -> None:
    """On a GPU, whoever reads one number waits for all that is in the queue."""

    class NoReading(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, _types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            assert func is not torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    model, batch = model_and_batch(cell=cell, layers=2, dropout=0.2, weight_dropout=0.2)
    config = train_config(optimizer=optimizer, precision=precision, cold_start_fraction=0.1)
    learner = TrainingStep(model, config)
    learner._pool = learner.optimizers[0]._pool = SimpleNamespace(map=map)  # type: ignore[assignment, attr-defined]
    with NoReading():  # type: ignore[no-untyped-call]
        figures = learner.step(0, batch, model.initial_state(6), rate=0.1).figures
        with pytest.raises(AssertionError):
            float(figures[0])


def test_a_share_of_rows_begins_from_nothing_and_only_in_training() -> None:
    state = torch.ones(2, 3, 1000, 4)
    cleared = Noise(0, 0, 0, torch.device("cpu")).clear_rows(state, 0.25)
    rows = cleared.flatten(0, 1).sum(dim=(0, 2))
    assert set(rows.tolist()) == {0.0, 24.0}
    assert float((rows == 0).float().mean()) == pytest.approx(0.25, abs=0.05)

    model, batch = model_and_batch()
    learner = TrainingStep(model, train_config(cold_start_fraction=0.999))
    warm, cold = torch.randn_like(model.initial_state(6)), model.initial_state(6)
    results = [learner.step(0, batch, start, rate=0.0).loss_nats for start in (warm, cold)]
    assert results[0] == results[1]


def test_what_a_gpu_is_given_is_done_at_once_and_its_errors_are_raised() -> None:
    done: list[int] = []
    results = CallingThread().map(done.append, [1, 2, 3])
    assert done == [1, 2, 3]
    assert list(results) == [None] * 3
    with pytest.raises(ZeroDivisionError):
        CallingThread().submit(divmod, 1, 0)


@pytest.mark.parametrize(("gpus", "message"), [(1, "1 GPU, and each"), (3, "3 GPUs, and each")])
def test_processes_without_a_gpu_of_their_own_are_refused(
    gpus: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UserError, match=f"this machine has 4 processes and {message}") as refused:
        check_gpus(ProcessGroup(0, 8, 0, 4))
    assert f"--nproc-per-node {gpus}" in (refused.value.hint or "")

    check_gpus(ProcessGroup(0, 8, 0, gpus))
    monkeypatch.setenv(VISIBLE, "3")
    check_gpus(ProcessGroup(0, 8, 0, 4))
