"""From logits to the id of the next character.

The distribution is shaped in this order: what is not allowed goes; temperature; top-k; top-p of
what top-k left; min-p. Then one uniform number picks an id by inversion of the cumulative sums.
Every row of a batch is treated as if it were alone. Top-k, top-p and min-p are exact to the last
tie: among characters of equal weight those with the lower ids are kept, so that "k most probable"
is k and not more.

Shapes: R rows, V vocabulary, C candidates (the ids from the first that may be generated at all).
...X is (R, X) for several texts and (X,) for one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from charrnn.config.schema import GenerateConfig
from charrnn.errors import RunFailedError
from charrnn.network import FloatArray

BoolArray = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float64]
Filter = Callable[[Weights], BoolArray]

COLDEST = 1e-30
"""Temperatures below this are taken for it: only exact ties are then still drawn."""
NEVER = np.float32(-np.inf)


class Sampler:
    """Draws ids; buffers are allocated once, so a sampler serves one thread."""

    def __init__(
        self, settings: GenerateConfig, *, first_id: int, vocabulary_size: int, rows: int = 1
    ) -> None:
        """Prepare for draws among the ids from `first_id` on; lower ones are never drawn."""
        self._greedy = settings.temperature == 0
        self._first = first_id
        self._coldness = np.float32(1 / max(settings.temperature, COLDEST))
        self._filters = filters_for(settings)
        lead = () if rows == 1 else (rows,)
        size = vocabulary_size - first_id
        self._scaled = np.empty((*lead, size), np.float32)
        self._weights = np.empty((*lead, size), np.float64)
        self._sums = np.empty((*lead, size), np.float64)

    def draw(self, logits_V: FloatArray, uniform: float, allowed_V: BoolArray | None = None) -> int:
        """Draw one id.

        Args:
            logits_V: the network's prediction.
            uniform: a number in (0, 1], unused at temperature 0.
            allowed_V: the ids that may be drawn; at least one of them is a candidate.

        Raises:
            RunFailedError: The logits are not finite.
        """
        logits_C = self._candidates(logits_V, allowed_V)
        best = int(logits_C.argmax())
        if self._greedy:
            check_finite(not np.isnan(logits_C[best]))
            return best + self._first
        self._weigh(logits_C, logits_C[best])
        sums_C = np.add.accumulate(self._weights, out=self._sums)
        total = sums_C.item(-1)
        check_finite(total > 0)
        return int(sums_C.searchsorted(uniform * total)) + self._first

    def draw_rows(
        self,
        logits_RV: FloatArray,
        uniforms_R: npt.NDArray[np.float64],
        allowed_RV: BoolArray | None = None,
    ) -> npt.NDArray[np.intp]:
        """Draw an id in every row, as `draw` does for one.

        Raises:
            RunFailedError: The logits are not finite.
        """
        logits_RC = self._candidates(logits_RV, allowed_RV)
        if self._greedy:
            check_finite(not np.isnan(logits_RC).any())
            return np.asarray(logits_RC.argmax(axis=-1) + self._first, np.intp)
        self._weigh(logits_RC, logits_RC.max(axis=-1, keepdims=True))
        sums_RC = np.add.accumulate(self._weights, axis=-1, out=self._sums)
        totals_R = sums_RC[:, -1]
        check_finite(bool((totals_R > 0).all()))
        below_RC = sums_RC < (uniforms_R * totals_R)[:, None]
        return np.asarray(np.count_nonzero(below_RC, axis=-1) + self._first, np.intp)

    def _candidates(self, logits: FloatArray, allowed: BoolArray | None) -> FloatArray:
        candidates: FloatArray = logits[..., self._first :]
        if allowed is None:
            return candidates
        return np.where(allowed[..., self._first :], candidates, NEVER)

    def _weigh(self, logits: FloatArray, highest: FloatArray) -> None:
        """Fill in the weights of all candidates."""
        np.subtract(logits, highest, out=self._scaled)
        np.multiply(self._scaled, self._coldness, out=self._scaled)
        np.exp(self._scaled, out=self._weights)
        for keep in self._filters:
            np.multiply(self._weights, keep(self._weights), out=self._weights)


def check_finite(is_finite: bool) -> None:
    """Refuse a prediction that is not finite.

    Raises:
        RunFailedError: It is not.
    """
    if not is_finite:
        raise RunFailedError(
            "the network's prediction is not a number",
            hint="its weights are damaged or their training diverged; train the run again",
        )


def log_normalizers(logits: FloatArray) -> FloatArray:
    """The logarithm of the sum of exponentials of each row, (R,) of (R, V) or () of (V,)."""
    highest = logits.max(axis=-1, keepdims=True)
    sums = np.exp(logits - highest).sum(axis=-1)
    result: FloatArray = np.log(sums) + highest[..., 0]
    return result


def filters_for(settings: GenerateConfig) -> Sequence[Filter]:
    """The filters that these settings ask for, in the order in which they are applied.

    Each takes weights, which are probabilities up to a common factor, and says which it keeps.
    """
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
