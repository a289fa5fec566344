"""What is traced is what the network computes, and gradients are those of torch's autograd."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.explain.cells import GATES, TracedNetwork
from charrnn.inference.network import NumpyNetwork
from charrnn.run.model_card import ModelCard
from charrnn.run.reader import TrainedModel
from charrnn.text.vocabulary import Vocabulary
from tests.models import DEFAULT_CARD, random_ids, random_weights

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
ROWS, STEPS = 3, 7


@st.composite
def cards(draw: st.DrawFn) -> ModelCard:
    tied = draw(st.booleans())
    hidden = draw(st.integers(1, 9))
    return replace(
        DEFAULT_CARD,
        cell=draw(st.sampled_from(["lstm", "gru", "rnn"])),
        input="embedding" if tied else draw(st.sampled_from(["embedding", "onehot"])),
        tie_weights=tied,
        layers=draw(st.integers(1, 3)),
        hidden_size=hidden,
        embedding_size=hidden if tied else draw(st.integers(1, 9)),
    )


def model_of(card: ModelCard, seed: int) -> TrainedModel:
    weights = random_weights(card, seed)
    vocabulary = Vocabulary.from_characters(map(chr, range(65, 93)), lines=False)
    return TrainedModel(path=Path(), card=card, vocabulary=vocabulary, weights=weights)


def gradients_in_torch(
    model: TrainedModel, ids: torch.Tensor, targets: torch.Tensor
) -> list[torch.Tensor]:
    """The derivatives with respect to the state that each last part of the ids is read from."""
    card = model.card
    weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
    rnn = MODULES[card.cell](card.input_size, card.hidden_size, card.layers, batch_first=True)
    named = {name[4:]: weight for name, weight in weights.items() if name.startswith("rnn.")}
    rnn.load_state_dict(named)
    if card.input == "onehot":
        inputs = torch.nn.functional.one_hot(ids, card.vocabulary_size).float()
    else:
        inputs = weights["embedding.weight"][ids]
    output = weights["embedding.weight" if card.tie_weights else "output.weight"]
    found = []
    for steps in range(ids.shape[1]):
        with torch.no_grad():
            _, state = rnn(inputs[:, : ids.shape[1] - steps])
        hidden = (state[0] if card.cell == "lstm" else state).requires_grad_()
        top = hidden[-1]
        if steps:
            before = (hidden, state[1]) if card.cell == "lstm" else hidden
            tops, _ = rnn(inputs[:, -steps:], before)
            top = tops[:, -1]
        logits = top @ output.T + weights["output.bias"]
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, hidden)
        found.append(gradient.transpose(0, 1).flatten(1))
    return found


@given(card=cards(), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_gradients_are_those_of_autograd(card: ModelCard, seed: int) -> None:
    model = model_of(card, seed)
    ids = random_ids(card, ROWS, STEPS + 1, seed=seed)
    network = TracedNetwork(model)
    state = NumpyNetwork.of(model).initial_state(ROWS)
    trace, _ = network.advance(ids[:, :-1], state)
    found = network.gradients(trace, ids[:, -1])
    expected = gradients_in_torch(
        model, torch.from_numpy(ids[:, :-1]), torch.from_numpy(ids[:, -1])
    )
    assert len(found) == STEPS
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-6)


@given(card=cards(), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_a_trace_is_what_the_network_computes(card: ModelCard, seed: int) -> None:
    model = model_of(card, seed)
    ids = random_ids(card, ROWS, STEPS, seed=seed)
    network, traced = NumpyNetwork.of(model), TracedNetwork(model)
    logits, state = network.advance(ids, network.initial_state(ROWS))
    trace, traced_state = traced.advance(ids, network.initial_state(ROWS))
    np.testing.assert_allclose(traced_state, state, rtol=1e-4, atol=1e-5)
    for time, steps in enumerate(trace):
        ours = traced.logits(steps[-1]["hidden"])
        np.testing.assert_allclose(ours, logits[:, time], rtol=1e-4, atol=1e-4)
        for step in steps:
            for gate in GATES[card.cell]:
                assert ((step[gate] >= 0) & (step[gate] <= 1)).all()
