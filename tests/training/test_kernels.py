"""Our own kernels, held to torch's autograd over the cells as equations."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.training import kernels
from charrnn.training.batches import IGNORE_INDEX, Batch
from charrnn.training.initialization import init_weights
from charrnn.training.kernels.compiler import compiled_kernels
from charrnn.training.model import CharRNN
from charrnn.training.step import TrainingStep
from tests.training.precision import needs_bfloat16

if not kernels.available():
    pytest.skip("the native kernels need a C compiler", allow_module_level=True)

V = 11
cells = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])


def model_of(**options: object) -> CharRNN:
    torch.manual_seed(0)
    model = CharRNN(ModelConfig(**{"dropout": 0.0, **options}), V)  # type: ignore[arg-type]
    init_weights(model, unknown_id=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.add_(torch.randn_like(parameter))
    return model


def batch_of(rows: int, time: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    ids, targets = (torch.randint(V, (rows, time), generator=generator) for _ in range(2))
    targets[-1, -1] = IGNORE_INDEX
    return Batch(ids, targets, rows * time - 1)


def learner_of(model: CharRNN, **options: object) -> TrainingStep:
    settings = {"precision": "float32", "threads": 1, "cold_start_fraction": 0.0, "clip_norm": 1e9}
    return TrainingStep(copy.deepcopy(model), TrainConfig(**{**settings, **options}))  # type: ignore[arg-type]


@given(
    cell=st.sampled_from(["lstm", "gru", "rnn"]),
    first_layer=st.sampled_from(
        ["onehot", "embedding", "embedding with dropout", "many characters"]
    ),
    layers=st.integers(1, 3),
    hidden=st.integers(1, 40),
    rows=st.integers(1, 5),
    time=st.integers(2, 9),
    threads=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_the_loss_the_gradients_and_the_state_are_those_of_torch(
    cell: str,
    first_layer: str,
    layers: int,
    hidden: int,
    rows: int,
    time: int,
    threads: int,
) -> None:
    if first_layer == "many characters":
        rows, time = 2, 3
    model = model_of(
        cell=cell,
        input="onehot" if first_layer == "onehot" else "embedding",
        input_dropout=0.002 if first_layer == "embedding with dropout" else 0.0,
        embedding_size=5,
        hidden_size=hidden,
        layers=layers,
    )
    batch = batch_of(rows, time)
    state = torch.randn_like(model.initial_state(rows))
    ours = learner_of(model, kernel="native", threads=threads)
    theirs = learner_of(model, kernel="torch", threads=threads)

    result = ours.step(0, batch, state, rate=0.0)
    expected = theirs.step(0, batch, state, rate=0.0)

    assert result.loss_nats == pytest.approx(expected.loss_nats, rel=1e-5)
    torch.testing.assert_close(result.state_SLBH, expected.state_SLBH, rtol=1e-4, atol=1e-5)
    for our, their in zip(ours.parameters, theirs.parameters, strict=True):
        torch.testing.assert_close(our.grad, their.grad, rtol=1e-3, atol=1e-5)


@needs_bfloat16
@cells
def test_bfloat16_differs_from_float32_by_its_rounding_alone(cell: str) -> None:
    model = model_of(cell=cell, hidden_size=64, embedding_size=16, layers=2)
    batch, state = batch_of(8, 20), model.initial_state(8)
    results, gradients = [], []
    for precision in ("float32", "bfloat16"):
        learner = learner_of(model, kernel="native", precision=precision)
        results.append(learner.step(0, batch, state, rate=0.0))
        gradients.append(
            torch.cat([p.grad.flatten() for p in learner.parameters if p.grad is not None])
        )

    assert results[1].loss_nats == pytest.approx(results[0].loss_nats, rel=5e-3)
    assert torch.linalg.vector_norm(gradients[1] - gradients[0]) < 0.03 * results[0].gradient_norm


@cells
def test_dropped_weights_have_no_gradient_and_all_others_are_scaled_up(cell: str) -> None:
    sizes: dict[str, object] = {"cell": cell, "hidden_size": 24, "embedding_size": 4}
    model, plain = model_of(**sizes, weight_dropout=0.5), model_of(**sizes)
    batch, state = batch_of(4, 6), torch.randn_like(model.initial_state(4))
    learner = learner_of(model, kernel="native", threads=2)
    learner.step(3, batch, state, rate=0.0)
    gradient = recurrent_gradient(learner)

    share = float((gradient == 0).float().mean())
    n = gradient.numel()
    assert abs(share - 0.5) < 5 * (0.25 / n) ** 0.5  # five standard deviations

    kept = 2.0 * (gradient != 0)
    with torch.no_grad():
        plain.rnn.weight_hh_l0.mul_(kept)
    reference = learner_of(plain, kernel="torch")
    reference.step(3, batch, state, rate=0.0)
    torch.testing.assert_close(gradient, kept * recurrent_gradient(reference), rtol=1e-4, atol=1e-5)


def recurrent_gradient(learner: TrainingStep) -> torch.Tensor:
    gradient = learner.model.networks[0].rnn.weight_hh_l0.grad
    assert isinstance(gradient, torch.Tensor)
    return gradient


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@cells
def test_a_step_is_the_same_to_the_bit_however_the_threads_run(cell: str, precision: str) -> None:
    model = model_of(cell=cell, hidden_size=16, dropout=0.3, weight_dropout=0.2)
    ends = []
    for _ in range(3):
        learner = learner_of(model, kernel="native", threads=3, precision=precision)
        for index in range(4):
            learner.step(index, batch_of(6, 7), model.initial_state(6), rate=0.01)
        ends.append([parameter.detach().numpy().copy() for parameter in learner.parameters])
    for end in ends[1:]:
        for ours, first in zip(end, ends[0], strict=True):
            np.testing.assert_array_equal(ours, first)


@cells
def test_what_is_not_finite_is_not_hidden(cell: str) -> None:
    model = model_of(cell=cell, hidden_size=8)
    with torch.no_grad():
        model.rnn.weight_hh_l0[0, 0] = torch.nan
    learner = learner_of(model, kernel="native")
    result = learner.step(0, batch_of(2, 4), torch.ones_like(model.initial_state(2)), rate=0.1)
    assert not math.isfinite(result.loss_nats)
    assert not math.isfinite(result.gradient_norm)


@pytest.mark.parametrize("size", [1e3, 1e30])
@cells
def test_gates_far_out_of_range_saturate(cell: str, size: float) -> None:
    model = model_of(cell=cell, hidden_size=8)
    with torch.no_grad():
        model.rnn.bias_ih_l0.mul_(size)
    ours, theirs = learner_of(model, kernel="native"), learner_of(model, kernel="torch")
    batch, state = batch_of(2, 4), model.initial_state(2)
    result, expected = (each.step(0, batch, state, rate=0.0) for each in (ours, theirs))
    torch.testing.assert_close(result.state_SLBH, expected.state_SLBH, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "true"])
def test_a_compiler_that_makes_nothing_is_none(
    compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`true` says that it compiled, and there is nothing to load."""
    monkeypatch.setenv("CC", compiler)
    assert compiled_kernels.__wrapped__() is None
