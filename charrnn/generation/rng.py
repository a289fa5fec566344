"""Random numbers that depend on nothing but (random seed, sample, position in the sample's stream).

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
a counter in steps of an odd constant, each value scrambled by a bijection of 64-bit words. So any
number of a stream can be computed without those before it, a sample draws the same numbers in
whatever company it is made, and "where the stream stands" is one integer.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

STEP = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, rounded to an odd number."""
MASK = 2**64 - 1
BLOCK = 64
"""How many numbers are computed at once."""


def uniforms(rng_seed: int, sample: int, positions: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the uniform numbers in (0, 1] at some positions of a sample's stream.

    Zero is left out and one is let in, so that a draw by inversion never meets an event of
    probability zero. The numbers are multiples of 2**-53.
    """
    counters = positions.astype(np.uint64) * np.uint64(STEP) + np.uint64(_key(rng_seed, sample))
    high_bits = (_scrambled(counters) >> np.uint64(11)).astype(np.float64)
    return (high_bits + 1) * 2.0**-53


class UniformStream:
    """The uniform numbers of one sample, one after the other."""

    def __init__(self, rng_seed: int, sample: int, position: int = 0) -> None:
        self.rng_seed = rng_seed
        self.sample = sample
        self._next_block = position
        self._block: list[float] = []

    @property
    def position(self) -> int:
        """How many numbers of the stream have been used."""
        return self._next_block - len(self._block)

    def next(self) -> float:
        """The next number, in (0, 1]."""
        if not self._block:
            positions = np.arange(self._next_block, self._next_block + BLOCK, dtype=np.uint64)
            self._block = uniforms(self.rng_seed, self.sample, positions)[::-1].tolist()
            self._next_block += BLOCK
        return self._block.pop()


def _key(rng_seed: int, sample: int) -> int:
    """Where the counter of a sample's stream begins: scrambled twice, so that no two are near."""
    inner = _scrambled_word(rng_seed)
    return _scrambled_word(inner + (sample + 1) * STEP)


def _scrambled_word(word: int) -> int:
    return int(_scrambled(np.array([word & MASK], np.uint64))[0])


def _scrambled(words: Words) -> Words:
    """SplitMix64's finaliser, Stafford's variant 13 of MurmurHash3's."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
