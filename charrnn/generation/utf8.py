"""Characters out of the bytes of UTF-8: which byte may come next, and when a character is whole.

Text that is made byte by byte is valid at every moment: a byte that cannot go on with the character
that was begun is never drawn, and a character is text only when it is whole. The bytes of a
character are those of RFC 3629, section 4. Imported for a network that reads bytes of text.

Shapes: V vocabulary.
"""

from functools import cached_property

import numpy as np

from charrnn.errors import UserError
from charrnn.generation.options import GenerationOptions
from charrnn.generation.sampling import BoolArray
from charrnn.text.vocabulary import Vocabulary

ASCII = range(0x80)
LEADS = range(0xC2, 0xF5)
CONTINUATIONS = range(0x80, 0xC0)
SECONDS = {
    0xE0: range(0xA0, 0xC0),  # less would fit into two bytes
    0xED: range(0x80, 0xA0),  # more would be a surrogate
    0xF0: range(0x90, 0xC0),  # less would fit into three bytes
    0xF4: range(0x80, 0x90),  # more is beyond Unicode
}
"""The second bytes after these first ones; after all others it is any of `CONTINUATIONS`."""


class Utf8:
    """What characters that may be written are spelled like; shared by all texts of a generation."""

    def __init__(self, vocabulary: Vocabulary, options: GenerationOptions) -> None:
        """Leave out what `allow` and `ban` do.

        Raises:
            UserError: They leave no character at all.
        """
        self._specials = len(vocabulary.specials)
        self._size = len(vocabulary)
        self._eos_id = vocabulary.eos_id
        allowed = None if options.allow is None else set(options.allow) - set(options.ban)
        self._beginnings = None if allowed is None else {*_beginnings(allowed)}
        """Every beginning of what may be written, whole characters included; None: all may."""
        self._banned = {char.encode() for char in options.ban}
        self._masks: dict[bytes, BoolArray] = {}
        if not self.following(b"").any():
            raise UserError("`allow` and `ban` leave no character to be written")

    def following(self, begun: bytes) -> BoolArray:
        """The ids that may come after the first bytes of a character, perhaps none, (V,)."""
        if begun not in self._masks:
            mask_V = np.zeros(self._size, np.bool_)
            for byte in _next_bytes(begun):
                mask_V[byte + self._specials] = self._is_possible(begun + bytes([byte]))
            self._masks[begun] = mask_V
        return self._masks[begun]

    @cached_property
    def beginning_or_end(self) -> BoolArray:
        """The ids that may come where a text may end, (V,)."""
        mask_V = self.following(b"").copy()
        if self._eos_id is not None:
            mask_V[self._eos_id] = True
        return mask_V

    def _is_possible(self, begun: bytes) -> bool:
        """Whether bytes are a character that may be written, or begin one."""
        if self._beginnings is not None:
            return begun in self._beginnings
        if is_whole(begun):
            return begun not in self._banned
        if not any(banned.startswith(begun) for banned in self._banned):
            return True
        return any(self._is_possible(begun + bytes([byte])) for byte in _next_bytes(begun))


class Speller:
    """The character that one text has begun."""

    def __init__(self, utf8: Utf8) -> None:
        self.utf8 = utf8
        self.begun = b""

    def following(self) -> BoolArray:
        """The ids that may come next if the text does not end, (V,)."""
        return self.utf8.following(self.begun)

    def feed(self, unit: str) -> str:
        """Take the next byte, as the character of its number; return a character that is whole."""
        self.begun += unit.encode("latin-1")
        if not is_whole(self.begun):
            return ""
        char, self.begun = self.begun.decode(), b""
        return char


def is_whole(begun: bytes) -> bool:
    """Whether so many bytes are a whole character, as its first one says."""
    lead = begun[0]
    return len(begun) == 1 + (lead >= LEADS.start) + (lead >= 0xE0) + (lead >= 0xF0)


def _next_bytes(begun: bytes) -> list[int]:
    if not begun:
        return [*ASCII, *LEADS]
    return list(SECONDS.get(begun[0], CONTINUATIONS) if len(begun) == 1 else CONTINUATIONS)


def _beginnings(characters: set[str]) -> list[bytes]:
    spelled = [char.encode() for char in characters]
    return [each[:size] for each in spelled for size in range(1, len(each) + 1)]
