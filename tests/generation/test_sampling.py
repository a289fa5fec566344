"""Draws follow the exact distribution, whatever it is shaped with, in one row and in many.

The statistical tests are deterministic (fixed random seeds). Each uses a G-test against the exact
probabilities, computed here in float64 and in the plainest way, at a false-alarm rate of 1e-6: a
correct sampler with other seeds would fail one of them in a million times.
"""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.config.schema import GenerateConfig
from charrnn.errors import RunFailedError
from charrnn.generation.rng import UniformStream, uniforms
from charrnn.generation.sampling import Sampler
from charrnn.network import FloatArray

FALSE_ALARM_RATE = 1e-6
DRAWS = 10_000
FIRST = 2


def exact_probabilities(
    logits: FloatArray, config: GenerateConfig, allowed: npt.NDArray[np.bool_] | None = None
) -> list[float]:
    """What the options mean, written down with lists and loops."""
    size = len(logits)
    usable = [i for i in range(FIRST, size) if allowed is None or allowed[i]]
    scaled = {i: float(logits[i]) / config.temperature for i in usable}
    highest = max(scaled.values())
    weights = {i: math.exp(value - highest) for i, value in scaled.items()}
    ranked = sorted(weights, key=lambda i: (-weights[i], i))
    if config.top_k:
        ranked = ranked[: config.top_k]
    if config.top_p < 1:
        total, kept, so_far = sum(weights[i] for i in ranked), [], 0.0
        for i in ranked:
            kept.append(i)
            so_far += weights[i]
            if so_far >= config.top_p * total:
                break
        ranked = kept
    ranked = [i for i in ranked if weights[i] >= config.min_p * weights[ranked[0]]]
    total = sum(weights[i] for i in ranked)
    return [weights[i] / total if i in ranked else 0.0 for i in range(size)]


def upper_chi_square(degrees: int, rate: float) -> float:
    """The chi-square value that is exceeded with probability `rate` (Wilson and Hilferty 1931)."""
    normal = 4.753424  # the standard normal's upper 1e-6 quantile
    assert rate == FALSE_ALARM_RATE
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + normal * part**0.5) ** 3)


def assert_follows(counts: npt.NDArray[np.int64], probabilities: list[float]) -> None:
    draws = int(counts.sum())
    assert all(count == 0 for count, p in zip(counts, probabilities, strict=True) if p == 0)
    rare = [i for i, p in enumerate(probabilities) if 0 < p * draws < 10]
    common = [i for i, p in enumerate(probabilities) if p * draws >= 10]
    observed = [int(counts[i]) for i in common]
    expected = [probabilities[i] * draws for i in common]
    pooled = sum(probabilities[i] for i in rare) * draws
    if pooled >= 10:
        observed.append(sum(int(counts[i]) for i in rare))
        expected.append(pooled)
    if len(observed) < 2:
        return
    g = 2 * sum(o * math.log(o / e) for o, e in zip(observed, expected, strict=True) if o)
    assert g < upper_chi_square(len(observed) - 1, FALSE_ALARM_RATE)


SHAPES = {
    "plain": GenerateConfig(temperature=1.0),
    "cool": GenerateConfig(temperature=0.7),
    "hot": GenerateConfig(temperature=3.0),
    "top-k": GenerateConfig(temperature=1.0, top_k=5),
    "top-p": GenerateConfig(temperature=1.0, top_p=0.8),
    "min-p": GenerateConfig(temperature=1.2, min_p=0.1),
    "all of them": GenerateConfig(temperature=1.5, top_k=12, top_p=0.9, min_p=0.05),
}


def some_logits(size: int = 30, seed: int = 3) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 2, size).astype(np.float32)


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("masked", [False, True])
def test_single_draws_follow_the_exact_distribution(config: GenerateConfig, masked: bool) -> None:
    logits = some_logits()
    allowed = np.arange(30) % 3 != 0 if masked else None
    sampler = Sampler(config, first_id=FIRST, vocabulary_size=30)
    stream = UniformStream(rng_seed=1, sample=0)
    drawn = [sampler.draw(logits, stream.next(), allowed) for _ in range(DRAWS)]
    counts = np.bincount(drawn, minlength=30)
    assert_follows(counts, exact_probabilities(logits, config, allowed))


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_draws_in_rows_follow_the_exact_distribution_of_each_row(config: GenerateConfig) -> None:
    kinds, copies = 3, 100
    logits = np.repeat([some_logits(seed=seed) for seed in range(kinds)], copies, axis=0)
    sampler = Sampler(config, first_id=FIRST, vocabulary_size=30, rows=len(logits))
    streams = [uniforms(7, row, np.arange(DRAWS // copies)) for row in range(len(logits))]
    drawn = np.array([sampler.draw_rows(logits, row) for row in np.stack(streams, axis=1)])
    for kind in range(kinds):
        of_kind = drawn[:, kind * copies : (kind + 1) * copies]
        counts = np.bincount(of_kind.ravel(), minlength=30)
        assert_follows(counts, exact_probabilities(logits[kind * copies], config))


logit_lists = st.lists(
    st.integers(-5, 5).map(float) | st.floats(-80, 80, width=32), min_size=3, max_size=20
)
configs = st.builds(
    GenerateConfig,
    temperature=st.floats(0.25, 4) | st.just(1.0),
    top_k=st.integers(0, 25),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 1),
)


@settings(max_examples=150, deadline=None)
@given(numbers=logit_lists, config=configs, uniform=st.floats(2**-53, 1))
def test_a_row_draws_what_it_would_draw_alone(
    numbers: list[float], config: GenerateConfig, uniform: float
) -> None:
    logits = np.array(numbers, np.float32)
    alone = Sampler(config, first_id=FIRST, vocabulary_size=len(numbers))
    rows = Sampler(config, first_id=FIRST, vocabulary_size=len(numbers), rows=3)
    together = rows.draw_rows(
        np.stack([logits[::-1], logits, logits * 0]), np.array([0.5, uniform, 1.0])
    )
    assert alone.draw(logits, uniform) == together[1]


@settings(max_examples=150, deadline=None)
@given(numbers=logit_lists, config=configs, uniform=st.floats(2**-53, 1), data=st.data())
def test_what_is_not_allowed_or_filtered_out_is_never_drawn(
    numbers: list[float], config: GenerateConfig, uniform: float, data: st.DataObject
) -> None:
    logits = np.array(numbers, np.float32)
    one = data.draw(st.integers(FIRST, len(numbers) - 1))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(numbers), max_size=20)))
    allowed = np.resize(allowed, len(numbers))
    allowed[one] = True
    drawn = Sampler(config, first_id=FIRST, vocabulary_size=len(numbers)).draw(
        logits, uniform, allowed
    )
    assert drawn >= FIRST
    assert allowed[drawn]
    kept = np.flatnonzero(allowed & (np.arange(len(numbers)) >= FIRST))
    # As float32 weights: logits that differ by less than these can tell are equally probable.
    distances = (logits[kept] - logits[kept].max()) * np.float32(1 / config.temperature)
    weights = np.exp(distances)
    more_probable = (weights > weights[kept == drawn]).sum()
    assert not config.top_k or more_probable < config.top_k


@settings(max_examples=100, deadline=None)
@given(numbers=logit_lists, k=st.integers(1, 25))
def test_top_k_keeps_k_characters_even_when_all_are_equally_probable(
    numbers: list[float], k: int
) -> None:
    logits = np.array(numbers, np.float32) * 0
    config = GenerateConfig(temperature=1.0, top_k=k)
    sampler = Sampler(config, first_id=FIRST, vocabulary_size=len(numbers))
    drawn = {sampler.draw(logits, uniform) for uniform in np.linspace(0.001, 1, 100)}
    assert drawn == set(range(FIRST, min(FIRST + k, len(numbers))))


@settings(max_examples=100, deadline=None)
@given(numbers=logit_lists)
def test_temperature_zero_takes_the_most_probable_and_of_equals_the_first(
    numbers: list[float],
) -> None:
    logits = np.array(numbers, np.float32)
    config = GenerateConfig(temperature=0)
    alone = Sampler(config, first_id=FIRST, vocabulary_size=len(numbers))
    rows = Sampler(config, first_id=FIRST, vocabulary_size=len(numbers), rows=2)
    expected = max(range(FIRST, len(numbers)), key=lambda i: (logits[i], -i))
    assert alone.draw(logits, 0.3) == expected
    assert rows.draw_rows(np.stack([logits, logits]), np.ones(2)).tolist() == [expected] * 2


@pytest.mark.parametrize("temperature", [1e-320, 1e-30, 1e-5, 100.0])
def test_extreme_temperatures_stay_finite(temperature: float) -> None:
    sampler = Sampler(GenerateConfig(temperature=temperature), first_id=FIRST, vocabulary_size=30)
    logits = some_logits()
    drawn = sampler.draw(logits, 0.7)
    assert drawn >= FIRST
    assert temperature > 1 or drawn == FIRST + logits[FIRST:].argmax()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("at", [2, 5])
def test_a_prediction_that_is_not_a_number_is_refused(temperature: float, at: int) -> None:
    config = GenerateConfig(temperature=temperature)
    logits = some_logits(8)
    logits[at] = np.nan
    with pytest.raises(RunFailedError):
        Sampler(config, first_id=FIRST, vocabulary_size=8).draw(logits, 0.5)
    with pytest.raises(RunFailedError):
        Sampler(config, first_id=FIRST, vocabulary_size=8, rows=2).draw_rows(
            np.stack([logits, some_logits(8)]), np.array([0.5, 0.5])
        )


def test_uniform_numbers_are_those_of_splitmix64() -> None:
    """The reference implementation's outputs for the seed 1234567, by S. Vigna."""
    from charrnn.generation.rng import STEP, _scrambled

    counters = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * np.uint64(STEP)
    assert _scrambled(counters).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(
    rng_seed=st.integers(0, 2**63 - 1),
    sample=st.integers(0, 10**9),
    position=st.integers(0, 10**12),
)
def test_a_stream_can_be_taken_up_anywhere(rng_seed: int, sample: int, position: int) -> None:
    stream = UniformStream(rng_seed, sample, position)
    numbers = [stream.next() for _ in range(100)]
    assert stream.position == position + 100
    expected = uniforms(rng_seed, sample, position + np.arange(100, dtype=np.uint64))
    assert numbers == expected.tolist()
    assert all(0 < number <= 1 for number in numbers)


@pytest.mark.parametrize("axis", ["seed", "sample", "position"])
def test_uniform_numbers_are_even_and_uncorrelated_along_each_axis(axis: str) -> None:
    """G-test over 64 x 64 cells of neighbouring pairs, false-alarm rate 1e-6."""
    count = 200_000
    if axis == "position":
        numbers = uniforms(5, 0, np.arange(count))
    else:
        keys = [(n, 0) if axis == "seed" else (0, n) for n in range(count // 100)]
        numbers = np.stack([uniforms(*key, np.arange(100)) for key in keys]).T.ravel()
    cells = np.minimum((numbers * 64).astype(int), 63)
    counts = np.bincount(cells[:-1] * 64 + cells[1:], minlength=64 * 64)
    assert_follows(counts, [1 / 64**2] * 64**2)
