"""What a view wants to be seen, before it is known where: in a terminal, a plot or a page.

Every view turns its numbers into a `Picture`, and `terminal.py`, `plots.py` and `page.py` draw any
picture. Nothing here computes or draws.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Protocol


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Series over two axes."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Bars:
    """One horizontal bar for each name."""

    title: str
    x_label: str
    names: Sequence[str]
    values: Sequence[float]
    highlighted: str
    """The bar that the reader is looking for."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text; the first column names each row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One number for each character of a text, and so a colour."""

    name: str
    values: Sequence[float | None]
    """0 to `most`, or -1 to 1 where `most` is None; None: nothing is known of this one."""
    most: float | None = None


@dataclass(frozen=True, kw_only=True)
class ColouredText:
    """A text whose characters are coloured by a number; of several channels one is shown."""

    title: str
    characters: Sequence[str]
    channels: Sequence[Channel]
    likeliest: Sequence[Sequence[tuple[str, float]] | None] = ()
    """For each character, what was most probable in its place; empty if that is not known."""
    unit: str = ""
    """What the numbers count: bits."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Everything that one view shows."""

    title: str
    sentences: Sequence[str]
    """What the numbers say, in words."""
    text: ColouredText | None = None
    charts: Sequence[Chart | Bars] = ()
    tables: Sequence[Table] = field(default_factory=tuple)
    equations: str = ""
    """Preformatted lines."""


class Numbers(Protocol):
    """What a view computed."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""

    def picture(self) -> Picture:
        """What is shown of it."""


def clusters_of(characters: Sequence[str]) -> list[range]:
    """Cut a text into what is shown in one piece: a character with the marks that stand on it."""
    begins = [
        at
        for at, char in enumerate(characters)
        if at == 0 or not unicodedata.category(char or " ").startswith("M")
    ]
    return [range(begin, end) for begin, end in pairwise([*begins, len(characters)])]


def number_of(cluster: range, channel: Channel) -> float | None:
    """The number that a cluster is coloured by: that of its character farthest from 0."""
    known = [number for at in cluster if (number := channel.values[at]) is not None]
    return max(known, key=abs, default=None)


def visible(char: str) -> str:
    r"""How a character is written where it stands alone: space as ␣, line end as \n."""
    if char == " ":
        return "␣"
    if unicodedata.combining(char):
        return f"◌{char}"
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
