"""What all texts of a generation share: the network, the options, and which characters are usable.

Whatever is impossible about the options is found here, before anything is generated.

Shapes: V vocabulary.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from charrnn.errors import UserError
from charrnn.generation.options import GenerationOptions
from charrnn.generation.sampling import BoolArray, Sampler
from charrnn.generation.seeds import Prefix, encode_seed, prefix_ids
from charrnn.inference.network import NumpyNetwork
from charrnn.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charrnn.generation.constraints import Constraint
    from charrnn.generation.stop_strings import StopFinder
    from charrnn.generation.utf8 import Speller, Utf8


class GenerationTask:
    """A network and the options of a generation, compiled; shared by all of its texts."""

    def __init__(
        self,
        network: NumpyNetwork,
        vocabulary: Vocabulary,
        options: GenerationOptions,
        normalized: Callable[[str], str] = str,
        *,
        start: Prefix | None = None,
    ) -> None:
        """Make the masks and compile the constraint.

        `normalized` does to a seed or stop string what was done to the text that the model learned;
        every text goes on from `start`, if it is given.

        Raises:
            UserError: No text could ever keep to these options.
        """
        self.network = network
        self.vocabulary = vocabulary
        self.options = options = _with_normalized_text(options, normalized)
        self._normalized = normalized
        self._start = start
        self.eos_id = vocabulary.eos_id
        specials = len(vocabulary.specials)
        self.first_id = specials if self.eos_id is None else self.eos_id
        """The lowest id that can be drawn; the ids of <pad>, <unk> and <bos> are below it."""
        self.utf8 = _spelling(options, vocabulary)
        """How characters are spelled, where the network reads the bytes of text; else None."""
        usable_V = _usable_units(options, vocabulary)
        if options.stop:
            from charrnn.generation.stop_strings import refuse_impossible_stops

            refuse_impossible_stops(options, vocabulary)
        self.constraint = _compile_constraint(options, vocabulary, usable_V, self.utf8)
        self.unfinished_V = self._mask(usable_V)
        """What may be drawn where a text may not end; None if that is every candidate."""
        usable_V[self.first_id : specials] = True
        self.usable_V = self._mask(usable_V)
        """What may be drawn otherwise, <eos> included; None if that is every candidate."""

    @property
    def is_masked(self) -> bool:
        """Whether any candidate is ever left out."""
        masks = (self.unfinished_V, self.usable_V, self.constraint, self.utf8)
        return any(each is not None for each in masks)

    @property
    def may_never_end(self) -> bool:
        """Whether nothing but an interruption is certain to end a text, or likely to."""
        ends_by_itself = self.eos_id is not None or self.options.stop or self.constraint is not None
        return self.options.is_endless and not ends_by_itself

    def prefix(self, seed: str, after: Prefix | None = None) -> Prefix:
        """Where a text that continues this seed begins: anew, or after a stream that was read.

        Raises:
            UserError: The seed has a character that the model does not know.
        """
        seed, after = self._normalized(seed), after or self._start
        if after is None:
            return Prefix(prefix_ids(seed, self.vocabulary, self.options.unknown))
        ids = encode_seed(seed, self.vocabulary, self.options.unknown)
        return Prefix([*after.ids, *ids], after.state_SL1H)

    def stop_finder(self) -> "StopFinder | None":
        """Make what finds the stop strings in one text; None if there are none."""
        if not self.options.stop:
            return None
        from charrnn.generation.stop_strings import StopFinder

        return StopFinder(self.options)

    def speller(self) -> "Speller | None":
        """Make what puts the bytes of one text together; None where it comes in characters."""
        if self.utf8 is None:
            return None
        from charrnn.generation.utf8 import Speller

        return Speller(self.utf8)

    def sampler(self, rows: int = 1) -> Sampler:
        """Make a sampler for one text, or for several side by side."""
        return Sampler(
            self.options,
            first_id=self.first_id,
            vocabulary_size=self.network.vocabulary_size,
            rows=rows,
        )

    def _mask(self, usable_V: BoolArray) -> BoolArray | None:
        return None if usable_V[self.first_id :].all() else usable_V.copy()


def _with_normalized_text(
    options: GenerationOptions, normalized: Callable[[str], str]
) -> GenerationOptions:
    allow = None if options.allow is None else normalized(options.allow)
    stop = [normalized(each) for each in options.stop]
    return replace(options, stop=stop, allow=allow, ban=normalized(options.ban))


def _spelling(options: GenerationOptions, vocabulary: Vocabulary) -> "Utf8 | None":
    if not vocabulary.is_utf8:
        return None
    from charrnn.generation.utf8 import Utf8

    return Utf8(vocabulary, options)


def _usable_units(options: GenerationOptions, vocabulary: Vocabulary) -> BoolArray:
    """The characters that `allow` and `ban` leave, (V,); no special id is among them.

    Of the bytes of characters all are left; `Utf8` says which may come where.
    """
    characters = vocabulary.known
    if vocabulary.is_utf8:
        return np.array([False] * len(vocabulary.specials) + [True] * len(characters))
    allowed = frozenset(characters if options.allow is None else options.allow)
    usable = [char in allowed and char not in options.ban for char in characters]
    if not any(usable):
        raise UserError(
            "`allow` and `ban` leave no character of this model's vocabulary",
            hint=f"the vocabulary is: {''.join(characters)}",
        )
    return np.array([False] * len(vocabulary.specials) + usable)


def _compile_constraint(
    options: GenerationOptions, vocabulary: Vocabulary, usable_V: BoolArray, utf8: "Utf8 | None"
) -> "Constraint | None":
    if options.constraint is None:
        return None
    from charrnn.generation.constraints import Spelling, compile_constraint

    return compile_constraint(
        options.constraint,
        getattr(options, options.constraint),
        vocabulary=vocabulary,
        usable_V=usable_V.copy(),
        spelling=None if utf8 is None else Spelling(utf8, options.allow, options.ban),
        min_length=options.min_length,
        length=options.length or None,
    )
