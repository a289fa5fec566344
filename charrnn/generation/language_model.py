"""A run, loaded once, that writes text: what `charrnn generate` and `charrnn.Model` stand on.

The text is the one that `charrnn generate` writes for the same run, options and random seed.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from charrnn.config.schema import GenerateConfig
from charrnn.files import expanded
from charrnn.generation.generate import Stream
from charrnn.generation.options import (
    GenerationOptions,
    Unknown,
    change_options,
    check_count,
    choose_rng_seed,
)
from charrnn.generation.rng import UniformStream
from charrnn.generation.seeds import Prefix
from charrnn.generation.sequence import GeneratedText, Sequence
from charrnn.generation.task import GenerationTask
from charrnn.inference.network import NumpyNetwork
from charrnn.run.model_card import TextFormat
from charrnn.run.paths import CONFIG_FILE
from charrnn.run.reader import TrainedModel, read_model
from charrnn.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charrnn.generation.next_character import NextCharacter


def load(path: str | PathLike[str]) -> "LanguageModel":
    """Load a run directory's best model.

    Raises:
        charrnn.errors.UserError: Something is missing, damaged or from a later version.
    """
    return LanguageModel(read_model(expanded(path)))


class LanguageModel:
    """A trained model that continues text."""

    def __init__(self, trained: TrainedModel, start: Prefix | None = None) -> None:
        """Use a run's model; its texts begin anew, or after what `start` has read."""
        self.trained = trained
        self.start = start
        self.network = NumpyNetwork.of(trained)

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters that the model knows."""
        return self.trained.vocabulary

    @cached_property
    def defaults(self) -> GenerateConfig:
        """The run's own defaults."""
        if self.trained.card.generate is not None:
            return self.trained.card.generate
        from charrnn.config.load import read_run_config

        return read_run_config(self.trained.path / CONFIG_FILE).generate

    @cached_property
    def text_format(self) -> TextFormat:
        """How the text that the model learned was read."""
        if self.trained.card.text is not None:
            return self.trained.card.text
        from charrnn.config.load import read_run_config

        data = read_run_config(self.trained.path / CONFIG_FILE).data
        return TextFormat(encoding=data.encoding, normalize=data.normalize)

    def normalized(self, text: str) -> str:
        """Normalise a text as the text that the model learned was."""
        if text.isascii() or self.text_format.normalize == "none":
            return text
        return unicodedata.normalize("NFC", text)

    def options(self, **changes: Any) -> GenerationOptions:
        """The run's own options with some of them changed; None leaves one as it is.

        Raises:
            charrnn.errors.UserError: An option is unknown or out of its range, or two contradict
                each other.
        """
        return change_options(self.defaults, changes)

    def generate(
        self,
        seed: str = "",
        options: GenerationOptions | None = None,
        *,
        rng_seed: int | None = None,
        **changes: Any,
    ) -> Iterator[str]:
        """Continue a seed; yields the text piece by piece as it is made, the seed not included.

        A piece is a character; or several, or none for a while, where `stop` has to hold back what
        may turn out to be the beginning of a stop string.

        Args:
            seed: the text to continue; an empty one begins where a line begins.
            options: all options, as `options` makes them; left out, the run's own.
            rng_seed: the same random seed gives the same text; left out, a new one is used.
            changes: options by name that are to be different, see `GenerationOptions`.

        Raises:
            charrnn.errors.UserError: An option is out of range, no text could follow the options,
                or the seed has a character that the model does not know.
        """
        task = self.task(options, **changes)
        uniforms = UniformStream(choose_rng_seed(rng_seed), sample=0)
        sequence = Sequence(task, task.prefix(seed), uniforms, seed=seed, keep=False)
        return Stream(task, sequence).pieces()

    def generate_many(
        self,
        seeds: Iterable[str],
        options: GenerationOptions | None = None,
        *,
        samples: int = 1,
        rng_seed: int | None = None,
        batch_size: int | None = None,
        log_probabilities: bool = False,
        strict: bool = True,
        **changes: Any,
    ) -> Iterator[GeneratedText]:
        """Continue many seeds side by side; yields whole texts, in order.

        Args:
            seeds: any number of them, even endless; taken as they are needed, by another thread.
            options: all options, as `options` makes them; left out, the run's own.
            samples: how many texts to make for each seed.
            rng_seed: the same random seed gives the same texts; left out, a new one is used.
            batch_size: how many texts are under way at once at most; never changes a text.
            log_probabilities: whether each character's log-probability is wanted.
            strict: raise the error of a seed that cannot be continued; otherwise an empty text with
                that `error` comes in its place.
            changes: options by name that are to be different, see `GenerationOptions`.

        Raises:
            charrnn.errors.UserError: As in `generate`; for a seed, after the texts before it.
        """
        from charrnn.generation.scheduler import generate_many, sequences_of

        check_count("samples", samples)
        check_count("batch_size", batch_size)
        task = self.task(options, **changes)
        sequences = sequences_of(
            seeds,
            task,
            choose_rng_seed(rng_seed),
            samples=samples,
            scored=log_probabilities,
            strict=strict,
        )
        return generate_many(task, sequences, batch_size=batch_size)

    def next_characters(
        self, seed: str = "", count: int = 10, *, unknown: Unknown | None = None
    ) -> "list[NextCharacter]":
        """What may come after a text: the likeliest characters with their probabilities.

        Raises:
            charrnn.errors.UserError: The seed has a character that the model does not know, or
                `count` is below 1.
        """
        from charrnn.generation.next_character import next_characters

        check_count("count", count)
        task = self.task(unknown=unknown)
        return next_characters(task, task.prefix(seed), count)

    def task(self, options: GenerationOptions | None = None, **changes: Any) -> GenerationTask:
        """Options compiled for this model: what all texts of a generation share.

        Raises:
            charrnn.errors.UserError: As in `generate`, but for the seed.
        """
        chosen = change_options(options or self.defaults, changes)
        return GenerationTask(
            self.network, self.vocabulary, chosen, self.normalized, start=self.start
        )
