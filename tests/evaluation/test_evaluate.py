"""Scores are those of the definition: one character after another, in float64, from outside."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.evaluation import evaluate as evaluation
from charrnn.evaluation import scoring
from charrnn.evaluation.evaluate import (
    ThreadedNetwork,
    score_lines,
    score_sample,
    score_stream,
    score_windows,
)
from charrnn.evaluation.scoring import Score
from charrnn.inference.network import NumpyNetwork
from charrnn.network import FloatArray, IdArray
from charrnn.run.model_card import ModelCard
from charrnn.text.vocabulary import Vocabulary
from tests.models import DEFAULT_CARD, random_ids, random_weights

UNKNOWN = 1
BOS, EOS = 2, 3
LINES = Vocabulary.from_characters("abc", lines=True)
"""Of which only the special ids matter here."""
Doubles = npt.NDArray[np.float64]


# --- The definition, written down a second time ---------------------------------------------------


def sigmoid(x: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-x))


class Definition:
    """A one-layer network in float64 that reads one character at a time."""

    def __init__(self, weights: Mapping[str, FloatArray], cell: str) -> None:
        self.weights = {name: array.astype(np.float64) for name, array in weights.items()}
        self.cell = cell
        self.forget()

    def forget(self) -> None:
        hidden = self.weights["rnn.weight_hh_l0"].shape[1]
        self.h, self.c = np.zeros(hidden), np.zeros(hidden)

    def nats_of(self, char: int, following: int) -> tuple[float, bool]:
        """Read a character; how surprising is the one that follows, and was it the likeliest?"""
        self.read(char)
        logits = self.weights["output.weight"] @ self.h + self.weights["output.bias"]
        nats = float(np.logaddexp.reduce(logits) - logits[following])
        return nats, int(logits.argmax()) == following

    def read(self, char: int) -> None:
        w = self.weights
        x = w["rnn.weight_ih_l0"] @ w["embedding.weight"][char] + w["rnn.bias_ih_l0"]
        h = w["rnn.weight_hh_l0"] @ self.h + w["rnn.bias_hh_l0"]
        if self.cell == "rnn":
            self.h = np.tanh(x + h)
        elif self.cell == "gru":
            (xr, xz, xn), (hr, hz, hn) = np.split(x, 3), np.split(h, 3)
            new = np.tanh(xn + sigmoid(xr + hr) * hn)
            self.h = new + sigmoid(xz + hz) * (self.h - new)
        else:
            i, f, g, o = np.split(x + h, 4)
            self.c = sigmoid(f) * self.c + sigmoid(i) * np.tanh(g)
            self.h = sigmoid(o) * np.tanh(self.c)

    def score(self, inputs: IdArray, targets: IdArray) -> Score:
        """The score of targets that each follow their input, from a zero state."""
        self.forget()
        each = [self.nats_of(int(a), int(b)) for a, b in zip(inputs, targets, strict=True)]
        unknown = int(np.count_nonzero(targets == UNKNOWN))
        return Score(sum(n for n, _ in each), len(each), sum(hit for _, hit in each), unknown)


def model(
    seed: int = 0, cell: str = "lstm", **changes: object
) -> tuple[NumpyNetwork, dict[str, FloatArray], ModelCard]:
    card = replace(DEFAULT_CARD, cell=cell, **changes)  # type: ignore[arg-type]
    weights = random_weights(card, seed)
    if (
        cell == "rnn"
    ):  # larger ones make it chaotic: then float32 has no right answer to compare with
        weights = {n: array * np.float32(0.4 if "hh" in n else 1) for n, array in weights.items()}
    return NumpyNetwork(weights, card), weights, card


def with_permanent_memory(weights: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """An LSTM's weights such that its forget gates never close and it writes only a little."""
    weights = {name: array.copy() for name, array in weights.items()}
    input_gate, forget_gate = slice(0, 16), slice(16, 32)
    for name in "rnn.weight_ih_l0", "rnn.weight_hh_l0":
        weights[name][forget_gate] = 0
    weights["rnn.bias_ih_l0"][forget_gate] = 30
    weights["rnn.bias_ih_l0"][input_gate] = -4
    return weights


def assert_same(score: Score, expected: Score, tolerance: float = 2e-6) -> None:
    assert (score.chars, score.unknown_chars) == (expected.chars, expected.unknown_chars)
    assert score.loss_nats == pytest.approx(expected.loss_nats, abs=tolerance)
    assert abs(score.correct - expected.correct) <= 1  # two characters may be equally likely


class CountingNetwork:
    """A network that counts the characters it is given to read, and how much it answers at once."""

    def __init__(self, network: NumpyNetwork) -> None:
        self.network = network
        self.characters = 0
        self.most_logits = 0

    @property
    def vocabulary_size(self) -> int:
        return self.network.vocabulary_size

    def initial_state(self, batch_size: int) -> FloatArray:
        return self.network.initial_state(batch_size)

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        self.characters += ids_BT.size
        self.most_logits = max(self.most_logits, ids_BT.size * self.vocabulary_size)
        return self.network.advance(ids_BT, state_SLBH)


@contextmanager
def short_streams(shortest: int, remembered_bytes: int = 1 << 20) -> Iterator[None]:
    """Let texts be cut finer than it pays, so that short ones show what long ones do."""
    with (
        patch.object(evaluation, "SHORTEST_STREAM", shortest),
        patch.object(evaluation, "REMEMBERED_BYTES", remembered_bytes),
    ):
        yield


# --- Stateful -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1000),
    cell=st.sampled_from(["lstm", "gru", "rnn"]),
    length=st.integers(2, 300),
    streams=st.integers(1, 9),
    chunk=st.integers(1, 9),
    shortest=st.integers(1, 40),
    remembered_bytes=st.sampled_from([1, 2000, 20_000, 1 << 20]),
)
def test_a_stream_scores_as_it_does_character_by_character(
    seed: int,
    cell: str,
    length: int,
    streams: int,
    chunk: int,
    shortest: int,
    remembered_bytes: int,
) -> None:
    network, weights, card = model(seed, cell)
    ids = random_ids(card, length, seed=seed)
    with short_streams(shortest, remembered_bytes):
        score = score_stream(network, ids, unknown_id=UNKNOWN, streams=streams, chunk=chunk)
    assert_same(score, Definition(weights, cell).score(ids[:-1], ids[1:]))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), streams=st.integers(2, 12), shortest=st.integers(5, 60))
def test_a_stream_scores_right_for_a_network_that_never_forgets(
    seed: int, streams: int, shortest: int
) -> None:
    _, weights, card = model(seed)
    weights = with_permanent_memory(weights)
    ids = random_ids(card, 500, seed=seed)
    with short_streams(shortest):
        score = score_stream(
            NumpyNetwork(weights, card), ids, unknown_id=UNKNOWN, streams=streams, chunk=5
        )
    # Its cell grows without bound, and float32's rounding with it: some 7e-7 of the loss.
    assert_same(score, Definition(weights, "lstm").score(ids[:-1], ids[1:]), tolerance=1e-5)


def test_such_a_network_would_score_otherwise_in_streams_that_begin_at_zero() -> None:
    _, weights, card = model()
    weights = with_permanent_memory(weights)
    ids = random_ids(card, 500)
    definition = Definition(weights, "lstm")
    cold = [definition.score(ids[at : at + 49], ids[at + 1 : at + 50]) for at in range(0, 490, 49)]
    whole = definition.score(ids[:-1], ids[1:])
    assert abs(sum(cold, Score()).loss_nats - whole.loss_nats) > 1e-3


def test_a_long_stream_scores_with_the_shipped_settings_as_character_by_character() -> None:
    network, weights, card = model(5)
    ids = random_ids(card, 10_000)
    score = score_stream(network, ids, unknown_id=UNKNOWN)
    assert_same(score, Definition(weights, "lstm").score(ids[:-1], ids[1:]), tolerance=1e-6)


@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("lstm", 2), ("gru", 3), ("rnn", 2)])
def test_a_stream_scores_as_torch_scores_it_in_one_call(cell: str, layers: int) -> None:
    network, weights, card = model(3, cell, layers=layers)
    ids = random_ids(card, 5000)
    modules = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    rnn = modules[cell](card.embedding_size, card.hidden_size, layers)
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    rnn.load_state_dict({n[4:]: tensor for n, tensor in tensors.items() if n.startswith("rnn.")})
    with torch.no_grad():
        tops, _ = rnn(tensors["embedding.weight"][torch.from_numpy(ids[:-1])])
        logits = tops @ tensors["output.weight"].T + tensors["output.bias"]
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(ids[1:])).item()
    score = score_stream(network, ids, unknown_id=UNKNOWN)
    assert score.loss_nats == pytest.approx(loss, abs=1e-5)
    assert score.correct == int((logits.argmax(-1) == torch.from_numpy(ids[1:])).sum())


def test_a_network_that_forgets_is_hardly_read_twice() -> None:
    network, _, card = model()
    counting = CountingNetwork(network)
    ids = random_ids(card, 30_000)
    score = score_stream(counting, ids, unknown_id=UNKNOWN)
    assert counting.characters < 1.2 * score.chars


def test_a_network_that_never_forgets_is_read_a_bounded_number_of_times() -> None:
    _, weights, card = model()
    counting = CountingNetwork(NumpyNetwork(with_permanent_memory(weights), card))
    ids = random_ids(card, 3000)
    with short_streams(100):
        score = score_stream(counting, ids, unknown_id=UNKNOWN, streams=30, chunk=10)
    assert counting.characters <= 4 * score.chars


def test_predictions_that_are_no_numbers_give_a_loss_that_is_none_and_an_end() -> None:
    network, _, card = model()
    for layer in network.layers:
        layer.recurrent_KG[0][:] = np.nan
    with short_streams(10):
        score = score_stream(network, random_ids(card, 200), unknown_id=UNKNOWN, streams=8)
    assert math.isnan(score.loss_nats)
    assert score.chars == 199


# --- In windows -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    length=st.integers(2, 200),
    window=st.integers(1, 220),
    batch_size=st.integers(1, 9),
)
def test_windows_score_as_texts_of_their_own(
    seed: int, length: int, window: int, batch_size: int
) -> None:
    network, weights, card = model(seed)
    ids = random_ids(card, length, seed=seed)
    inputs, targets = ids[:-1], ids[1:]
    definition = Definition(weights, "lstm")
    expected = [
        definition.score(inputs[at : at + window], targets[at : at + window])
        for at in range(0, length - 1, window)
    ]
    score = score_windows(network, ids, window, unknown_id=UNKNOWN, batch_size=batch_size)
    assert_same(score, sum(expected, Score()))


def test_a_window_as_long_as_the_text_scores_as_the_stream() -> None:
    network, _, card = model()
    ids = random_ids(card, 700)
    whole = score_windows(network, ids, 10**30, unknown_id=UNKNOWN)
    assert_same(whole, score_stream(network, ids, unknown_id=UNKNOWN))


# --- In lines -------------------------------------------------------------------------------------


def lines_of(lengths: list[int], card: ModelCard, seed: int) -> list[IdArray]:
    return [random_ids(card, length, seed=seed + at) for at, length in enumerate(lengths)]


def joined(lines: list[IdArray]) -> tuple[IdArray, npt.NDArray[np.uint64]]:
    ids = np.concatenate([np.empty(0, np.uint8), *lines]).astype(np.uint8)
    return ids, np.cumsum([0, *map(len, lines)]).astype(np.uint64)


def score_of(network: NumpyNetwork, lines: list[IdArray], batch_size: int = 64) -> Score:
    ids, starts = joined(lines)
    return score_lines(network, ids, starts, LINES, batch_size=batch_size)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(0, 100), max_size=12),
    batch_size=st.integers(1, 9),
)
def test_lines_score_as_texts_of_their_own(seed: int, lengths: list[int], batch_size: int) -> None:
    network, weights, card = model(seed, mode="lines")
    lines = lines_of(lengths, card, seed)
    definition = Definition(weights, "lstm")
    expected = [definition.score(np.append(BOS, line), np.append(line, EOS)) for line in lines]
    score = score_of(network, lines, batch_size)
    if lines:
        assert_same(score, sum(expected, Score()))
    assert score.chars == sum(lengths) + len(lengths)


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=12),
    cut_at=st.integers(1, 70),
)
def test_lines_that_were_cut_are_scored_without_an_end(
    seed: int, lengths: list[int], cut_at: int
) -> None:
    network, weights, card = model(seed, mode="lines")
    lines = lines_of([min(length, cut_at) for length in lengths], card, seed)
    definition = Definition(weights, "lstm")
    targets = [line if len(line) == cut_at else np.append(line, EOS) for line in lines]
    expected = [
        definition.score(np.append(BOS, line)[: len(target)], target)
        for line, target in zip(lines, targets, strict=True)
    ]
    ids, starts = joined(lines)
    score = score_lines(network, ids, starts, LINES, cut_at=cut_at)
    assert_same(score, sum(expected, Score()))
    assert score.chars == sum(map(len, targets))


def test_a_line_alone_scores_as_its_part_in_a_batch() -> None:
    network, _, card = model(mode="lines")
    lines = lines_of([3, 150, 20, 0, 71, 70], card, 0)
    alone = [score_of(network, [line]) for line in lines]
    together = score_of(network, lines)
    assert together.nats == pytest.approx(sum(score.nats for score in alone), abs=1e-4)
    assert together.loss_nats == pytest.approx(sum(alone, Score()).loss_nats, abs=1e-6)
    for left_out, score in enumerate(alone):
        rest = score_of(network, lines[:left_out] + lines[left_out + 1 :])
        assert together.nats - rest.nats == pytest.approx(score.nats, abs=1e-4)


def test_lines_that_have_ended_are_not_read_on() -> None:
    network, _, card = model(mode="lines")
    counting = CountingNetwork(network)
    ids, starts = joined(lines_of([10_000, *[5] * 63], card, 0))
    score_lines(counting, ids, starts, LINES, batch_size=64)
    assert counting.characters < 10_000 + 64 * scoring.LONGEST_CHUNK


# --- A sample -------------------------------------------------------------------------------------


def test_a_sample_of_a_stream_scores_as_stretches_from_its_beginning_to_its_end() -> None:
    network, weights, card = model()
    ids = random_ids(card, 401)
    vocabulary = Vocabulary.from_characters("abc", lines=False)
    definition = Definition(weights, "lstm")
    expected = [definition.score(ids[at : at + 50], ids[at + 1 : at + 51]) for at in (0, 175, 350)]
    score = score_sample(network, ids, None, vocabulary, chars=150, rows=3)
    assert score.loss_nats == pytest.approx(sum(expected, Score()).loss_nats, abs=2e-6)
    assert score.chars == 150


def test_a_sample_of_lines_has_short_ones_and_long_ones() -> None:
    network, _, card = model(mode="lines")
    vocabulary = Vocabulary.from_characters("abc", lines=True)
    lines = lines_of(list(range(1, 31)), card, 0)
    score = score_sample(network, *joined(lines), vocabulary, chars=160)
    assert score.chars == sum(range(30, 0, -3)) + 10
    assert score.loss_nats == pytest.approx(score_of(network, lines[2::3]).loss_nats, abs=2e-6)


# --- What holds for all of them -------------------------------------------------------------------


def test_progress_is_told_of_every_target_once() -> None:
    network, _, card = model()
    ids = random_ids(card, 5000)
    told: list[int] = []
    score_stream(network, ids, unknown_id=UNKNOWN, progress=told.append)
    assert sum(told) == 4999
    told.clear()
    score_windows(network, ids, 30, unknown_id=UNKNOWN, progress=told.append)
    assert sum(told) == 4999
    told.clear()
    score_lines(network, ids, np.array([0, 10, 2000, 5000]), LINES, progress=told.append)
    assert sum(told) == 5003


def test_unknown_characters_are_counted_where_they_are_predicted() -> None:
    network, _, _ = model()
    ids = np.array([UNKNOWN, 5, UNKNOWN, UNKNOWN, 6, 7], np.uint8)
    assert score_stream(network, ids, unknown_id=UNKNOWN).unknown_chars == 2
    assert score_windows(network, ids, 2, unknown_id=UNKNOWN).unknown_chars == 2
    lines = score_lines(network, ids, np.array([0, 2, 6]), LINES)
    assert lines.unknown_chars == 3


@pytest.mark.parametrize("vocabulary_size", [30, 20_000])
def test_a_large_vocabulary_takes_no_more_memory_than_a_small_one(vocabulary_size: int) -> None:
    network, _, card = model(vocabulary_size=vocabulary_size)
    counting = CountingNetwork(network)
    ids = random_ids(card, 3000)
    score_stream(counting, ids, unknown_id=UNKNOWN)
    score_windows(counting, ids, 100, unknown_id=UNKNOWN, batch_size=100)
    assert counting.most_logits <= scoring.LOGITS_AT_ONCE


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_rows_and_change_nothing(threads: int) -> None:
    network, _, card = model(layers=2)
    ids = random_ids(card, 100, 20)
    state = np.random.default_rng(0).normal(size=(2, 2, 100, 16)).astype(np.float32)
    logits, after = network.advance(ids, state)
    threaded_logits, threaded_after = ThreadedNetwork(network, threads).advance(ids, state)
    np.testing.assert_allclose(threaded_logits, logits, atol=1e-5)
    np.testing.assert_allclose(threaded_after, after, atol=1e-5)


def test_ids_may_lie_in_a_mapped_file(tmp_path: Path) -> None:
    network, _, card = model()
    ids = random_ids(card, 400).astype(np.uint8)
    mapped = np.memmap(tmp_path / "ids", np.uint8, "w+", shape=ids.shape)
    mapped[:] = ids
    assert score_stream(network, mapped, unknown_id=UNKNOWN) == score_stream(
        network, ids, unknown_id=UNKNOWN
    )


def test_logits_of_any_size_have_a_finite_loss() -> None:
    logits = np.array([[[3e38, -3e38, 0.0], [-1e30, -1e30, -1e30]]], np.float32)
    nats, hits = scoring.nats_and_correct(logits, np.array([[0, 1]]), np.ones((1, 2), np.bool_))
    assert nats[0].tolist() == pytest.approx([0, math.log(3)])
    assert hits.tolist() == [1]


def test_a_score_is_a_sum_and_its_quotients() -> None:
    score = Score(6.0, 4, 1, 2) + Score(2.0, 4, 3, 0)
    assert score == Score(8.0, 8, 4, 2)
    assert score.loss_nats == 1.0
    assert score.bits_per_char == pytest.approx(1 / math.log(2))
    assert score.perplexity == pytest.approx(math.e)
    assert score.accuracy == 0.5


def test_a_score_of_nothing_is_no_number() -> None:
    assert math.isnan(Score().loss_nats)
    assert math.isnan(Score().accuracy)
    assert math.isnan(Score().perplexity)


def test_a_perplexity_beyond_all_numbers_is_infinite() -> None:
    assert Score(1e6, 1, 0, 0).perplexity == math.inf


@pytest.mark.parametrize(("hidden_size", "layers"), [(1, 1), (16, 1), (384, 1), (512, 3)])
def test_what_is_remembered_of_a_text_is_bounded(hidden_size: int, layers: int) -> None:
    card = replace(DEFAULT_CARD, hidden_size=hidden_size, layers=layers)
    network = NumpyNetwork(random_weights(card), card)
    for chunk in (1, 64):
        targets = evaluation.segment_length(network, chunk)
        assert targets % chunk == 0
        assert 0 < targets <= evaluation.LONGEST_SEGMENT
        remembered = targets // chunk * network.initial_state(1).nbytes
        assert remembered <= evaluation.REMEMBERED_BYTES
