"""Which characters stay in the running: top-k, top-p and min-p, exact to the last tie.

Each filter takes weights, which are probabilities up to a common factor, and says which of them
are kept. Among characters of equal weight those with the lower ids are kept, so that "k most
probable" is k and not more.

Shapes: ...C candidates in one row or in several, each row filtered alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from charrnn.config.schema import GenerateConfig

BoolArray = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float64]
Filter = Callable[[Weights], BoolArray]


def filters_for(settings: GenerateConfig) -> Sequence[Filter]:
    """The filters that these settings ask for, in the order in which they are applied."""
    filters: list[Filter] = []
    if settings.top_k:
        filters.append(lambda weights: top_k(weights, settings.top_k))
    if settings.top_p < 1:
        filters.append(lambda weights: top_p(weights, settings.top_p))
    if settings.min_p:
        filters.append(lambda weights: min_p(weights, settings.min_p))
    return filters


def top_k(weights: Weights, count: int) -> BoolArray:
    """Keep the `count` largest weights."""
    smaller = max(weights.shape[-1] - count, 0)
    smallest = np.partition(weights, smaller, axis=-1)[..., smaller : smaller + 1]
    return _largest(weights, smallest, weights.shape[-1] - smaller)


def top_p(weights: Weights, share: float) -> BoolArray:
    """Keep the fewest weights whose sum is at least this share of the sum of all.

    Nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751).
    """
    falling = np.sort(weights, axis=-1)[..., ::-1]
    sums = np.add.accumulate(falling, axis=-1)
    enough = sums >= share * sums[..., -1:]
    smallest = (falling * enough).max(axis=-1, keepdims=True)
    return _largest(weights, smallest, (~enough).sum(axis=-1, keepdims=True) + 1)


def min_p(weights: Weights, share: float) -> BoolArray:
    """Keep the weights that are at least this share of the largest (arXiv:2407.01082)."""
    kept: BoolArray = weights >= share * weights.max(axis=-1, keepdims=True)
    return kept


def _largest(weights: Weights, smallest: Weights, counts: int | npt.NDArray[np.intp]) -> BoolArray:
    """Keep so many of the largest weights in each row, `smallest` (...1) being the last of them."""
    kept: BoolArray = weights >= smallest
    surplus = kept.sum(axis=-1, keepdims=True) - counts
    if surplus.any():
        ties = weights == smallest
        behind = np.add.accumulate(ties[..., ::-1], axis=-1, dtype=np.intp)[..., ::-1]
        kept &= ~(ties & (behind <= surplus))
    return kept
