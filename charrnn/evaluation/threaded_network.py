"""One network, several processors: the rows of a batch are shared out among threads.

Every thread has single-threaded products of its own, so that none waits for another before a
whole chunk of time is done. NumPy and torch let go of Python's lock while they compute.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, V vocabulary.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from charrnn.evaluation.evaluate import ROWS_AT_ONCE
from charrnn.network import FloatArray, IdArray, Network

ROWS_PER_THREAD = 16
"""Fewer rows than these would cost a thread more than another one saves."""


def rows_for(threads: int) -> int:
    """How many rows to read side by side, so that every thread has its share."""
    return max(ROWS_AT_ONCE, ROWS_PER_THREAD * threads)


class ThreadedNetwork:
    """A network that computes large batches in several threads."""

    def __init__(self, network: Network, threads: int) -> None:
        self._network = network
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    @property
    def vocabulary_size(self) -> int:
        """The number of ids the network can read and predict."""
        return self._network.vocabulary_size

    def initial_state(self, batch_size: int) -> FloatArray:
        """The state before any character: zeros, shape (S, L, B, H)."""
        return self._network.initial_state(batch_size)

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read T ids in each of B rows; logits (B, T, V) and the state after, as `Network` says."""
        parts = min(self._threads, len(ids_BT) // ROWS_PER_THREAD)
        if parts <= 1:
            return self._network.advance(ids_BT, state_SLBH)
        answers = list(
            self._pool.map(
                self._network.advance,
                np.array_split(ids_BT, parts),
                np.array_split(state_SLBH, parts, axis=2),
            )
        )
        logits, states = zip(*answers, strict=True)
        return np.concatenate(logits), np.concatenate(states, axis=2)
