"""The learning rate: up, then down, always to its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config.schema import TrainConfig
from charrnn.training.schedule import learning_rate_at


def test_it_rises_to_the_peak_and_ends_at_the_floor() -> None:
    config = TrainConfig(
        steps=1000, warmup_steps=10, learning_rate=0.5, final_learning_rate_fraction=0.1
    )
    assert learning_rate_at(0, config) == pytest.approx(0.05)
    assert learning_rate_at(9, config) == pytest.approx(0.5)
    assert learning_rate_at(10, config) == pytest.approx(0.5)
    assert learning_rate_at(999, config) == pytest.approx(0.05)


@given(steps=st.integers(1, 500), warmup=st.integers(0, 100))
def test_it_is_positive_never_above_the_peak_and_falls_after_the_warm_up(
    steps: int, warmup: int
) -> None:
    config = TrainConfig(steps=steps, warmup_steps=warmup, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert peak <= steps // 10
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
