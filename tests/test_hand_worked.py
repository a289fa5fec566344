"""A network small enough to be worked out by hand: 2 hidden units, 3 steps, every cell.

The steps below are scalar arithmetic with nothing but `math`, written from the cells' equations;
the two networks, torch's and NumPy's, must come to the same hidden states and logits.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from charrnn.config.schema import ModelConfig
from charrnn.inference.network import NumpyNetwork
from charrnn.network import FloatArray
from charrnn.training.model import CharRNN, TorchNetwork
from tests.models import DEFAULT_CARD

IDS = (2, 0, 1)
EMBEDDING = (0.5, -1.0, 2.0)
"""One number for each of three characters."""
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
OUTPUT = ((1.0, -1.0), (0.5, 0.5), (0.0, 2.0))
OUTPUT_BIAS = (0.1, 0.0, -0.1)

Vector = list[float]


def input_weight(row: int) -> float:
    """W_x, one number a gate row: 0.1, 0.2, 0.3, ..."""
    return 0.1 * (row + 1)


def hidden_weight(row: int, column: int) -> float:
    """W_h: rows of +0.3, -0.2, the sign turning from row to row."""
    sign = 1 if row % 2 == 0 else -1
    return sign * (0.3, -0.2)[column]


def input_bias(row: int) -> float:
    return 0.05 * row


def hidden_bias(row: int) -> float:
    return 0.02 * (row + 1)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def from_input(row: int, x: float) -> float:
    return input_weight(row) * x + input_bias(row)


def from_hidden(row: int, h: Vector) -> float:
    return hidden_weight(row, 0) * h[0] + hidden_weight(row, 1) * h[1] + hidden_bias(row)


def step_rnn(x: float, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    return [math.tanh(from_input(unit, x) + from_hidden(unit, h)) for unit in (0, 1)], c


def step_gru(x: float, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    after = []
    for unit in (0, 1):
        reset = sigmoid(from_input(unit, x) + from_hidden(unit, h))
        update = sigmoid(from_input(2 + unit, x) + from_hidden(2 + unit, h))
        new = math.tanh(from_input(4 + unit, x) + reset * from_hidden(4 + unit, h))
        after.append((1 - update) * new + update * h[unit])
    return after, c


def step_lstm(x: float, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    hidden, memory = [], []
    for unit in (0, 1):
        write, forget, candidate, read = (
            from_input(row, x) + from_hidden(row, h) for row in (unit, 2 + unit, 4 + unit, 6 + unit)
        )
        cell = sigmoid(forget) * c[unit] + sigmoid(write) * math.tanh(candidate)
        memory.append(cell)
        hidden.append(sigmoid(read) * math.tanh(cell))
    return hidden, memory


STEPS = {"rnn": step_rnn, "gru": step_gru, "lstm": step_lstm}


def worked_out(cell: str) -> tuple[list[Vector], list[Vector]]:
    """The logits after each of the three characters, and the state parts after the last."""
    h, c = [0.0, 0.0], [0.0, 0.0]
    logits = []
    for char in IDS:
        h, c = STEPS[cell](EMBEDDING[char], h, c)
        logits.append(
            [
                row[0] * h[0] + row[1] * h[1] + bias
                for row, bias in zip(OUTPUT, OUTPUT_BIAS, strict=True)
            ]
        )
    return logits, [h, c] if cell == "lstm" else [h]


def weights_of(cell: str) -> dict[str, FloatArray]:
    rows = range(2 * GATES[cell])
    weights = {
        "embedding.weight": [[value] for value in EMBEDDING],
        "rnn.weight_ih_l0": [[input_weight(row)] for row in rows],
        "rnn.weight_hh_l0": [[hidden_weight(row, column) for column in (0, 1)] for row in rows],
        "rnn.bias_ih_l0": [input_bias(row) for row in rows],
        "rnn.bias_hh_l0": [hidden_bias(row) for row in rows],
        "output.weight": OUTPUT,
        "output.bias": OUTPUT_BIAS,
    }
    return {name: np.array(values, np.float32) for name, values in weights.items()}


def numpy_network(cell: str) -> NumpyNetwork:
    sizes: dict[str, Any] = {"cell": cell, "embedding_size": 1, "hidden_size": 2}
    card = replace(DEFAULT_CARD, vocabulary_size=3, **sizes)
    return NumpyNetwork(weights_of(cell), card)


def torch_network(cell: str) -> TorchNetwork:
    model = CharRNN(ModelConfig(cell=cell, embedding_size=1, hidden_size=2), 3)  # type: ignore[arg-type]
    model.load_state_dict({name: torch.from_numpy(w) for name, w in weights_of(cell).items()})
    return TorchNetwork(model)


@pytest.mark.parametrize("network_of", [numpy_network, torch_network], ids=["numpy", "torch"])
@pytest.mark.parametrize("cell", STEPS)
def test_three_steps_of_two_units_come_to_what_was_worked_out(cell: str, network_of) -> None:  # type: ignore[no-untyped-def]
    network = network_of(cell)
    logits_BTV, state_SLBH = network.advance(np.array([IDS]), network.initial_state(1))
    logits, state = worked_out(cell)
    np.testing.assert_allclose(logits_BTV[0], logits, atol=1e-6)
    np.testing.assert_allclose(state_SLBH[:, 0, 0], state, atol=1e-6)


def test_the_first_step_of_the_rnn_is_the_number_on_paper() -> None:
    first, second = 0.1 * 2 + 0 + 0.02, 0.2 * 2 + 0.05 + 0.04
    assert (first, second) == pytest.approx((0.22, 0.49))
    h, _ = step_rnn(2.0, [0.0, 0.0], [])
    assert h == pytest.approx([0.216518, 0.454216], abs=1e-6)
