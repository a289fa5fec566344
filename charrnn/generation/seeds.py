"""A seed as the ids that the network reads before it writes, unknown characters included.

Shapes: S parts of the state, L layers, H hidden.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from charrnn.console import escaped
from charrnn.errors import UserError
from charrnn.generation.options import Unknown
from charrnn.messages import code_of
from charrnn.network import FloatArray
from charrnn.text.vocabulary import Vocabulary

PLAINER = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{NO-BREAK SPACE}": " ",
        "\t": " ",
    }
)
"""Characters that word processors put in the place of plainer ones."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Where a text begins: a state, and the ids that are read from there."""

    ids: Sequence[int]
    """At least one; the prediction after the last of them is the first character's."""
    state_SL1H: FloatArray | None = None
    """None is the state before any character."""


def prefix_ids(seed: str, vocabulary: Vocabulary, unknown: Unknown = "error") -> list[int]:
    """The ids to read before a text that continues a seed, at least one.

    A line begins with <bos>. A stream cannot be begun with nothing, so an empty seed is taken
    for the end of a line (or else a space, or else the first character): what follows is what
    the model writes at the beginning of a line.

    Raises:
        UserError: The seed has a character that the vocabulary does not have.
    """
    ids = encode_seed(seed, vocabulary, unknown)
    if vocabulary.bos_id is not None:
        return [vocabulary.bos_id, *ids]
    return ids or [_first_id(vocabulary)]


def encode_seed(seed: str, vocabulary: Vocabulary, unknown: Unknown = "error") -> list[int]:
    """The ids of a seed's characters, and of what stands for those that are not known.

    Raises:
        UserError: The seed has a character that the vocabulary does not have.
    """
    known = vocabulary.units_of(_without_unknowns(seed, vocabulary, unknown))
    ids: list[int] = vocabulary.encode(known).tolist()
    return ids


def _first_id(vocabulary: Vocabulary) -> int:
    for char in "\n ":
        if char in vocabulary:
            return vocabulary.characters.index(char)
    return len(vocabulary.specials)


def _without_unknowns(seed: str, vocabulary: Vocabulary, unknown: Unknown) -> str:
    if unknown == "replace":  # what is unknown is encoded as <unk>
        return seed
    replaced = {
        position: _replacement(char, position, vocabulary, unknown)
        for position, char in vocabulary.unknown_in(seed)
    }
    return "".join(replaced.get(position, char) for position, char in enumerate(seed))


def _replacement(char: str, position: int, vocabulary: Vocabulary, unknown: Unknown) -> str:
    if unknown == "skip":
        return ""
    if unknown == "nearest" and (plainer := nearest_known(char, vocabulary)):
        return plainer
    hint = "`unknown` replace, skip or nearest reads the seed all the same"
    if char == "\r":
        hint = "lines that end as on Windows? with `unknown` skip the seed is read without its \\r"
    elif unknown == "nearest":
        hint = "nothing in it is near; `unknown` replace or skip goes on"
    shown = char if char.isprintable() else escaped(char)
    name = f"{code_of(char)} {unicodedata.name(char, '')}".strip()
    raise UserError(
        f"the model does not know the character '{shown}' ({name}), "
        f"number {position + 1} of the seed",
        hint=hint,
    )


def nearest_known(char: str, vocabulary: Vocabulary) -> str | None:
    """What comes nearest to a character: its other case, or it without accents or ornament."""
    plain = _without_accents(char)
    forms = (char.lower(), char.upper(), plain, plain.lower(), plain.upper(), char.casefold())
    for form in (*forms, char.translate(PLAINER)):
        if form and all(each in vocabulary for each in form):
            return form
    return None


def _without_accents(char: str) -> str:
    """A character without its accents, in Unicode's plainest compatible form."""
    parts = unicodedata.normalize("NFKD", char)
    return "".join(part for part in parts if not unicodedata.combining(part))
