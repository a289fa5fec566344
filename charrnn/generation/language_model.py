"""charrnn as a library: a run, loaded once, that writes text.

    import charrnn

    model = charrnn.load("runs/shakespeare")
    for piece in model.generate("ROMEO:", length=200):
        print(piece, end="", flush=True)

Needs NumPy alone. The text is the one that `charrnn generate` writes for the same run, options
and random seed. To write many texts quickly, set OPENBLAS_NUM_THREADS=1 in the environment
before NumPy is imported: the texts are then spread over the processors instead.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from charrnn.config.load import read_generate_config
from charrnn.config.schema import GenerateConfig
from charrnn.errors import UserError
from charrnn.generation.batching import generate_many
from charrnn.generation.jobs import GeneratedText, Job, Opening
from charrnn.generation.options import options_from
from charrnn.generation.rng import UniformStream
from charrnn.generation.rules import Rules
from charrnn.generation.seeds import opening_ids, seed_ids
from charrnn.generation.stream import Stream, read_ahead
from charrnn.inference.network import NumpyNetwork
from charrnn.network import Network
from charrnn.run.paths import CONFIG_FILE
from charrnn.run.reader import TrainedModel, read_model
from charrnn.text.vocabulary import Vocabulary

RNG_SEED_LIMIT = 2**63


class Wishes(TypedDict, total=False):
    """The options of a generation; what is left out or None is the run's own default."""

    temperature: float | None
    """Logits are divided by this; 0 always takes the most probable character."""
    length: int | None
    """Characters to make after the seed; 0 goes on for ever."""
    top_k: int | None
    """Draw among the k most probable characters; 0 among all."""
    top_p: float | None
    """Draw among the fewest characters whose probabilities sum to this."""
    min_p: float | None
    """Leave out characters less probable than this share of the most probable one."""
    min_length: int | None
    """No text ends with fewer characters than this."""
    stop: list[str] | None
    """End a text as soon as one of these strings is complete, and leave the string out."""
    keep_stop: bool | None
    """Leave the string that ended a text in it."""
    allow: str | None
    """Generate only these characters."""
    ban: str | None
    """Never generate these characters."""
    match: str | None
    """A regular expression that every text matches in full."""
    unknown: Literal["error", "replace", "skip", "nearest"] | None
    """What to do with a character of a seed that the vocabulary does not have."""


def load(path: str | PathLike[str]) -> "LanguageModel":
    """Load a run directory's best model.

    Raises:
        charrnn.errors.UserError: Something is missing, damaged or from a later version.
    """
    return LanguageModel(read_model(Path(path)))


class LanguageModel:
    """A trained model that continues text."""

    def __init__(self, trained: TrainedModel, network: Network | None = None) -> None:
        """Use a run's model; `network` is what computes it, NumPy's if left out."""
        self.trained = trained
        self.network: Network = network or NumpyNetwork.of(trained)

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters that the model knows."""
        return self.trained.vocabulary

    @cached_property
    def defaults(self) -> GenerateConfig:
        """The run's own defaults."""
        return read_generate_config(self.trained.path / CONFIG_FILE)

    def generate(
        self, seed: str = "", *, rng_seed: int | None = None, **wishes: Unpack[Wishes]
    ) -> Iterator[str]:
        """Continue a seed; yields the text piece by piece as it is made, the seed not included.

        A piece is a character; or several, or none for a while, where `stop` has to hold back what
        may turn out to be the beginning of a stop string.

        Args:
            seed: the text to continue; an empty one begins where a line begins.
            rng_seed: the same random seed gives the same text; left out, a new one is used.
            wishes: the options, see `Wishes`.

        Raises:
            charrnn.errors.UserError: An option is out of range, no text could follow the rules, or
                the seed has a character that the model does not know.
        """
        rules = self.rules(**wishes)
        uniforms = UniformStream(checked_seed(rng_seed), sample=0)
        job = Job(rules, self.opening(seed, rules), uniforms, seed=seed, kept=False)
        return Stream(self.network, rules, job).pieces()

    def generate_many(
        self,
        seeds: Iterable[str],
        *,
        samples: int = 1,
        rng_seed: int | None = None,
        batch_size: int | None = None,
        log_probabilities: bool = False,
        **wishes: Unpack[Wishes],
    ) -> Iterator[GeneratedText]:
        """Continue many seeds side by side; yields whole texts, in order.

        Args:
            seeds: any number of them, even endless; taken as they are needed, by another thread.
            samples: how many texts to make for each seed.
            rng_seed: the same random seed gives the same texts; left out, a new one is used.
            batch_size: how many texts are under way at once at most; never changes a text.
            log_probabilities: whether each character's log-probability is wanted.
            wishes: the options, see `Wishes`.

        Raises:
            charrnn.errors.UserError: As in `generate`; for a seed, after the texts before it.
        """
        rules = self.rules(**wishes)
        jobs = self.jobs(
            seeds,
            rules,
            checked_seed(rng_seed),
            samples=checked_count("--samples", samples),
            scored=log_probabilities,
        )
        if batch_size is not None:
            checked_count("--batch-size", batch_size)
        return generate_many(self.network, rules, jobs, batch_size=batch_size)

    def rules(self, **wishes: Unpack[Wishes]) -> Rules:
        """The rules that these options make, with this run's defaults."""
        return Rules(options_from(self.defaults, wishes), self.vocabulary)

    def opening(self, seed: str, rules: Rules, after: Opening | None = None) -> Opening:
        """Where a text that continues this seed begins: anew, or after a stream set aside."""
        unknown = rules.options.unknown
        if after is None:
            return Opening(opening_ids(seed, self.vocabulary, unknown))
        ids = seed_ids(seed, self.vocabulary, unknown)
        return Opening([*after.ids, *ids], after.state_SL1H)

    def jobs(
        self,
        seeds: Iterable[str],
        rules: Rules,
        rng_seed: int,
        *,
        samples: int = 1,
        scored: bool = False,
    ) -> Iterator[Job]:
        """The jobs of many seeds, in order; a seed with several samples is read once."""
        for number, seed in enumerate(seeds):
            try:
                opening = self.opening(seed, rules)
            except UserError as error:
                raise UserError(f"seed {number + 1:,}: {error.message}", hint=error.hint) from error
            if samples > 1:
                opening = read_ahead(opening, self.network)
            for sample in range(number * samples, (number + 1) * samples):
                uniforms = UniformStream(rng_seed, sample)
                yield Job(rules, opening, uniforms, seed=seed, scored=scored)


def fresh_seed() -> int:
    """A random seed that nobody could have guessed, short enough to be written down."""
    return int.from_bytes(os.urandom(4), "little")


def checked_seed(rng_seed: int | None) -> int:
    """The random seed that was asked for, or a fresh one.

    Raises:
        UserError: It is out of range.
    """
    if rng_seed is None:
        return fresh_seed()
    if not 0 <= rng_seed < RNG_SEED_LIMIT:
        raise UserError(f"--rng-seed {rng_seed} is not from 0 up to 2**63 - 1")
    return rng_seed


def checked_count(name: str, count: int) -> int:
    """A number of things that must be at least one.

    Raises:
        UserError: It is less.
    """
    if count < 1:
        raise UserError(f"{name} is {count}; it must be 1 or more")
    return count
