"""The rules of a generation, made ready for one vocabulary: what may be written, and when to end.

Everything that can be impossible about them is found here, before anything is generated.

Shapes: V vocabulary.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.generation.options import GenerateOptions
from charrnn.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charrnn.generation.constraints import Constraint

BoolArray = npt.NDArray[np.bool_]


class Rules:
    """Options and a vocabulary, compiled; shared by all texts of a generation."""

    def __init__(self, options: GenerateOptions, vocabulary: Vocabulary) -> None:
        """Make the masks and compile the constraint.

        Raises:
            UserError: No text could ever keep these rules.
        """
        self.options = options
        self.vocabulary = vocabulary
        self.characters = vocabulary.characters
        self.eos_id = vocabulary.eos_id
        specials = len(vocabulary.specials)
        self.first_id = specials if self.eos_id is None else self.eos_id
        """The lowest id that can be drawn; the ids of <pad>, <unk> and <bos> are below it."""
        usable_V = _usable(options, vocabulary)
        self.constraint = _constraint(options, vocabulary, usable_V)
        self.goes_on_V = None if usable_V[self.first_id :].all() else usable_V
        """What may be drawn where a text may not end; None if that is every candidate."""
        usable_V = usable_V.copy()
        usable_V[self.first_id : specials] = True
        self.usable_V = None if usable_V[self.first_id :].all() else usable_V
        """What may be drawn otherwise, <eos> included; None if that is every candidate."""

    @property
    def may_never_end(self) -> bool:
        """Whether nothing but an interruption is certain to end a text, or likely to."""
        ends_by_itself = self.eos_id is not None or self.options.stop or self.constraint is not None
        return self.options.is_endless and not ends_by_itself


def _usable(options: GenerateOptions, vocabulary: Vocabulary) -> BoolArray:
    """The characters that --allow and --ban leave, (V,); no special is among them."""
    usable_V = np.zeros(len(vocabulary), np.bool_)
    for id_, char in enumerate(vocabulary.characters):
        wanted = options.allow is None or char in options.allow
        usable_V[id_] = len(char) == 1 and wanted and char not in options.ban
    if not usable_V.any():
        raise UserError(
            "--allow and --ban leave no character of this model's vocabulary",
            hint=f"the vocabulary is: {''.join(vocabulary.characters[len(vocabulary.specials) :])}",
        )
    return usable_V


def _constraint(
    options: GenerateOptions, vocabulary: Vocabulary, usable_V: BoolArray
) -> "Constraint | None":
    if options.match is None:
        return None
    from charrnn.generation.constraints import compile_constraint

    return compile_constraint(
        match=options.match,
        vocabulary=vocabulary,
        usable_V=usable_V,
        min_length=options.min_length,
        length=options.length or None,
    )
