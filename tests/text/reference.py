"""How text becomes ids, in a few plain lines: everything in memory, one character at a time.

Slow and obvious; what charrnn does in chunks and tables is held to it.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass

from charrnn.text.corpus import TextOptions


@dataclass(frozen=True)
class Reference:
    """What a corpus must hold."""

    train: list[str]
    """Characters in stream mode, lines in lines mode."""
    valid: list[str]
    characters: list[str]
    """The vocabulary without its specials."""


def whole_text(files: list[bytes], options: TextOptions) -> str:
    text = ""
    for content in files:
        if text and not text.endswith("\n") and decoded(content, options):
            text += "\n"
        text += decoded(content, options)
    return unicodedata.normalize("NFC", text) if options.normalize == "nfc" else text


def decoded(content: bytes, options: TextOptions) -> str:
    return content.decode(options.encoding, options.errors).removeprefix("\ufeff")


def lines_of(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return [line for line in lines if line]


def reference(files: list[bytes], options: TextOptions) -> Reference:
    text = whole_text(files, options)
    units = lines_of(text) if options.mode == "lines" else list(text)
    cut = int(len(units) * (1 - options.valid_fraction))
    counts = Counter("".join(units[:cut]))
    characters = sorted(char for char, count in counts.items() if count >= options.min_count)
    return Reference(units[:cut], units[cut:], characters)
