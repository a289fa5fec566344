"""The learning rate of each step: a linear warm-up, then a cosine down to a floor.

The cosine is that of Loshchilov & Hutter 2017 (SGDR, arXiv:1608.03983), without restarts.
"""

import math

from charrnn.config.schema import TrainConfig


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """The rate of the step with this index, 0 being the first.

    Rises to `learning_rate` in `warmup_steps`, and ends at `final_learning_rate_fraction` of it
    with the last of `steps`. A warm-up that would take more than a tenth of a short training is
    cut to that.
    """
    warmup = min(config.warmup_steps, config.steps // 10)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    share_done = (step - warmup) / max(config.steps - 1 - warmup, 1)
    floor = config.final_learning_rate_fraction
    cosine = 0.5 * (1 + math.cos(math.pi * min(share_done, 1.0)))
    return config.learning_rate * (floor + (1 - floor) * cosine)
