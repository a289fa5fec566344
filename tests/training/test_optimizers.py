"""Muon and AdamW: which weights each moves, and where to; the learning rate of each step."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.training.model import CharRNN
from charrnn.training.optimizers import (
    AdamW,
    Muon,
    learning_rate_at,
    nearly_orthogonal,
    optimizers_for,
)
from charrnn.training.process_group import ProcessGroup

POOL = ThreadPoolExecutor(1)
RATE, DECAY = 0.01, 0.1


def by_singular_values(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What Newton-Schulz iterations come to: a polynomial, three times, of each singular value."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values /= np.linalg.norm(values)
    for _ in range(3):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return np.asarray(left * values @ right)


def muon(
    weight: torch.Tensor,
    *,
    gates: int = 1,
    dtype: torch.dtype = torch.float32,
    pool: ThreadPoolExecutor = POOL,
    processes: ProcessGroup | None = None,
) -> Muon:
    optimizer = Muon(
        [weight], gates=gates, weight_decay=DECAY, dtype=dtype, pool=pool, processes=processes
    )
    optimizer.param_groups[0]["lr"] = RATE
    return optimizer


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), seed=st.integers(0, 9))
def test_singular_vectors_are_kept_and_singular_values_brought_near_one(
    rows: int, columns: int, seed: int
) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    ours = nearly_orthogonal(torch.from_numpy(matrix).float(), torch.float32)
    np.testing.assert_allclose(ours.numpy(), by_singular_values(matrix), atol=1e-4)


def test_no_gradient_gives_no_update() -> None:
    assert not nearly_orthogonal(torch.zeros(3, 5), torch.bfloat16).any()


def test_steps_are_those_of_the_formula_gate_by_gate() -> None:
    rng = np.random.default_rng(1)
    expected = rng.normal(size=(3, 6, 4))  # gates, units, inputs
    weight = torch.from_numpy(expected.reshape(18, 4)).float()
    optimizer = muon(weight, gates=3)
    momentum = np.zeros_like(expected)
    for _ in range(4):
        gradient = rng.normal(size=expected.shape)
        weight.grad = torch.from_numpy(gradient.reshape(18, 4)).float()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * gradient
        for gate, ahead in enumerate(0.1 * gradient + 0.9 * momentum):
            expected[gate] *= 1 - RATE * DECAY
            expected[gate] -= RATE * 0.7 * np.sqrt(6) * by_singular_values(ahead)
    np.testing.assert_allclose(weight.numpy(), expected.reshape(18, 4), atol=1e-4)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_it_goes_where_the_muon_of_torch_goes() -> None:
    generator = torch.Generator().manual_seed(2)
    ours = torch.randn(12, 12, generator=generator)
    theirs = ours.clone()
    reference = torch.optim.Muon(
        [theirs],
        lr=3.5 * RATE,
        weight_decay=DECAY / 3.5,
        momentum=0.9,
        ns_steps=3,
        adjust_lr_fn="match_rms_adamw",
    )
    optimizer = muon(ours)
    for _ in range(5):
        ours.grad = torch.randn(12, 12, generator=generator)
        theirs.grad = ours.grad.clone()
        optimizer.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)  # its products are bfloat16


def test_the_number_of_threads_changes_nothing() -> None:
    ends = []
    for threads in (1, 3):
        weight = torch.randn(40, 10, generator=torch.Generator().manual_seed(3))
        weight.grad = weight.sin()
        muon(weight, gates=4, pool=ThreadPoolExecutor(threads)).step()
        ends.append(weight)
    assert torch.equal(*ends)


class InThread(ProcessGroup):
    """One of two processes that are threads."""

    def __init__(self, rank: int, sent: dict[int, torch.Tensor], both: threading.Barrier) -> None:
        super().__init__(rank, 2, rank, 2)
        self.sent, self.both = sent, both

    def gather(self, rows: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        assert len(rows) == counts[self.rank]
        self.sent[self.rank] = rows
        self.both.wait(10)
        return torch.cat([self.sent[0], self.sent[1]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gates", [1, 3, 4])
def test_the_number_of_processes_changes_nothing(dtype: torch.dtype, gates: int) -> None:
    sent: dict[int, torch.Tensor] = {}
    both = threading.Barrier(2)

    def trained(processes: ProcessGroup) -> torch.Tensor:
        weight = torch.randn(24, 10, generator=torch.Generator().manual_seed(3))
        weight.grad = weight.sin()
        muon(weight, gates=gates, dtype=dtype, processes=processes).step()
        return weight

    groups = [ProcessGroup(), InThread(0, sent, both), InThread(1, sent, both)]
    with ThreadPoolExecutor(3) as threads:
        alone, first, second = threads.map(trained, groups)
    assert torch.equal(alone, first)
    assert torch.equal(alone, second)


@pytest.mark.parametrize(
    ("settings", "moved_by_muon"),
    [
        ({"layers": 2}, {"weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"}),
        ({"input": "onehot"}, {"weight_hh_l0"}),
        ({"embedding_size": 8, "tie_weights": True}, {"weight_ih_l0", "weight_hh_l0"}),
    ],
)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_muon_moves_the_matrices_between_units_and_adamw_the_rest(
    cell: str, settings: dict[str, object], moved_by_muon: set[str]
) -> None:
    model = CharRNN(ModelConfig(cell=cell, hidden_size=8, **settings), 11)  # type: ignore[arg-type]
    config = TrainConfig(optimizer="muon", adamw_rate_factor=4)
    optimizers = optimizers_for(model, config, torch.float32, POOL)
    held = [
        [id(weight) for group in optimizer.param_groups for weight in group["params"]]
        for optimizer in optimizers
    ]
    assert sorted(held[0] + held[1]) == sorted(map(id, model.parameters()))
    names = {id(weight): name for name, weight in model.rnn.named_parameters()}
    assert {names[each] for each in held[0]} == moved_by_muon
    for optimizer in optimizers:
        optimizer.set_rate(RATE)
    rates = [{group["lr"] for group in optimizer.param_groups} for optimizer in optimizers]
    assert rates == [{RATE}, {4 * RATE}]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_moments_begin_under_the_names_and_in_the_shapes_that_a_step_gives_them(
    optimizer: str,
) -> None:
    model = CharRNN(ModelConfig(hidden_size=8), 11)
    config = TrainConfig(optimizer=optimizer)  # type: ignore[arg-type]
    begun, stepped = (optimizers_for(model, config, torch.float32, POOL) for _ in range(2))
    for each in begun:
        each.begin_moments()
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    for each in stepped:
        each.step()
    for ours, theirs in zip(begun, stepped, strict=True):
        for key, moments in theirs.state.items():
            shapes = {name: (value.shape, value.dtype) for name, value in moments.items()}
            begun_with = ours.state[key].items()
            assert {name: (value.shape, value.dtype) for name, value in begun_with} == shapes


def test_adamw_moves_everything_where_it_is_asked_for() -> None:
    model = CharRNN(ModelConfig(hidden_size=8), 11)
    config = TrainConfig(adamw_rate_factor=4)
    optimizers = optimizers_for(model, config, torch.float32, POOL)
    assert [type(optimizer) for optimizer in optimizers] == [AdamW]
    optimizers[0].set_rate(RATE)
    assert {group["lr"] for group in optimizers[0].param_groups} == {RATE}
    assert sum(len(group["params"]) for group in optimizers[0].param_groups) == len(
        list(model.parameters())
    )


def test_adamw_takes_the_steps_of_torch_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(4)
    ours = [torch.randn(shape, generator=generator) for shape in ((33, 17), (50,))]
    theirs = [weight.clone() for weight in ours]
    decays = (DECAY, 0.0)

    def groups_of(weights: list[torch.Tensor]) -> list[dict[str, Any]]:
        pairs = zip(weights, decays, strict=True)
        return [{"params": [weight], "weight_decay": decay} for weight, decay in pairs]

    optimizer, reference = AdamW(groups_of(ours)), torch.optim.AdamW(groups_of(theirs), fused=True)
    for step in range(1, 6):
        for mine, its in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            its.grad = mine.grad.clone()
        for each in (optimizer, reference):
            for group in each.param_groups:
                group["lr"] = RATE / step
            each.step()
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.equal(mine, its)
        assert optimizer.state[mine].keys() == reference.state[its].keys()
        assert all(
            torch.equal(optimizer.state[mine][k], v) for k, v in reference.state[its].items()
        )


def test_the_learning_rate_rises_to_the_peak_and_ends_at_the_floor() -> None:
    config = TrainConfig(
        steps=1000, warmup_steps=10, learning_rate=0.5, final_learning_rate_fraction=0.1
    )
    assert learning_rate_at(0, config) == pytest.approx(0.05)
    assert learning_rate_at(9, config) == pytest.approx(0.5)
    assert learning_rate_at(10, config) == pytest.approx(0.5)
    assert learning_rate_at(999, config) == pytest.approx(0.05)


@given(steps=st.integers(1, 500), warmup=st.integers(0, 100))
def test_the_learning_rate_is_positive_never_above_the_peak_and_falls_after_the_warm_up(
    steps: int, warmup: int
) -> None:
    config = TrainConfig(steps=steps, warmup_steps=warmup, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert peak <= steps // 10
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
