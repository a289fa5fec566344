"""The one protocol that every network speaks: torch's in training, NumPy's in inference.

Shapes: S parts of the state (h; h and c for an LSTM), L layers, B batch, T time, H hidden,
V vocabulary. Arrays are NumPy's on both sides, so that what is written against the protocol
(generation, scoring) is written once.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

IdArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.float32]
Weights = Mapping[str, FloatArray]
"""Of a network, by torch's names."""

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
"""How many rows of weights a cell has for each hidden unit."""
STATE_PARTS = {"lstm": 2, "gru": 1, "rnn": 1}
"""S: how many vectors a cell carries from step to step."""


class Network(Protocol):
    """A recurrent network that turns ids and a state into logits and the next state."""

    @property
    def vocabulary_size(self) -> int:
        """The number of ids the network can read and predict."""

    def initial_state(self, batch_size: int) -> FloatArray:
        """The state before any character: zeros, shape (S, L, B, H)."""

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read T ids in each of B rows, from the given state.

        Returns the logits of each next id, (B, T, V), and the state after the last id,
        (S, L, B, H). The given state is left as it is.
        """
