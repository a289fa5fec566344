"""What a view wants to be seen, before it is known where: in a terminal, a plot or a page.

Every view turns its numbers into a `Picture`; `terminal.py`, `plots.py` and `page.py` draw any
picture, in the same colours. Nothing here computes or draws.
"""

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from charrnn.console import escape_controls, escaped

Numbers = dict[str, Any]
"""What a view computed, as `--json` prints it."""

Rgb = tuple[int, int, int]
NUMERIC = frozenset("0123456789.,+-%e ")
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#a08c00")
POSITIVE: Rgb = (240, 120, 50)
NEGATIVE: Rgb = (80, 155, 235)
WHITE: Rgb = (255, 255, 255)
"""These can be told apart by readers with any of the common kinds of colour blindness (Okabe & Ito
2008), and letters in black can be read on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points that belong together."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: Literal["line", "points", "level", "guide"] = "line"
    """level: a horizontal line at y[0] through the whole chart; guide: a line to compare with."""
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    """The spread about y, where there is one."""
    labels: Sequence[str] = ()
    """points: what to write in the place of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Series over two axes."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False
    is_share: bool = False
    """Both axes go from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """One horizontal bar for each name."""

    title: str
    names: Sequence[str]
    values: Sequence[float]
    highlighted: str
    """The bar that the reader is looking for."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; the first column names each row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def is_number(self, column: int) -> bool:
        """Whether there are only numbers in a column."""
        return column > 0 and all(set(row[column]) <= NUMERIC for row in self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColouredText:
    """A text whose characters are coloured by a number each; of several channels one is shown."""

    title: str
    characters: Sequence[str]
    channels: dict[str, Sequence[float | None]]
    """Numbers by name: 0 to `most`, or -1 to 1 without; None: nothing is known of a character."""
    most: float | None = None
    unit: str = ""
    likeliest: Sequence[Sequence[tuple[str, float]] | None] = ()
    """For each character, what was most probable in its place; empty if that is not known."""

    @property
    def shown(self) -> Sequence[float | None]:
        """The numbers of the channel that is shown where there can be only one."""
        return next(iter(self.channels.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Everything that one view shows."""

    title: str
    sentences: Sequence[str] = ()
    """What the numbers say, in words."""
    equations: str = ""
    """Preformatted lines."""
    text: ColouredText | None = None
    charts: Sequence[Chart | Bars] = ()
    tables: Sequence[Table] = ()


JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
Piece = tuple[str, float | None]
"""What is shown in one piece, a character with the marks that stand on it, and its number."""


def pieces_of(text: ColouredText) -> list[Piece]:
    """Cut a text into pieces, a line end shown as ⏎ and what cannot be seen escaped, but spaces.

    The number of a piece is that of its character farthest from 0.
    """
    begins = [
        at
        for at, char in enumerate(text.characters)
        if at == 0 or text.characters[at - 1] == "\n" or not _joins(char)
    ]
    pieces: list[Piece] = []
    for begin, end in pairwise([*begins, len(text.characters)]):
        shown = "".join(text.characters[begin:end])
        known = [number for number in text.shown[begin:end] if number is not None]
        number = max(known, key=abs, default=None)
        pieces.append((_written(shown), number))
    return pieces


def _joins(char: str) -> bool:
    """Whether a character belongs to the one before it: a mark, or a joiner."""
    return unicodedata.category(char[0]).startswith("M") or char in JOINERS


def _written(piece: str) -> str:
    if piece == "\n":
        return "⏎"
    is_space = len(piece) == 1 and unicodedata.category(piece) == "Zs"
    return piece if is_space else visible(piece)


def lines_of(
    text: ColouredText, columns: int, width_of: Callable[[str], int]
) -> Iterator[list[Piece]]:
    """Cut a text into lines, where it has its own and where the columns end."""
    line: list[Piece] = []
    width = 0
    for piece in pieces_of(text):
        width += width_of(piece[0])
        if line and (line[-1][0] == "⏎" or width > columns):
            yield line
            line, width = [], width_of(piece[0])
        line.append(piece)
    yield line


def whole_characters(units: Sequence[str]) -> tuple[list[str], list[int]]:
    r"""Join bytes to the characters that they spell in UTF-8.

    Args:
        units: what stands for each byte: an ASCII character, or its number as in `\xe9`.

    Returns:
        The characters, a byte of no character as it was; and where each begins among the bytes,
        and where the last one ends.
    """
    spelled = bytes(
        ord(unit) if len(unit) == 1 else int(unit.removeprefix("\\x"), 16) for unit in units
    )
    characters, begins = [], [0]
    for char in spelled.decode("utf-8", "surrogateescape"):
        at, is_byte = begins[-1], "\udc80" <= char <= "\udcff"
        characters.append(units[at] if is_byte else char)
        begins.append(at + (1 if is_byte else len(char.encode())))
    return characters, begins


def visible(char: str) -> str:
    r"""How a character is written where it stands alone: space as ␣, line end as \n, U+AD as \xad.

    The name of a special one, <unk>, is left as it is.
    """
    if char == " ":
        return "␣"
    if unicodedata.category(char[0]).startswith("M"):
        return f"◌{char}"
    if len(char) == 1:
        return char if char.isprintable() else escaped(char)
    return escape_controls(char, keep=frozenset())


def colour_of(value: float | None, most: float | None) -> Rgb | None:
    """The background of a character; None where nothing is known of it.

    From white at 0 to orange at `most`; without `most`, from blue at -1 through white to orange.
    """
    if value is None or not math.isfinite(value):
        return None
    share = max(-1.0, min(1.0, value / most if most else value))
    full = POSITIVE if share >= 0 else NEGATIVE
    red, green, blue = (
        round(light + (dark - light) * abs(share)) for light, dark in zip(WHITE, full, strict=True)
    )
    return red, green, blue
