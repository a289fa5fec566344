"""The scale that keeps float16 gradients in its range, from 6e-8 to 65,504.

Micikevicius et al. 2018, Mixed Precision Training (arXiv:1710.03740): the loss is multiplied by a
power of two before gradients are computed, and they are divided by it afterwards, in float32. The
scale is as large as goes well: a gradient that overflows halves it, and the step is left out; many
steps without one double it. It stays on the device, so that no step waits to hear of it.
"""

import torch
from torch import Tensor

FIRST_SCALE = 2.0**16
STEPS_TO_DOUBLE = 2000
MOST_IN_A_ROW = 20
"""Steps that may be left out, one after another: the scale is then a millionth of what it was, and
a gradient that still overflows is no matter of scale."""


class LossScale:
    """What a loss is multiplied by, as tensors () on a device; all that a resumed training needs.

    Attributes:
        scale: a power of two.
        good_steps: steps since it last changed.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), FIRST_SCALE, device=device)
        self.good_steps = torch.zeros((), device=device)

    def update(self, found_inf: Tensor) -> None:
        """Take note of a step: 1 if a gradient overflowed, 0 if none did."""
        self.good_steps.add_(1).mul_(1 - found_inf)
        doubles = (self.good_steps == STEPS_TO_DOUBLE).float()
        self.good_steps.mul_(1 - doubles)
        self.scale.mul_(1 + doubles - found_inf / 2)
