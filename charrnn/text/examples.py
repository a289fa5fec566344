r"""Examples: the parts that a separator divides a text into, each learned with a begin and an end.

A separator is a name (`line`, `blank`, `file`) or the very text that stands between two examples.
"""

import re
from collections.abc import Iterable, Iterator

from charrnn.text.decoding import whole_lines

LINE, BLANK, FILE = "line", "blank", "file"
SEPARATOR_TEXTS = {LINE: "\n", BLANK: "\n\n", FILE: ""}
SPACES_ON_A_LINE = re.compile(r"\n[^\S\n]+(?=\n)")


def separator_text(separator: str) -> str:
    """Return what stands between two examples; nothing where each is a file."""
    return SEPARATOR_TEXTS.get(separator, separator)


def examples_of(
    texts: Iterable[str], separator: str, *, is_exact: bool = False
) -> Iterator[list[str]]:
    r"""Yield the examples of one file, in lists as they become complete, empty ones too.

    A `\r` before a line end is dropped. The last line end of a file is no part of an example, and
    of blank lines it does not matter how many there are, or whether spaces stand on them.

    Args:
        texts: The file's text, in parts of any size.
        separator: What divides it; the end of the file always does.
        is_exact: Keep the `\r` all the same, as bytes are kept.
    """
    lines = whole_lines(texts, is_exact=is_exact)
    if separator == FILE:
        yield ["".join(lines).removesuffix("\n")]
    elif separator == BLANK:
        bare = (SPACES_ON_A_LINE.sub("\n", "\n" + part)[1:] for part in lines)
        for paragraphs in _divided(bare, "\n\n"):
            yield [text for paragraph in paragraphs if (text := paragraph.strip("\n"))]
    else:
        yield from _divided(lines, separator_text(separator))


def examples_in(text: str, between: str, *, is_exact: bool = False) -> list[str]:
    """Divide a whole text as a file is, by what `separator_text` says stands between examples."""
    names = {between: name for name, between in SEPARATOR_TEXTS.items()}
    divided = examples_of([text], names.get(between, between), is_exact=is_exact)
    return [example for examples in divided for example in examples if example]


def _divided(texts: Iterable[str], separator: str) -> Iterator[list[str]]:
    """Divide a text of whole lines from left to right, in whatever parts it comes."""
    held, enough = "", 0
    for text in texts:
        held += text
        if len(held) >= enough:  # what grows is searched when it has doubled: linear time in all
            *examples, held = held.split(separator)
            yield examples
            enough = 2 * len(held)
    *examples, rest = held.split(separator)
    rest = rest.removesuffix("\n")
    yield [*examples, rest] if rest else examples
