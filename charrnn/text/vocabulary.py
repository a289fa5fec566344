"""Characters and their ids: an immutable, reversible mapping that fits in a small JSON file.

The special ids come first (padding, unknown, and the begin and end of lines or examples), then
the characters in sorted order, so that the same characters always get the same ids. Both
directions are a table and one vectorised look-up, which no Python loop ever replaces.

A character is a Unicode code point. As an array, text in Latin-1 takes one byte a character and
all other text four.

Where bytes are the units (`data.unit: byte`), a byte is the character of its number, U+0000 to
U+00FF, in all that counts, encodes and scores. Only where text is read from a person or shown to
one, `units_of` and `text_of` translate; so all else works on bytes as it does on characters. The
vocabulary then is all 256: no byte of any file is unknown, and bits per byte are those of a code
that could write down any file.
"""

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.files import check_format_version
from charrnn.messages import quote
from charrnn.validation import damaged, record_from_json

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
STREAM_SPECIALS = (PAD, UNK)
LINES_SPECIALS = (PAD, UNK, BOS, EOS)
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
FORMAT_VERSION = 1

DAMAGED_HINT = "the file was changed or damaged"

CODE_POINTS = sys.maxunicode + 1
"""How many code points Unicode has; each is below this number."""

CodePoints = npt.NDArray[np.unsignedinteger[Any]]
IdArray = npt.NDArray[np.unsignedinteger[Any]]
Ids = npt.NDArray[np.integer[Any]]

Unit = Literal["character", "byte"]
BYTES = 256
_LATIN_1 = "latin-1"
_UTF32 = f"utf-32-{'le' if sys.byteorder == 'little' else 'be'}"

_UNPRINTED = CODE_POINTS
"""What the decoding table holds for a special id that stands for no text at all."""


def code_points_of(text: str) -> CodePoints:
    """Return the code points of `text`: uint8 if all of it is Latin-1, uint32 otherwise."""
    if (latin_1 := _in_latin_1(text)) is not None:
        return np.frombuffer(latin_1, np.uint8)
    # NumPy's own string type is UCS-4: this is one conversion in C, faster than any codec.
    return np.array([text]).view(np.uint32)


def _in_latin_1(text: str) -> bytes | None:
    try:
        return text.encode(_LATIN_1)
    except UnicodeEncodeError:
        return None


def bytes_as_characters(text: str) -> str:
    """Return the UTF-8 bytes of `text`, each as the character of its number; ? for a surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode(_LATIN_1)


def label_of_byte(byte: int) -> str:
    r"""Return what stands for a byte by itself: an ASCII character, or its number as in `\xe9`."""
    return chr(byte) if byte < BYTES // 2 else f"\\x{byte:02x}"


@dataclass(frozen=True)
class _VocabularyFile:
    """What `vocabulary.json` holds."""

    format_version: int
    characters: list[str]
    special_ids: dict[str, int]
    unit: Unit = "character"
    utf8: bool = False


@dataclass(frozen=True)
class Vocabulary:
    """The characters in id order, the special ones (`<pad>`, `<unk>`, ...) first.

    A special's name has several letters and a character is a single code point, so that no text
    can ever be mistaken for a special.
    """

    characters: tuple[str, ...]
    unit: Unit = "character"
    """What an id stands for; a byte is the character of its number here."""
    is_utf8: bool = False
    """Whether the text was UTF-8, of whose bytes these are."""

    pad_id: ClassVar = 0
    """The id that fills short rows of a batch; never a target."""
    unk_id: ClassVar = 1
    """The id of every character that has none of its own."""

    @classmethod
    def from_characters(cls, chars: Iterable[str], *, lines: bool) -> Self:
        """Give ids to the distinct characters among `chars`, in sorted order.

        With `lines`, a line's begin and end have ids too. `chars` may be a text.

        Raises:
            ValueError: One is no character, but several, or half of a surrogate pair.
        """
        distinct = sorted(set(chars))
        for char in distinct:
            if len(char) != 1 or "\ud800" <= char <= "\udfff":
                raise ValueError(f"{quote(char)} is not a Unicode character")
        return cls((LINES_SPECIALS if lines else STREAM_SPECIALS) + tuple(distinct))

    @classmethod
    def from_counts(cls, counts: npt.NDArray[np.int64], *, min_count: int, lines: bool) -> Self:
        """Give ids to all code points that are counted often enough.

        Raises:
            UserError: None is, or one is half of a surrogate pair.
        """
        points = np.flatnonzero(counts >= min_count).tolist()
        if not points:
            raise UserError(
                f"no character is seen {min_count:,} times in the training part",
                hint="lower data.min_count",
            )
        try:
            return cls.from_characters(map(chr, points), lines=lines)
        except ValueError as error:
            raise UserError(
                f"the text cannot be used: {error}", hint="data.encoding may be the wrong one"
            ) from error

    @classmethod
    def of_bytes(cls, *, is_utf8: bool, lines: bool) -> Self:
        """Give ids to all bytes; `is_utf8` tells whether they are those of text."""
        characters = cls.from_characters(map(chr, range(BYTES)), lines=lines).characters
        return cls(characters, "byte", is_utf8)

    @property
    def bos_id(self) -> int | None:
        """The id that stands before a line; None in stream mode."""
        return 2 if self.has_lines else None

    @property
    def eos_id(self) -> int | None:
        """The id that ends a line; None in stream mode."""
        return 3 if self.has_lines else None

    @cached_property
    def has_lines(self) -> bool:
        """Whether this is a vocabulary of lines or examples."""
        return self.characters[: len(LINES_SPECIALS)] == LINES_SPECIALS

    @property
    def is_binary(self) -> bool:
        """Whether the ids are the bytes of something that is not text."""
        return self.unit == "byte" and not self.is_utf8

    @property
    def specials(self) -> tuple[str, ...]:
        """The names of the special ids, in id order."""
        return LINES_SPECIALS if self.has_lines else STREAM_SPECIALS

    @property
    def known(self) -> tuple[str, ...]:
        """The characters of text, in id order: all but the specials."""
        return self.characters[len(self.specials) :]

    @property
    def id_type(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The smallest unsigned type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, char: object) -> bool:
        return char in self._known

    def encode(self, text: str) -> IdArray:
        """Return the ids of the units of a text; `unk_id` for those it does not know."""
        if self._id_of_byte is not None and (latin_1 := _in_latin_1(text)) is not None:
            return np.frombuffer(latin_1.translate(self._id_of_byte), np.uint8)
        return np.take(self._id_of_code_point, code_points_of(text), mode="clip")

    def decode(self, ids: Ids) -> str:
        """Return the units of `ids`: U+FFFD for `<unk>`, nothing for the other specials.

        Raises:
            IndexError: If an id is not in the vocabulary.
        """
        points = self._code_point_of_id[ids]
        text: str = points[points != _UNPRINTED].tobytes().decode(_UTF32)
        return text

    def units_of(self, text: str) -> str:
        """Return what `encode` takes for a text that a person wrote: the bytes of UTF-8, or it."""
        return bytes_as_characters(text) if self.is_utf8 else text

    def text_of(self, units: str) -> str:
        """Return what a person reads: characters where the units are the bytes of UTF-8."""
        if not self.is_utf8 or units.isascii():
            return units
        return units.encode(_LATIN_1, "replace").decode("utf-8", "replace")

    def label(self, id_: int) -> str:
        """Return what stands for an id where it is shown by itself."""
        unit = self.characters[id_]
        is_byte = self.unit == "byte" and id_ >= len(self.specials)
        return label_of_byte(ord(unit)) if is_byte else unit

    def unknown_in(self, text: str) -> list[tuple[int, str]]:
        """Return position and character of what a person wrote and no id, or ids, stand for."""
        if self.is_utf8:  # which can spell all characters there are
            return [(at, char) for at, char in enumerate(text) if "\ud800" <= char <= "\udfff"]
        positions = np.flatnonzero(self.encode(text) == self.unk_id)
        return [(position, text[position]) for position in positions.tolist()]

    def to_json(self) -> dict[str, Any]:
        """Return what `vocabulary.json` holds."""
        value = {
            "format_version": FORMAT_VERSION,
            "characters": list(self.characters),
            "special_ids": {name.strip("<>"): id_ for id_, name in enumerate(self.specials)},
        }
        return value if self.unit == "character" else value | self._unit_to_json()

    def _unit_to_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "utf8": self.is_utf8}

    @classmethod
    def from_json(cls, data: dict[str, Any], *, source: str) -> Self:
        """Read what `to_json` made; `source` is the file's name, for messages.

        Raises:
            UserError: If anything about it is not as `to_json` would have made it.
        """
        check_format_version(
            data, Path(source), reads=FORMAT_VERSION, hint="a newer charrnn may read this"
        )
        stored = record_from_json(_VocabularyFile, data, source=source, hint=DAMAGED_HINT)
        lines = tuple(stored.characters[: len(LINES_SPECIALS)]) == LINES_SPECIALS
        chars = stored.characters[len(LINES_SPECIALS if lines else STREAM_SPECIALS) :]
        try:
            vocabulary = (
                cls.of_bytes(is_utf8=stored.utf8, lines=lines)
                if stored.unit == "byte"
                else cls.from_characters(chars, lines=lines)
            )
        except ValueError as error:
            raise damaged(source, str(error), hint=DAMAGED_HINT) from error
        if vocabulary.to_json() | vocabulary._unit_to_json() != asdict(stored):
            units = "all bytes" if stored.unit == "byte" else "characters"
            what = f"it is not the special ids and then {units} in sorted order"
            raise damaged(source, what, hint=DAMAGED_HINT)
        return vocabulary

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.known)

    @cached_property
    def _id_of_code_point(self) -> IdArray:
        """The id of every code point up to the highest known one; the last entry is `unk_id`.

        Whatever lies beyond is clipped to that last entry, which keeps the table short.
        """
        points = [ord(char) for char in self.known]
        table = np.full(max(points, default=-1) + 2, self.unk_id, self.id_type)
        table[points] = np.arange(len(self.specials), len(self))
        return table

    @cached_property
    def _id_of_byte(self) -> bytes | None:
        """The same for ASCII alone, as `bytes.translate` wants it; None if ids are wider."""
        if self.id_type != np.uint8:
            return None
        return np.take(self._id_of_code_point, np.arange(256), mode="clip").tobytes()

    @cached_property
    def _code_point_of_id(self) -> npt.NDArray[np.uint32]:
        points = [_UNPRINTED] * len(self.specials) + [ord(char) for char in self.known]
        points[self.unk_id] = ord(REPLACEMENT)
        return np.array(points, np.uint32)
