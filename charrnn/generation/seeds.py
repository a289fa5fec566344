"""A seed as the ids that the network reads before it writes, strangers among its characters too."""

import unicodedata
from collections.abc import Iterator
from typing import Literal, NoReturn

from charrnn.console import escape_controls
from charrnn.errors import UserError
from charrnn.text.vocabulary import Vocabulary

Unknown = Literal["error", "replace", "skip", "nearest"]

TWINS = str.maketrans(
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


def opening_ids(seed: str, vocabulary: Vocabulary, unknown: Unknown = "error") -> list[int]:
    """The ids to read before a text that continues a seed, at least one.

    A line begins with <bos>. A stream cannot be begun with nothing, so an empty seed is taken
    for the end of a line (or else a space, or else the first character): what follows is what
    the model writes at the beginning of a line.

    Raises:
        UserError: The seed has a character that the vocabulary does not have.
    """
    ids = seed_ids(seed, vocabulary, unknown)
    if vocabulary.bos_id is not None:
        return [vocabulary.bos_id, *ids]
    return ids or [_opening(vocabulary)]


def seed_ids(seed: str, vocabulary: Vocabulary, unknown: Unknown = "error") -> list[int]:
    """The ids of a seed's characters, and of what stands for those that are not known.

    Raises:
        UserError: The seed has a character that the vocabulary does not have.
    """
    ids: list[int] = vocabulary.encode(_without_unknowns(seed, vocabulary, unknown)).tolist()
    return ids


def _opening(vocabulary: Vocabulary) -> int:
    for char in "\n ":
        if char in vocabulary:
            return vocabulary.characters.index(char)
    return len(vocabulary.specials)


def _without_unknowns(seed: str, vocabulary: Vocabulary, unknown: Unknown) -> str:
    strangers = vocabulary.unknown_in(seed)
    if not strangers or unknown == "replace":  # what is unknown is encoded as <unk>
        return seed
    if unknown == "error":
        _refuse(strangers[0], _way_out(strangers[0][1]))
    if unknown == "skip":
        gone = {position for position, _ in strangers}
        return "".join(char for position, char in enumerate(seed) if position not in gone)
    replaced = dict(_twins(strangers, vocabulary))
    return "".join(replaced.get(position, char) for position, char in enumerate(seed))


def _way_out(char: str) -> str:
    if char == "\r":
        return "lines that end as on Windows? --unknown skip reads the seed without its \\r"
    return "--unknown replace, skip or nearest reads the seed all the same"


def _twins(strangers: list[tuple[int, str]], vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    for position, char in strangers:
        twin = nearest(char, vocabulary)
        if twin is None:
            _refuse((position, char), "nothing in it is near; --unknown replace or skip goes on")
        yield position, twin


def nearest(char: str, vocabulary: Vocabulary) -> str | None:
    """What comes nearest to a character: its other case, or it without accents or ornament."""
    plain = _stripped(char)
    forms = (char.lower(), char.upper(), plain, plain.lower(), plain.upper(), char.casefold())
    for form in (*forms, char.translate(TWINS)):
        if form and all(each in vocabulary for each in form):
            return form
    return None


def _stripped(char: str) -> str:
    """A character without its accents, in Unicode's plainest compatible form."""
    parts = unicodedata.normalize("NFKD", char)
    return "".join(part for part in parts if not unicodedata.combining(part))


def _refuse(stranger: tuple[int, str], hint: str) -> NoReturn:
    position, char = stranger
    name = unicodedata.name(char, "")
    raise UserError(
        f"the model does not know the character '{escape_controls(char, keep=frozenset())}' "
        f"(U+{ord(char):04X}{' ' if name else ''}{name}), number {position + 1} of the seed",
        hint=hint,
    )
