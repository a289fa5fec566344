"""Dynamic evaluation is what its rule says, written down a second time with plain torch."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from charrnn.errors import RunFailedError
from charrnn.evaluation.evaluate import score_text
from charrnn.inference.network import NumpyNetwork
from charrnn.network import FloatArray, IdArray
from charrnn.run.reader import TrainedModel
from charrnn.text.vocabulary import Vocabulary
from charrnn.training import kernels
from charrnn.training.dynamic import DAMPING, DynamicNetwork, DynamicOptions, adapt
from tests.models import DEFAULT_CARD, random_ids, random_weights

LETTERS = "abcdefghijklmnopqrstuvwxyz"
OPTIONS = DynamicOptions(rate=0.003, decay=0.02, segment=7)
KINDS: list[dict[str, Any]] = [
    {"cell": "lstm"},
    {"cell": "gru", "layers": 2},
    {"cell": "rnn", "input": "onehot"},
    {"cell": "lstm", "input": "onehot", "layers": 2},
    {"cell": "gru", "embedding_size": 16, "tie_weights": True},
]


def model_of(*, lines: bool = False, scale: float = 0.3, **sizes: Any) -> TrainedModel:
    vocabulary = Vocabulary.from_characters(LETTERS, lines=lines)
    card = replace(
        DEFAULT_CARD,
        mode="lines" if lines else "stream",
        vocabulary_size=len(vocabulary),
        **sizes,
    )
    return TrainedModel(
        path=Path("run"),
        card=card,
        vocabulary=vocabulary,
        weights=random_weights(card, scale=scale),
    )


class Definition:
    """The network with torch's own layers, and the rule as it stands in the documentation."""

    def __init__(self, model: TrainedModel, options: DynamicOptions) -> None:
        card = model.card
        self.card, self.options = card, options
        kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
        self.rnn = kinds[card.cell](card.input_size, card.hidden_size, card.layers)
        self.weights = {
            name: nn.Parameter(torch.from_numpy(array.copy()))
            for name, array in model.weights.items()
        }
        self.first = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.squares: list[dict[str, Tensor]] = []

    def predict(self, ids_T: Tensor, state: Any) -> tuple[Tensor, Any]:
        if self.card.input == "onehot":
            inputs_TX = functional.one_hot(ids_T, self.card.vocabulary_size).float()
        else:
            inputs_TX = self.weights["embedding.weight"][ids_T]
        layers: dict[str, Tensor] = {
            name.removeprefix("rnn."): weight
            for name, weight in self.weights.items()
            if name.startswith("rnn.")
        }
        hidden_TH, state = torch.func.functional_call(self.rnn, layers, (inputs_TX, state))
        output = "embedding.weight" if self.card.tie_weights else "output.weight"
        return hidden_TH @ self.weights[output].T + self.weights["output.bias"], state

    def read(self, row: IdArray) -> float:
        """Read one row from a zero state; its nats."""
        nats, length = 0.0, self.options.segment
        state: Any = None
        ids = torch.from_numpy(row.astype(np.int64))
        for at in range(0, len(ids) - 1, length):
            segment = ids[at : at + length + 1]
            logits_TV, state = self.predict(segment[:-1], state)
            loss = functional.cross_entropy(logits_TV, segment[1:], reduction="sum")
            nats += loss.item()
            gradients = torch.autograd.grad(loss / length, list(self.weights.values()))
            self.step(dict(zip(self.weights, gradients, strict=True)))
            state = tuple(s.detach() for s in state) if self.card.cell == "lstm" else state.detach()
        return nats

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        self.squares.append({name: gradient**2 for name, gradient in gradients.items()})
        roots = {
            name: torch.stack([each[name] for each in self.squares]).mean(0).sqrt()
            for name in gradients
        }
        mean = torch.cat([root.flatten() for root in roots.values()]).mean()
        with torch.no_grad():
            for name, weight in self.weights.items():
                back = (self.options.decay * roots[name] / mean).clamp(max=1)
                step = gradients[name] / (roots[name] + DAMPING * mean)
                weight.add_(back * (self.first[name] - weight) - self.options.rate * step)


def assert_same_weights(found: Mapping[str, FloatArray], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name].detach().numpy(), atol=2e-5)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("sizes", KINDS, ids=str)
def test_a_stream_is_read_as_the_rule_says(sizes: dict[str, Any], native: bool) -> None:
    if native and not kernels.available():
        pytest.skip("there is no C compiler")
    model = model_of(**sizes)
    ids = random_ids(model.card, 60)
    definition = Definition(model, OPTIONS)
    expected = definition.read(ids)
    with patch.object(kernels, "available", return_value=native):
        network = DynamicNetwork(model, OPTIONS)
    score = network.read(ids, None)
    assert score.chars == 59
    assert score.nats == pytest.approx(expected, rel=1e-5)
    assert_same_weights(network.weights(), definition.weights)


@pytest.mark.parametrize("cut_at", [None, 9])
def test_each_line_begins_from_a_zero_state_with_what_was_learned_before(
    cut_at: int | None,
) -> None:
    model = model_of(lines=True)
    words = ["wave", "afterwards", "landmarks", "sea"]
    lines = [word[:cut_at] for word in words]
    ids = model.vocabulary.encode("".join(lines))
    starts = np.cumsum([0, *map(len, lines)])
    definition = Definition(model, OPTIONS)
    bos, eos = model.vocabulary.bos_id, model.vocabulary.eos_id
    rows = [
        [bos, *model.vocabulary.encode(line), *([eos] if len(line) != cut_at else [])]
        for line in lines
    ]
    expected = sum(definition.read(np.array(row)) for row in rows)
    network = DynamicNetwork(model, OPTIONS)
    score = network.read(ids, starts, cut_at=cut_at)
    assert score.chars == sum(map(len, rows)) - len(rows)
    assert score.nats == pytest.approx(expected, rel=1e-5)
    assert_same_weights(network.weights(), definition.weights)


@pytest.mark.parametrize("lines", [False, True])
def test_at_a_rate_of_0_it_is_stateful_evaluation(lines: bool) -> None:
    model = model_of(lines=lines)
    ids = model.vocabulary.encode("the sea and the land, the sea")
    starts = np.array([0, 3, 17, len(ids)]) if lines else None
    expected = score_text(NumpyNetwork.of(model), ids, starts, model.vocabulary)
    score = DynamicNetwork(model, DynamicOptions(rate=0)).read(ids, starts)
    assert score.loss_nats == pytest.approx(expected.loss_nats, abs=1e-5)
    assert (score.chars, score.correct) == (expected.chars, expected.correct)
    assert score.unknown_chars == expected.unknown_chars > 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 59), st.integers(2, 27))
def test_no_character_changes_the_cost_of_an_earlier_one(place: int, other: int) -> None:
    model = model_of()
    ids = random_ids(model.card, 60)
    changed = ids.copy()
    changed[place] = other
    before = (place - 1) // OPTIONS.segment  # whole segments of targets that end before it
    costs, costs_changed = (
        [segment.nats for segment in DynamicNetwork(model, OPTIONS).segments(each)]
        for each in (ids, changed)
    )
    assert costs[: max(before, 0)] == costs_changed[: max(before, 0)]
    if ids[place] != other:
        assert costs[max(before, 0) :] != costs_changed[max(before, 0) :]


def test_the_same_text_gives_the_same_bits_and_leaves_the_model_as_it_is() -> None:
    model = model_of(cell="gru", layers=2)
    before = {name: array.copy() for name, array in model.weights.items()}
    ids = random_ids(model.card, 200)
    networks = [DynamicNetwork(model, OPTIONS) for _ in range(2)]
    first, second = (network.read(ids, None) for network in networks)
    assert first == second
    weights, again = (network.weights() for network in networks)
    for name, array in model.weights.items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(weights[name], again[name])
        assert not np.array_equal(weights[name], array)


def test_a_text_that_repeats_itself_is_learned() -> None:
    model = model_of()
    ids = model.vocabulary.encode("thesea" * 200)
    stateful = score_text(NumpyNetwork.of(model), ids, None, model.vocabulary)
    dynamic = DynamicNetwork(model, DynamicOptions(rate=0.01)).read(ids, None)
    assert dynamic.loss_nats < stateful.loss_nats / 2


def test_what_cannot_be_foreseen_costs_what_it_must() -> None:
    model = model_of()
    ids = np.random.default_rng(0).integers(2, 6, 3000)
    stateful = score_text(NumpyNetwork.of(model), ids, None, model.vocabulary)
    dynamic = DynamicNetwork(model, DynamicOptions(rate=0.003)).read(ids, None)
    assert math.log(4) - 0.02 < dynamic.loss_nats < stateful.loss_nats - 0.5


def test_nothing_is_learned_from_what_is_certain() -> None:
    model = model_of()
    certain = {name: np.zeros_like(array) for name, array in model.weights.items()}
    certain["output.bias"][5] = 1000
    network = DynamicNetwork(replace(model, weights=certain), OPTIONS)
    assert network.read(np.full(30, 5), None).nats == 0
    for name, array in network.weights().items():
        np.testing.assert_array_equal(array, certain[name])


def test_what_continues_an_adapted_stream_has_read_all_of_it() -> None:
    model = model_of(cell="lstm", layers=2)
    segments = 8
    ids = random_ids(model.card, (segments + 1) * OPTIONS.segment + 1)
    text, more = np.split(ids, [segments * OPTIONS.segment + 1])
    adapted, end = adapt(model, text, options=OPTIONS)
    assert end is not None
    assert end.state_SL1H is not None
    following = np.concatenate([end.ids, more])
    logits_BTV, _ = NumpyNetwork.of(adapted).advance(following[None, :-1], end.state_SL1H)
    nats = functional.cross_entropy(
        torch.from_numpy(logits_BTV[0]), torch.from_numpy(following[1:]), reduction="sum"
    )
    *_, last = DynamicNetwork(model, OPTIONS).segments(ids)
    assert nats.item() == pytest.approx(last.nats, rel=1e-5)


def test_weights_that_run_away_are_an_error() -> None:
    model = model_of()
    with pytest.raises(RunFailedError, match="run away after"):
        adapt(model, random_ids(model.card, 60), options=DynamicOptions(rate=1e6))


def test_weights_that_were_of_no_use_before_are_told_from_them() -> None:
    model = model_of()
    broken = {name: np.full_like(array, np.nan) for name, array in model.weights.items()}
    with pytest.raises(RunFailedError, match="of no use"):
        adapt(replace(model, weights=broken), random_ids(model.card, 5))
