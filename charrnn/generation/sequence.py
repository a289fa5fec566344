"""One text in the making: what may come next, what of it is certain to stay, when it has ended.

A sequence knows nothing of networks. It is asked which ids are allowed, is told which one was
drawn, and answers with the text that has become certain.

Shapes: V vocabulary.
"""

import time
from dataclasses import dataclass
from typing import Literal

from charrnn.errors import UserError
from charrnn.generation.rng import UniformStream
from charrnn.generation.sampling import BoolArray
from charrnn.generation.seeds import Prefix
from charrnn.generation.task import GenerationTask

End = Literal["length", "stop", "line", "match", "interrupted", "error"]
"""Why a text ended: enough characters; a stop string; the end of a line or an example; the end of
a match; Ctrl-C; or because its seed could not be continued."""


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
    error: UserError | None = None
    """Why its seed could not be continued; the text is empty then."""

    @property
    def mean_log_probability(self) -> float | None:
        """The mean of `log_probabilities`; None for no characters."""
        if not self.log_probabilities:
            return None
        return sum(self.log_probabilities) / len(self.log_probabilities)


class Sequence:
    """A text on its way from a prefix to a `GeneratedText`."""

    def __init__(
        self,
        task: GenerationTask,
        prefix: Prefix,
        uniforms: UniformStream,
        *,
        seed: str = "",
        keep: bool = True,
        scored: bool = False,
        error: UserError | None = None,
    ) -> None:
        """Prepare a text.

        Args:
            task: what it shares with others.
            prefix: where it begins.
            uniforms: the random numbers that it is drawn with.
            seed: the seed as it was given, for the result.
            keep: keep the text for `result`; otherwise memory stays bounded.
            scored: keep the log-probability of each character.
            error: why there can be no text; it has then ended.
        """
        options = task.options
        self.prefix = prefix
        self.uniforms = uniforms
        self.seed = seed
        self.ended_by: End | None = "error" if error else None
        """Why the text has ended; None while it goes on."""
        self._error = error
        self._task = task
        self._characters = task.vocabulary.characters
        self._length = options.length
        self._min_length = options.min_length
        self._made = 0
        self._pieces: list[str] | None = [] if keep else None
        self._log_probabilities: list[float] | None = [] if scored else None
        self._constraint = task.constraint.begin() if task.constraint else None
        self._stops = task.stop_finder()
        self._speller = task.speller()
        if self._constraint and self._constraint.is_complete:
            self.ended_by = "match"
        self.start_clock()

    @property
    def is_scored(self) -> bool:
        """Whether log-probabilities are wanted."""
        return self._log_probabilities is not None

    @property
    def is_within_character(self) -> bool:
        """Whether the last character still lacks bytes."""
        return self._speller is not None and bool(self._speller.begun)

    def start_clock(self) -> None:
        """Count `seconds` from now on."""
        self._began = time.perf_counter()

    def allowed(self) -> BoolArray | None:
        """The ids that may come next, (V,); None if that is every id that is ever drawn."""
        if self._constraint:
            return self._constraint.allowed()
        if self._speller:
            may_end = not self._speller.begun and self._made >= self._min_length
            return self._speller.utf8.beginning_or_end if may_end else self._speller.following()
        if self._made < self._min_length:
            return self._task.unfinished_V
        return self._task.usable_V

    def take(self, id_: int, log_probability: float = 0.0) -> str:
        """Go on with a drawn id; return the text that is certain to stay from now on."""
        if self._log_probabilities is not None:
            if self.is_within_character:
                self._log_probabilities[-1] += log_probability
            else:
                self._log_probabilities.append(log_probability)
        piece = self._follow(id_)
        if self._pieces is not None:
            self._pieces.append(piece)
        return piece

    def release(self) -> str:
        """Return what was held back as the possible beginning of a stop string."""
        return self._stops.rest() if self._stops else ""

    def result(self) -> GeneratedText:
        """The text as far as it is certain; as interrupted if it has not ended."""
        text = "".join(self._pieces or ())
        scores = self._log_probabilities
        return GeneratedText(
            text=text,
            seed=self.seed,
            rng_seed=self.uniforms.rng_seed,
            sample=self.uniforms.sample,
            ended_by=self.ended_by or "interrupted",
            log_probabilities=None if scores is None else scores[: len(text)],
            seconds=time.perf_counter() - self._began,
            error=self._error,
        )

    def _follow(self, id_: int) -> str:
        if id_ == self._task.eos_id:
            return self._end("line")
        if self._constraint and not self._constraint.take(id_):
            return self._end("match")
        char = self._characters[id_]
        if self._speller:
            char = self._speller.feed(char)
        return self._add(char) if char else ""

    def _add(self, char: str) -> str:
        """Go on with a character; return the text that is certain to stay."""
        self._made += 1
        if self._stops:
            char = self._stops.feed(char)
            if self._stops.found:
                return char + self._end("stop")
        if self._constraint and self._constraint.is_complete:
            return char + self._end("match")
        if self._made == self._length:
            return char + self._end("length")
        return char

    def _end(self, reason: End) -> str:
        """Note why the text ended; return what was held back and stays after all."""
        self.ended_by = reason
        return "" if reason == "stop" else self.release()
