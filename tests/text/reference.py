"""How text becomes ids, in a few plain lines: everything in memory, one character at a time.

Slow and obvious; what charrnn does in chunks and tables is held to it.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import groupby

from charrnn.text.corpus import TextOptions


@dataclass(frozen=True)
class Reference:
    """What a corpus must hold."""

    train: list[str]
    """Characters of a stream, or examples."""
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


def examples_of(text: str, separator: str) -> list[str]:
    """The examples of one file, of which the last line end is no part."""
    whole = text if text.endswith("\n") or not text else text + "\n"
    whole = whole.replace("\r\n", "\n")
    if separator == "blank":
        groups = groupby(whole.split("\n"), key=lambda line: not line.strip())
        return ["\n".join(lines) for is_blank, lines in groups if not is_blank]
    if separator == "file":
        *examples, last = [whole]
    else:
        *examples, last = whole.split("\n" if separator == "line" else separator)
    return [example for example in [*examples, last.removesuffix("\n")] if example]


def reference(files: list[bytes], options: TextOptions) -> Reference:
    if options.mode == "stream":
        units = list(whole_text(files, options))
    else:
        texts = [whole_text([content], options) for content in files]
        examples = [each for text in texts for each in examples_of(text, options.separator)]
        units = [example[: options.cut_at] for example in examples]
    cut = int(len(units) * (1 - options.valid_fraction))
    counts = Counter("".join(units[:cut]))
    characters = sorted(char for char, count in counts.items() if count >= options.min_count)
    return Reference(units[:cut], units[cut:], characters)
