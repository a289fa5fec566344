"""The NumPy network computes what torch's modules compute, for every cell, depth and input."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.inference import network as network_module
from charrnn.inference.network import NumpyNetwork, NumpyStepper
from charrnn.network import FloatArray, IdArray
from charrnn.run.model_card import ModelCard
from tests.models import DEFAULT_CARD, random_ids, random_weights

Cell = Literal["lstm", "gru", "rnn"]
Input = Literal["embedding", "onehot"]
MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
TOLERANCE = 1e-5


def advance_in_torch(
    card: ModelCard, weights: Mapping[str, FloatArray], ids_BT: IdArray, state_SLBH: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The reference: torch's own modules, written down independently of charrnn's."""
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    rnn = MODULES[card.cell](card.input_size, card.hidden_size, card.layers, batch_first=True)
    rnn.load_state_dict(
        {
            name.removeprefix("rnn."): tensor
            for name, tensor in tensors.items()
            if name.startswith("rnn.")
        }
    )
    ids = torch.from_numpy(ids_BT.astype(np.int64))
    if card.input == "onehot":
        inputs = torch.nn.functional.one_hot(ids, card.vocabulary_size).float()
    else:
        inputs = tensors["embedding.weight"][ids]
    parts = [torch.from_numpy(part.copy()) for part in state_SLBH]
    with torch.no_grad():
        tops, after = rnn(inputs, (parts[0], parts[1]) if card.cell == "lstm" else parts[0])
        output = tensors["embedding.weight" if card.tie_weights else "output.weight"]
        logits = tops @ output.T + tensors["output.bias"]
    state = torch.stack(after) if card.cell == "lstm" else after.unsqueeze(0)
    return logits.numpy(), state.numpy()


@st.composite
def cards(draw: st.DrawFn) -> ModelCard:
    hidden = draw(st.integers(1, 24))
    tied = draw(st.booleans())
    count = 1 if tied else draw(st.integers(1, 3))
    onehot = not tied and draw(st.booleans())
    return replace(
        DEFAULT_CARD,
        cell=draw(st.sampled_from(["lstm", "gru", "rnn"])),
        layers=draw(st.integers(1, 3)),
        hidden_size=count * hidden,
        input="onehot" if onehot else "embedding",
        embedding_size=hidden if tied else count * draw(st.integers(1, 12)),
        ensemble_size=count,
        tie_weights=tied,
        vocabulary_size=draw(st.integers(3, 40)),
    )


@settings(max_examples=150, deadline=None)
@given(
    card=cards(),
    batch=st.integers(1, 5),
    time=st.integers(1, 9),
    gain=st.floats(0.01, 1.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_logits_and_state_equal_those_of_torch(
    card: ModelCard, batch: int, time: int, gain: float, seed: int
) -> None:
    # A recurrent matrix of a large norm makes a chaotic network, which no two programs agree on.
    weights = random_weights(card, seed, gain / card.hidden_size**0.5)
    network = NumpyNetwork(weights, card)
    ids = random_ids(card, batch, time, seed=seed)
    rng = np.random.default_rng(seed)
    state = rng.uniform(-1, 1, network.initial_state(batch).shape).astype(np.float32)
    logits, after = network.advance(ids, state)
    expected_logits, expected_after = advance_in_torch(card, weights, ids, state)
    np.testing.assert_allclose(logits, expected_logits, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(after, expected_after, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("input_", ["embedding", "onehot"])
def test_every_cell_depth_and_input_equals_torch_over_a_long_text(
    cell: Cell, layers: int, input_: Input
) -> None:
    card = replace(
        DEFAULT_CARD, cell=cell, layers=layers, input=input_, hidden_size=48, vocabulary_size=60
    )
    # Smaller than 1 / sqrt(48): the network forgets, and rounding with it, whatever the kernels.
    weights = random_weights(card, seed=1, scale=0.12)
    network = NumpyNetwork(weights, card)
    ids = random_ids(card, 2, 200)
    state = network.initial_state(2)
    expected_logits, expected_after = advance_in_torch(card, weights, ids, state)
    logits, after = network.advance(ids, state)
    np.testing.assert_allclose(logits, expected_logits, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(after, expected_after, rtol=TOLERANCE, atol=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(card=cards(), cut=st.integers(1, 9), batch=st.integers(1, 3))
def test_a_text_read_in_two_parts_is_read_as_in_one(card: ModelCard, cut: int, batch: int) -> None:
    network = NumpyNetwork(random_weights(card), card)
    ids = random_ids(card, batch, 10)
    whole, after_whole = network.advance(ids, network.initial_state(batch))
    first, middle = network.advance(ids[:, :cut], network.initial_state(batch))
    second, after = network.advance(ids[:, cut:], middle)
    parts = np.concatenate([first, second], axis=1)
    np.testing.assert_allclose(parts, whole, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_array_equal(after, after_whole)


def test_the_state_that_is_given_is_left_as_it_is() -> None:
    network = NumpyNetwork(random_weights(DEFAULT_CARD), DEFAULT_CARD)
    state = np.full_like(network.initial_state(2), 0.25)
    network.advance(random_ids(DEFAULT_CARD, 2, 3), state)
    assert (state == 0.25).all()


@settings(max_examples=40, deadline=None)
@given(card=cards(), rows=st.integers(1, 6), seed=st.integers(0, 99))
def test_stepping_in_place_gives_what_advance_gives(card: ModelCard, rows: int, seed: int) -> None:
    network = NumpyNetwork(random_weights(card, seed), card)
    ids = random_ids(card, rows, 6, seed=seed)
    expected, after = network.advance(ids, network.initial_state(rows))
    stepper = NumpyStepper(network, rows)
    for at in range(6):
        stepper.read(int(ids[0, at]) if rows == 1 else ids[:, at])
        np.testing.assert_allclose(
            stepper.predict().reshape(rows, -1), expected[:, at], rtol=TOLERANCE, atol=TOLERANCE
        )
    np.testing.assert_array_equal(stepper.state(), after)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("rows", [1, 4])
def test_a_state_put_into_one_row_moves_that_row_alone(cell: Cell, rows: int) -> None:
    card = replace(DEFAULT_CARD, cell=cell, layers=2)
    network = NumpyNetwork(random_weights(card), card)
    rng = np.random.default_rng(0)
    state = rng.normal(size=network.initial_state(rows).shape).astype(np.float32)
    guest = rng.normal(size=network.initial_state(1).shape).astype(np.float32)
    stepper = NumpyStepper(network, rows)
    stepper.set_state(state)
    stepper.set_row(rows - 1, guest)
    state[:, :, rows - 1 :] = guest
    np.testing.assert_array_equal(stepper.state(), state)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_vocabulary_too_large_for_the_table_gives_the_same_logits(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = random_weights(DEFAULT_CARD)
    ids = random_ids(DEFAULT_CARD, rows, 5)
    folded = NumpyNetwork(weights, DEFAULT_CARD)
    expected, _ = folded.advance(ids, folded.initial_state(rows))
    monkeypatch.setattr(network_module, "TABLE_LIMIT_BYTES", 0)
    computed = NumpyNetwork(weights, DEFAULT_CARD)
    logits, _ = computed.advance(ids, computed.initial_state(rows))
    assert computed.input_rows.__name__ != folded.input_rows.__name__
    np.testing.assert_allclose(logits, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(number: float) -> None:
    weights = random_weights(DEFAULT_CARD)
    weights["rnn.weight_hh_l0"][3, 3] = number
    with pytest.raises(UserError, match=r"rnn\.weight_hh_l0"):
        NumpyNetwork(weights, DEFAULT_CARD)
