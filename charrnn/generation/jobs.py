"""A text to be made, and the text that was made.

Shapes: S parts of the state, L layers, H hidden.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.generation.rng import UniformStream
from charrnn.generation.rules import Rules
from charrnn.generation.sequence import Draft, End
from charrnn.network import FloatArray


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a text begins: a state, and the ids that are read from there."""

    ids: Sequence[int]
    """At least one; the prediction after the last of them is the first character's."""
    state_SL1H: FloatArray | None = None
    """None is the state before any character."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedText:
    """A text that was made, and how."""

    text: str
    """What was generated; the seed is not part of it."""
    seed: str
    """What it continues, as it was given."""
    rng_seed: int
    """The random seed, which together with `sample` names the random numbers it was drawn with."""
    sample: int
    """The number of this text among those of one generation, from 0."""
    ended_by: End
    """Why it ended."""
    log_probabilities: list[float] | None
    """Of every character of `text`, in nats, by the model's own distribution over its whole
    vocabulary, whatever was done to that distribution before the character was drawn."""
    seconds: float
    """From its beginning to its end; texts that are made side by side share that time."""

    @property
    def mean_log_probability(self) -> float | None:
        """The mean of `log_probabilities`; None for no characters."""
        if not self.log_probabilities:
            return None
        return sum(self.log_probabilities) / len(self.log_probabilities)


class Job:
    """One text on its way from a seed to a `GeneratedText`."""

    def __init__(
        self,
        rules: Rules,
        opening: Opening,
        uniforms: UniformStream,
        *,
        seed: str = "",
        kept: bool = True,
        scored: bool = False,
    ) -> None:
        """Prepare a text.

        `kept` texts are there to be had in the end, others only as they are made, in bounded
        memory; `scored` jobs note the log-probability of each character.
        """
        self.opening = opening
        self.uniforms = uniforms
        self.seed = seed
        self.draft = Draft(rules)
        self._pieces: list[str] | None = [] if kept else None
        self._log_probabilities: list[float] | None = [] if scored else None
        self._began = time.perf_counter()

    @property
    def is_scored(self) -> bool:
        """Whether log-probabilities are wanted."""
        return self._log_probabilities is not None

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def take(self, id_: int) -> str:
        """Go on with a drawn id; return the text that is certain to stay from now on."""
        piece = self.draft.take(id_)
        if self._pieces is not None:
            self._pieces.append(piece)
        return piece

    def note(self, log_probability: float) -> None:
        """Note the log-probability of the id that is taken next."""
        if self._log_probabilities is not None:
            self._log_probabilities.append(log_probability)

    def result(self) -> GeneratedText:
        """The text as far as it is certain; as interrupted if it has not ended."""
        text = "".join(self._pieces or ())
        scores = self._log_probabilities
        return GeneratedText(
            text=text,
            seed=self.seed,
            rng_seed=self.uniforms.rng_seed,
            sample=self.uniforms.sample,
            ended_by=self.draft.ended_by or "interrupted",
            log_probabilities=None if scores is None else scores[: len(text)],
            seconds=time.perf_counter() - self._began,
        )


def log_normalizers(logits: FloatArray) -> FloatArray:
    """The logarithm of the sum of exponentials of each row, (R,) of (R, V) or () of (V,)."""
    highest = logits.max(axis=-1, keepdims=True)
    sums = np.exp(logits - highest).sum(axis=-1)
    result: FloatArray = np.log(sums) + highest[..., 0]
    return result
