"""Pictures in a terminal, by Rich: in colours, and in characters alone where there are none.

Charts are drawn on a grid of characters, one mark for each series, so that a pipe, NO_COLOR and a
colour-blind reader lose nothing. Where there are no colours, the number of a coloured character
stands under it as the height of a block.
"""

import math
from collections.abc import Sequence
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
from charrnn.explain.picture import (
    SERIES,
    Bars,
    Chart,
    ColouredText,
    Picture,
    Table,
    colour_of,
    lines_of,
)
from charrnn.messages import one_line

MARKS = "●○▲△■□◆◇"
BLOCKS = " ▁▂▃▄▅▆▇█"
ROWS = 16
WIDEST = 100
BLACK = Color.from_rgb(0, 0, 0)

Cell = tuple[str, str]
"""What stands in one cell of a chart, and its style; "" is the second half of a wide character."""


def drawn(picture: Picture, *, width: int, colours: str | None) -> str:
    """Draw a picture as text, with escape codes unless `colours`, Rich's colour system, is None."""
    system: Any = colours
    console = RichConsole(
        file=StringIO(),
        width=min(width, WIDEST),
        force_terminal=colours is not None,
        color_system=system,
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        _print(console, picture.title, "bold")
        for sentence in picture.sentences:
            _print(console, sentence)
        if picture.equations:
            _print(console, f"\n{picture.equations}")
        if picture.text is not None:
            _print(console, f"\n{picture.text.title}", "italic")
            _print_text(console, picture.text, colours=colours is not None)
        for chart in picture.charts:
            _print(console, f"\n{chart.title}", "italic")
            console.print(_bars(chart) if isinstance(chart, Bars) else _chart(chart, console.width))
        for table in picture.tables:
            _print(console, f"\n{table.title}", "italic")
            console.print(_table(table))
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n"))


def _print(console: RichConsole, text: str, style: str = "") -> None:
    console.print(Text(escape_controls(text), style))


def _print_text(console: RichConsole, text: ColouredText, *, colours: bool) -> None:
    for line in lines_of(text, console.width, cell_len):
        row, heights = Text(no_wrap=True), ""
        for shown, number in line:
            colour = colour_of(number, text.most) if colours else None
            row.append(shown, colour and Style(color=BLACK, bgcolor=Color.from_rgb(*colour)))
            heights += _block(number, text.most) * cell_len(shown)
        console.print(row)
        if not colours:
            console.print(Text(heights.rstrip(), no_wrap=True))


def _block(number: float | None, most: float | None) -> str:
    if number is None:
        return " "
    share = number / most if most else (number + 1) / 2
    return BLOCKS[max(0, min(len(BLOCKS) - 1, round(share * (len(BLOCKS) - 1))))]


class _Axis:
    """Numbers along one side of a chart, in so many cells."""

    def __init__(self, values: Sequence[float], cells: int, *, log: bool, is_share: bool) -> None:
        self._log, self._cells = log, cells
        low, high = (0.0, 1.0) if is_share else (min(values), max(values))
        self._low, self._high = self._scaled(low), self._scaled(high)
        if self._low == self._high:
            self._high += 1

    def cell(self, value: float) -> int:
        """The cell that a value falls into."""
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return round(min(1.0, max(0.0, share)) * (self._cells - 1))

    def written(self, cell: int) -> str:
        """The value in the middle of a cell."""
        value = self._low + cell / (self._cells - 1) * (self._high - self._low)
        return f"{10**value if self._log else value:.4g}"

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._log else value


def _chart(chart: Chart, width: int) -> Text:
    """Draw series on a grid of characters, with some values beside the axes."""
    ys = [y for series in chart.series for y in series.y]
    up = _Axis(ys, ROWS, log=chart.log_y, is_share=chart.is_share)
    ticks = {row: up.written(row) for row in range(0, ROWS, (ROWS - 1) // 3)}
    margin = max(map(len, ticks.values())) + 1
    columns = max(10, width - margin - 2)
    xs = [x for series in chart.series for x in series.x]
    across = _Axis(xs, columns, log=chart.log_x, is_share=chart.is_share)
    grid: list[list[Cell]] = [[(" ", "")] * columns for _ in range(ROWS)]
    legend = Text()
    for number, series in enumerate(chart.series):
        style = SERIES[number % len(SERIES)]
        mark = {"level": "╌", "guide": "·"}.get(series.style, MARKS[number % len(MARKS)])
        if series.style == "level":
            row = grid[up.cell(series.y[0])]
            row[:] = [(mark, style) if old == " " else (old, kept) for old, kept in row]
            continue
        for at, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
            _put(
                grid[up.cell(y)],
                across.cell(x),
                series.labels[at] if series.labels else mark,
                style,
            )
        name = escape_controls(series.name)
        legend.append(f"{name}   " if series.labels else f"{mark} {name}   ", style)
    if levels := [series.name for series in chart.series if series.style == "level"]:
        legend.append(f"╌ {escape_controls(levels[0])} to {escape_controls(levels[-1])}")
    text = Text(f"{'':>{margin}} {escape_controls(chart.y_label)}\n", no_wrap=True)
    for number in reversed(range(ROWS)):
        text.append(f"{ticks.get(number, ''):>{margin}}│")
        for shown, style in grid[number]:
            text.append(shown, style)
        text.append("\n")
    low, high = across.written(0), across.written(columns - 1)
    middle = columns - len(low) - len(high)
    label = escape_controls(chart.x_label)[: max(0, middle)]
    text.append(f"{'':>{margin}}└{'─' * columns}\n")
    text.append(f"{'':>{margin + 1}}{low}{label:^{max(0, middle)}}{high}\n")
    return text.append_text(legend)


def _put(row: list[Cell], column: int, label: str, style: str) -> None:
    """Write a label over a row of cells; a wide character takes two, a mark none of its own."""
    for char in escape_controls(label, keep=frozenset()):
        width = cell_len(char)
        if column + width > len(row):
            return
        if width == 0:
            row[column - 1] = (row[column - 1][0] + char, style)
            continue
        if row[column][0] == "":
            row[column - 1] = (" ", "")  # half of a wide one is not left standing
        row[column : column + width] = [(char, style), ("", "")][:width]
        column += width
        if column < len(row) and row[column][0] == "":
            row[column] = (" ", "")


def _bars(bars: Bars) -> RichTable:
    table = RichTable(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    most = max(bars.values)
    for name, value in zip(bars.names, bars.values, strict=True):
        marker, style = ("→ ", "bold") if name == bars.highlighted else ("  ", "")
        table.add_row(
            Text(f"{marker}{escape_controls(name)}", style),
            Text(f"{value:.3f}", style),
            Bar(most, 0, value),
        )
    return table


def _table(table: Table) -> RichTable:
    drawn_table = RichTable(box=None, padding=(0, 2, 0, 0))
    for at, column in enumerate(table.columns):
        justify: Any = "right" if table.is_number(at) else "left"
        drawn_table.add_column(Text(escape_controls(column)), justify=justify, no_wrap=at == 0)
    for row in table.rows:
        drawn_table.add_row(*(Text(one_line(cell)) for cell in row))
    return drawn_table
