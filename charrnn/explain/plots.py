"""Pictures as SVG and PNG, by matplotlib, which is imported by nothing else."""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from charrnn.errors import UserError
from charrnn.explain.picture import (
    SERIES,
    Bars,
    Chart,
    ColouredText,
    Picture,
    Series,
    colour_of,
    lines_of,
)
from charrnn.messages import one_line, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans Devanagari", "Noto Sans Arabic")
TEXT_FONTS = ("DejaVu Sans Mono", "Noto Sans Mono CJK SC", *FONTS)
CHART_INCHES = (7.0, 4.2)
TEXT_COLUMNS = 80
TEXT_LINES = 24
CELL_INCHES = (0.1, 0.21)
ESCAPED_IN_A_CELL = 3
DOTS_PER_INCH = 144
GREY = "#7f7f7f"
LONGEST_NAME = 40
LEVEL_SHARE = 0.03
"""The height of a level's name, as a share of the chart's."""


def require_matplotlib() -> None:
    """Make sure that plots can be drawn.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UserError(
            "plots need matplotlib, which is not installed",
            hint="`pip install 'charrnn-cli[plots]'` brings it",
        ) from error
    mpl.use("agg")


def plotted(picture: Picture, kind: str) -> bytes:
    """Draw the charts of a picture, or if it has none its text, as `svg` or `png`."""
    with _settings(picture.title):
        if picture.text is None:
            figure = _figure_of_charts(picture.charts)
        else:
            figure = _figure_of_text(picture.text)
        return _saved(figure, kind)


def chart_as_svg(chart: Chart | Bars) -> str:
    """Draw one chart as an SVG element, to stand in a page: black is the colour of its text."""
    with _settings(chart.title):
        svg = _saved(_figure_of_charts([chart]), "svg", transparent=True).decode()
    return svg[svg.index("<svg") :].replace("#000000", "currentColor")


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    """Draw alike on every machine, with text as text, whatever a user's own settings are."""
    import matplotlib as mpl

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": _installed(FONTS),
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")  # a box is drawn instead
        yield


def _installed(fonts: Sequence[str]) -> list[str]:
    """The fonts that this machine has; matplotlib would complain of every other one."""
    from matplotlib.font_manager import get_font_names

    names = set(get_font_names())
    return [font for font in fonts if font in names]


def _saved(figure: "Figure", kind: str, *, transparent: bool = False) -> bytes:
    file = io.BytesIO()
    metadata = {"Date": None, "Creator": "charrnn"} if kind == "svg" else {}
    figure.savefig(file, format=kind, metadata=metadata, dpi=DOTS_PER_INCH, transparent=transparent)
    return file.getvalue()


def _plain(text: str) -> str:
    """Escape control characters, and dollar signs, which would be read as mathematics."""
    return one_line(text).replace("$", r"\$")


def _name(text: str) -> str:
    """A name that leaves room for what it is the name of."""
    return _plain(shorten(text, LONGEST_NAME))


# --- Charts --------------------------------------------------------------------------------------


def _figure_of_charts(charts: Sequence[Chart | Bars]) -> "Figure":
    from matplotlib.figure import Figure

    size = CHART_INCHES if len(charts) == 1 else (4.0 * len(charts), 4.0)
    figure = Figure(figsize=size, layout="constrained")
    for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        axes.set_title(_plain(chart.title), loc="left")
        if isinstance(chart, Bars):
            colours = [SERIES[name == chart.highlighted] for name in chart.names]
            names = list(map(_name, chart.names))
            drawn = axes.barh(names, list(chart.values), color=colours)
            axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
            axes.margins(x=0.08)
            axes.invert_yaxis()
        else:
            _draw_chart(axes, chart)
    return figure


def _draw_chart(axes: "Axes", chart: Chart) -> None:
    axes.set_xlabel(_plain(chart.x_label))
    axes.set_ylabel(_name(chart.y_label))
    if chart.log_x:
        axes.set_xscale("log")
        axes.set_xticks(chart.series[0].x, [f"{x:g}" for x in chart.series[0].x])
        axes.minorticks_off()
    if chart.log_y:
        axes.set_yscale("log")
    if chart.is_share:
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    levels = [series for series in chart.series if series.style == "level"]
    others = [series for series in chart.series if series.style != "level"]
    for number, series in enumerate(others):
        _draw_series(axes, series, SERIES[number % len(SERIES)], dashed=number >= len(SERIES))
    _draw_levels(axes, levels)
    if len(others) > 1:
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
        axes.legend(**beside if all(series.labels for series in others) else {})


def _draw_levels(axes: "Axes", levels: Sequence[Series]) -> None:
    """Draw horizontal lines, each with its name at the right where there is room for it."""
    for level in levels:
        axes.axhline(level.y[0], color=GREY, linewidth=0.8, linestyle="--")
    low, high = axes.get_ylim()
    named: list[float] = []
    for level in levels:
        if all(abs(level.y[0] - other) > LEVEL_SHARE * (high - low) for other in named):
            named.append(level.y[0])
            around = ("axes fraction", "data")
            axes.annotate(
                _plain(level.name),
                (1, level.y[0]),
                xycoords=around,
                ha="right",
                va="bottom",
                fontsize=7,
            )


def _draw_series(axes: "Axes", series: Series, colour: str, *, dashed: bool) -> None:
    name = _plain(series.name)
    if series.style == "guide":
        axes.plot(series.x, series.y, color=GREY, linestyle="--", linewidth=1, label=name)
    elif series.labels:
        axes.scatter(series.x, series.y, alpha=0)
        axes.scatter([], [], color=colour, label=_name(series.name))
        for x, y, label in zip(series.x, series.y, series.labels, strict=True):
            axes.text(x, y, _plain(label), color=colour, ha="center", va="center", fontsize=9)
    elif series.style == "points":
        axes.scatter(series.x, series.y, s=12, color=colour, alpha=0.6, label=name)
    else:
        marker = "o" if len(series.x) < 30 else None
        style: dict[str, Any] = {"linestyle": "--" if dashed else "-", "marker": marker}
        axes.plot(series.x, series.y, color=colour, label=name, markersize=3, **style)
        if series.low:
            axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.15, lw=0)


# --- Texts ---------------------------------------------------------------------------------------


def _figure_of_text(text: ColouredText) -> "Figure":
    """Draw the first lines of a text on a grid of cells."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    fonts = _installed(TEXT_FONTS)
    lines = list(islice(lines_of(text, TEXT_COLUMNS, _cells), TEXT_LINES))
    title = shorten(text.title, TEXT_COLUMNS)
    columns = max(len(title), *(sum(_cells(shown) for shown, _ in line) for line in lines))
    width, height = CELL_INCHES
    figure = Figure(figsize=(columns * width + 0.2, (len(lines) + 1.5) * height))
    axes = figure.add_axes((0.1 / figure.get_figwidth(), 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, columns + 0.2 / width)
    axes.set_ylim(len(lines) + 0.25, -1.25)
    axes.text(0, -0.5, _plain(title), va="center", style="italic")
    for row, line in enumerate(lines):
        column = 0
        for shown, number in line:
            cells = _cells(shown)
            colour = colour_of(number, text.most)
            if colour is not None:
                face = tuple(part / 255 for part in colour)
                axes.add_patch(Rectangle((column, row), cells, 1, facecolor=face, linewidth=0))
            axes.text(
                column + cells / 2,
                row + 0.5,
                _plain(shown),
                fontsize=4 if _is_escape(shown) else 9,
                family=fonts,
                ha="center",
                va="center",
            )
            column += cells
    return figure


def _is_escape(shown: str) -> bool:
    return len(shown) > 1 and shown.startswith("\\")


def _cells(shown: str) -> int:
    """How many cells a piece of text takes; an escape is small."""
    from rich.cells import cell_len

    return math.ceil(len(shown) / ESCAPED_IN_A_CELL) if _is_escape(shown) else cell_len(shown) or 1
