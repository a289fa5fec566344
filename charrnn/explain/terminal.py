"""Pictures in a terminal, by Rich: in colours, and in characters alone where there are none.

Charts are drawn on a grid of characters, one mark for each series, so that a pipe, NO_COLOR and a
colour-blind reader lose nothing. Under a coloured text stands its number as the height of a block,
where there are no colours.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from rich.bar import Bar
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console as RichConsole
from rich.style import Style
from rich.table import Table as RichTable
from rich.text import Text

from charrnn.console import escape_controls
from charrnn.explain.colours import SERIES, colour_of
from charrnn.explain.picture import (
    Bars,
    Channel,
    Chart,
    ColouredText,
    Picture,
    Series,
    Table,
    clusters_of,
    number_of,
)

MARKS = "●○▲△■□◆◇"
BLOCKS = " ▁▂▃▄▅▆▇█"
HEIGHT = 16
WIDEST = 100
NUMERIC = frozenset("0123456789.,+-%e ")
BLACK = Color.from_rgb(0, 0, 0)


def drawn(picture: Picture, *, width: int, colours: str | None) -> str:
    """Draw a picture as text, with escape codes unless `colours`, Rich's colour system, is None."""
    system: Any = colours
    console = RichConsole(
        file=StringIO(),
        width=min(width, WIDEST),
        force_terminal=colours is not None,
        color_system=system,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(Text(escape_controls(picture.title), style="bold"))
        for sentence in picture.sentences:
            console.print(Text(escape_controls(sentence)))
        if picture.equations:
            console.print(Text(f"\n{escape_controls(picture.equations)}"))
        if picture.text is not None:
            _print_text(console, picture.text, colours=colours is not None)
        for chart in picture.charts:
            console.print()
            console.print(Text(escape_controls(chart.title), style="italic"))
            console.print(_bars(chart) if isinstance(chart, Bars) else _chart(chart, console.width))
        for table in picture.tables:
            console.print()
            console.print(Text(escape_controls(table.title), style="italic"))
            console.print(_table(table))
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n"))


# --- Texts ---------------------------------------------------------------------------------------


def _print_text(console: RichConsole, text: ColouredText, *, colours: bool) -> None:
    channel = text.channels[0]
    console.print()
    console.print(Text(escape_controls(text.title), style="italic"))
    for line in _wrapped(_cells(text, channel), console.width):
        row, heights = Text(no_wrap=True), ""
        for shown, value in line:
            row.append(shown, _style(value, channel) if colours else None)
            heights += _block(value, channel) * cell_len(shown)
        console.print(row)
        if not colours:
            console.print(Text(heights.rstrip(), no_wrap=True))


def _cells(text: ColouredText, channel: Channel) -> Iterator[tuple[str, float | None, bool]]:
    """Yield what is shown in one piece, its number, and whether a line ends with it."""
    for cluster in clusters_of(text.characters):
        shown = "".join(text.characters[at] for at in cluster)
        ends_line = shown == "\n"
        shown = "⏎" if ends_line else escape_controls(shown, keep=frozenset())
        yield shown, number_of(cluster, channel), ends_line


def _wrapped(
    cells: Iterable[tuple[str, float | None, bool]], width: int
) -> Iterator[list[tuple[str, float | None]]]:
    """Cut cells into lines, where the text has its own and where the width ends."""
    line: list[tuple[str, float | None]] = []
    used = 0
    for shown, number, ends_line in cells:
        if line and used + cell_len(shown) > width:
            yield line
            line, used = [], 0
        line.append((shown, number))
        used += cell_len(shown)
        if ends_line:
            yield line
            line, used = [], 0
    if line:
        yield line


def _style(value: float | None, channel: Channel) -> Style | None:
    colour = colour_of(value, channel.most)
    return None if colour is None else Style(color=BLACK, bgcolor=Color.from_rgb(*colour))


def _block(value: float | None, channel: Channel) -> str:
    if value is None or not math.isfinite(value):
        return " "
    share = value / channel.most if channel.most else (value + 1) / 2
    return BLOCKS[max(0, min(len(BLOCKS) - 1, round(share * (len(BLOCKS) - 1))))]


# --- Charts --------------------------------------------------------------------------------------


def _chart(chart: Chart, width: int) -> Text:
    """Draw series on a grid of characters, with the values at the ends of the axes."""
    across = _Axis([x for each in chart.series for x in each.x], chart.x_range, log=chart.log_x)
    up = _Axis([y for each in chart.series for y in each.y], chart.y_range, log=chart.log_y)
    ticks = up.ticks(HEIGHT)
    margin = max(map(len, ticks.values())) + 1
    columns = max(10, width - margin - 2)
    grid: list[list[tuple[str, str | None]]] = [[(" ", None)] * columns for _ in range(HEIGHT)]
    legend = Text()
    for number, series in enumerate(chart.series):
        mark, style = MARKS[number % len(MARKS)], SERIES[number % len(SERIES)]
        mark = {"level": "╌", "guide": "·"}.get(series.style, mark)
        _put(grid, series, across, up, mark, style)
        name = escape_controls(series.name)
        if series.style != "level":
            legend.append(f"{name}   " if series.labels else f"{mark} {name}   ", style)
    if levels := [series.name for series in chart.series if series.style == "level"]:
        legend.append(f"╌ {levels[0]} to {levels[-1]}")
    text = Text(no_wrap=True)
    for row in range(HEIGHT):
        text.append(f"{ticks.get(row, ''):>{margin}}│")
        for mark, mark_style in grid[HEIGHT - 1 - row]:
            text.append(mark, mark_style)
        text.append("\n")
    low, high = across.ends()
    text.append(f"{'':>{margin}}└{'─' * columns}\n")
    middle = chart.x_label[: max(0, columns - len(low) - len(high) - 2)]
    text.append(f"{'':>{margin + 1}}{low}{middle:^{columns - len(low) - len(high)}}{high}\n")
    return text.append_text(legend)


def _put(
    grid: list[list[tuple[str, str | None]]],
    series: Series,
    across: "_Axis",
    up: "_Axis",
    mark: str,
    style: str,
) -> None:
    height, width = len(grid), len(grid[0])
    if series.style == "level":
        row = up.place(series.y[0], height)
        grid[row] = [(mark, style) if old == " " else (old, kept) for old, kept in grid[row]]
        return
    for at, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        row, column = up.place(y, height), across.place(x, width)
        for char in series.labels[at] if series.labels else mark:
            if column < width:
                grid[row][column] = (char, style)
            column += 1


class _Axis:
    """Numbers along one side of a chart."""

    def __init__(
        self, values: Sequence[float], given: tuple[float, float] | None, *, log: bool
    ) -> None:
        self._log = log
        low, high = given or (min(values, default=0), max(values, default=1))
        self._low, self._high = self._scaled(low), self._scaled(high)
        if self._low == self._high:
            self._high += 1

    def place(self, value: float, cells: int) -> int:
        """The cell that a value falls into, of so many."""
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return max(0, min(cells - 1, round(share * (cells - 1))))

    def ends(self) -> tuple[str, str]:
        """Both ends, written."""
        return self._written(0), self._written(1)

    def ticks(self, cells: int) -> dict[int, str]:
        """What is written at some rows, counted from the top."""
        return {
            round((1 - share) * (cells - 1)): self._written(share) for share in (0, 1 / 3, 2 / 3, 1)
        }

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self._log else value

    def _written(self, share: float) -> str:
        value = self._low + share * (self._high - self._low)
        return f"{10**value if self._log else value:.4g}"


def _bars(bars: Bars) -> RichTable:
    table = RichTable(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    most = max(bars.values)
    for name, value in zip(bars.names, bars.values, strict=True):
        style = "bold" if name == bars.highlighted else ""
        marker = "→ " if name == bars.highlighted else "  "
        table.add_row(
            Text(f"{marker}{name}", style), Text(f"{value:.3f}", style), Bar(most, 0, value)
        )
    return table


def _table(table: Table) -> RichTable:
    drawn_table = RichTable(box=None, padding=(0, 2, 0, 0))
    for at, column in enumerate(table.columns):
        is_number = at > 0 and all(set(row[at]) <= NUMERIC for row in table.rows)
        drawn_table.add_column(
            Text(escape_controls(column)),
            justify="right" if is_number else "left",
            no_wrap=at == 0,
        )
    for row in table.rows:
        drawn_table.add_row(*(Text(escape_controls(cell)) for cell in row))
    return drawn_table
