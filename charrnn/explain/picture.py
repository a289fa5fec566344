"""What a view wants to be seen, before it is known where: in a terminal, a plot or a page.

Every view turns its numbers into a `Picture`; `terminal.py`, `plots.py` and `page.py` draw any
picture. Nothing here computes or draws.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from charrnn.console import escape_controls

Numbers = dict[str, Any]
"""What a view computed, as `--json` prints it."""


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


Piece = tuple[str, float | None]
"""What is shown in one piece, a character with the marks that stand on it, and its number."""


def pieces_of(text: ColouredText) -> list[Piece]:
    """Cut a text into pieces, a line end shown as ⏎ and control characters escaped.

    The number of a piece is that of its character farthest from 0.
    """
    begins = [
        at
        for at, char in enumerate(text.characters)
        if at == 0 or not unicodedata.category(char[0]).startswith("M")
    ]
    pieces: list[Piece] = []
    for begin, end in pairwise([*begins, len(text.characters)]):
        shown = "".join(text.characters[begin:end])
        known = [number for number in text.shown[begin:end] if number is not None]
        number = max(known, key=abs, default=None)
        pieces.append(("⏎" if shown == "\n" else escape_controls(shown, keep=frozenset()), number))
    return pieces


def visible(char: str) -> str:
    r"""How a character is written where it stands alone: space as ␣, line end as \n.

    The name of a special one, <unk>, is left as it is.
    """
    if char == " ":
        return "␣"
    if len(char) == 1 and unicodedata.category(char).startswith("M"):
        return f"◌{char}"
    return escape_controls(char, keep=frozenset())
