"""Random noise that depends on where training stands and on nothing else.

Every part of every step draws from a generator of its own, seeded by the training's seed, the
step and the part. So nothing random needs to be carried from step to step: a resumed training
draws what an uninterrupted one would have drawn, and parts may be computed side by side.
"""

import numpy as np
import torch
from torch import Tensor

BYTE_VALUES = 256
WORD_BYTES = 8


class Noise:
    """One part of one step's supply of random numbers."""

    def __init__(self, seed: int, step: int, part: int, device: torch.device) -> None:
        self._seed, self._part = seed, part
        self.generator = torch.Generator(device)
        self.begin(step)

    def begin(self, step: int) -> None:
        """Supply what this part of another step draws."""
        self.generator.manual_seed(derived_seed(self._seed, step, self._part))

    def drop(self, units: Tensor, share: float) -> Tensor:
        """Dropout (Srivastava et al. 2014): a share of the units is 0, the rest scaled up."""
        kept = self.kept(units, share)
        return units if kept is None else units * kept

    def kept(self, units: Tensor, share: float) -> Tensor | None:
        """What dropout multiplies units of this shape and type with; None if nothing is dropped.

        A random byte decides on each unit, so the share is rounded to a multiple of 1/256.
        """
        dropped = min(round(share * BYTE_VALUES), BYTE_VALUES - 1)
        if not dropped:
            return None
        words = torch.empty(-(-units.numel() // WORD_BYTES), dtype=torch.int64, device=units.device)
        words.random_(-(2**63), None, generator=self.generator)
        luck = words.view(torch.uint8)[: units.numel()].view(units.shape)
        return (luck >= dropped).to(units.dtype).mul_(BYTE_VALUES / (BYTE_VALUES - dropped))

    def clear_rows(self, state_SLBH: Tensor, share: float) -> Tensor:
        """The state with a share of its rows, drawn one by one, set to zero."""
        if not share:
            return state_SLBH
        rows = state_SLBH.new_empty(state_SLBH.shape[2])
        return state_SLBH * rows.bernoulli_(1 - share, generator=self.generator)[:, None]


def seed_of_network(seed: int, number: int) -> int:
    """The seed of a network of an ensemble: the first has the training's."""
    return derived_seed(seed, number) if number else seed


def derived_seed(*numbers: int) -> int:
    """A seed for each tuple of numbers, far from its neighbours' seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
