"""Pictures as SVG and PNG, by matplotlib, which nothing else imports."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from charrnn.console import escape_controls
from charrnn.errors import UserError
from charrnn.explain.colours import SERIES, colour_of
from charrnn.explain.picture import (
    Bars,
    Chart,
    ColouredText,
    Picture,
    Series,
    clusters_of,
    number_of,
)
from charrnn.messages import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans Devanagari", "Noto Sans Arabic")
TEXT_FONTS = ("DejaVu Sans Mono", "Noto Sans Mono CJK SC", *FONTS)
CHART_INCHES = (7.0, 4.2)
TEXT_COLUMNS = 80
TEXT_LINES = 24
SHORTEST_LINE = 40
CELL_INCHES = (0.1, 0.21)
DOTS_PER_INCH = 144
GREY = "#7f7f7f"
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
    """Draw the charts of a picture, or if it has none its text, as `svg` or `png`.

    Raises:
        UserError: The picture has neither, or matplotlib is not installed.
    """
    require_matplotlib()
    with _settings(picture.title):
        if picture.charts:
            figure = _figure_of_charts(picture.charts)
        elif picture.text is not None:
            figure = _figure_of_text(picture.text)
        else:
            raise UserError(
                f"{picture.title.partition(':')[0].lower()} is made of words and has no plot",
                hint="-o NAME.html writes it as a page",
            )
        file = io.BytesIO()
        metadata = {"Date": None, "Creator": "charrnn"} if kind == "svg" else {}
        figure.savefig(file, format=kind, metadata=metadata, dpi=DOTS_PER_INCH)
    return file.getvalue()


def chart_as_svg(chart: Chart | Bars) -> str:
    """Draw one chart as an SVG element, to stand in a page."""
    require_matplotlib()
    with _settings(chart.title):
        file = io.StringIO()
        figure = _figure_of_charts([chart])
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "charrnn"})
    svg = file.getvalue()
    return svg[svg.index("<svg") :]


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


def _figure_of_charts(charts: Sequence[Chart | Bars]) -> "Figure":
    from matplotlib.figure import Figure

    width, height = CHART_INCHES
    if len(charts) > 1:
        width, height = 4.0 * len(charts), 4.0
    figure = Figure(figsize=(width, height), layout="constrained")
    for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        axes.set_title(_plain(chart.title), loc="left")
        axes.set_xlabel(chart.x_label)
        if isinstance(chart, Bars):
            _draw_bars(axes, chart)
        else:
            _draw_chart(axes, chart)
    return figure


def _draw_chart(axes: "Axes", chart: Chart) -> None:
    axes.set_ylabel(chart.y_label)
    if chart.log_x:
        axes.set_xscale("log")
        axes.set_xticks(chart.series[0].x, [f"{x:g}" for x in chart.series[0].x], minor=False)
        axes.minorticks_off()
    if chart.log_y:
        axes.set_yscale("log")
    levels = [series for series in chart.series if series.style == "level"]
    for number, series in enumerate(each for each in chart.series if each.style != "level"):
        _draw_series(axes, series, SERIES[number % len(SERIES)])
    _draw_levels(axes, levels)
    if chart.x_range:
        axes.set_xlim(*chart.x_range)
    if chart.y_range:
        axes.set_ylim(*chart.y_range)
    if len([each for each in chart.series if each.style != "level"]) > 1:
        axes.legend()


def _draw_levels(axes: "Axes", levels: Sequence[Series]) -> None:
    """Draw horizontal lines, each with its name at the right where there is room for it."""
    for level in levels:
        axes.axhline(level.y[0], color=GREY, linewidth=0.8, linestyle="--")
    low, high = axes.get_ylim()
    named: list[float] = []
    for level in levels:
        if all(abs(level.y[0] - other) > LEVEL_SHARE * (high - low) for other in named):
            named.append(level.y[0])
            place = (1, level.y[0])
            around = ("axes fraction", "data")
            axes.annotate(level.name, place, xycoords=around, ha="right", va="bottom", fontsize=7)


def _draw_series(axes: "Axes", series: Series, colour: str) -> None:
    if series.style == "guide":
        axes.plot(
            series.x, series.y, color=GREY, linestyle="--", linewidth=1, label=_plain(series.name)
        )
    elif series.labels:
        axes.scatter(series.x, series.y, alpha=0)
        axes.scatter([], [], color=colour, label=_plain(series.name))
        for x, y, label in zip(series.x, series.y, series.labels, strict=True):
            axes.text(x, y, _plain(label), color=colour, ha="center", va="center", fontsize=9)
    elif series.style == "points":
        axes.scatter(series.x, series.y, s=12, color=colour, alpha=0.6, label=_plain(series.name))
    else:
        marker = "o" if len(series.x) < 30 else None
        axes.plot(
            series.x, series.y, color=colour, label=_plain(series.name), marker=marker, markersize=3
        )
        if series.low:
            axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.15, lw=0)


def _draw_bars(axes: "Axes", bars: Bars) -> None:
    colours = [SERIES[1] if name == bars.highlighted else SERIES[0] for name in bars.names]
    drawn = axes.barh(list(bars.names), list(bars.values), color=colours)
    axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
    axes.invert_yaxis()


def _figure_of_text(text: ColouredText) -> "Figure":
    """Draw the first lines of a text on a grid, a character in each cell."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    channel, fonts = text.channels[0], _installed(TEXT_FONTS)
    lines = _lines(text.characters)
    columns = max(SHORTEST_LINE, *map(len, lines))
    width, height = CELL_INCHES
    figure = Figure(figsize=(columns * width + 0.2, (len(lines) + 1.5) * height))
    axes = figure.add_axes((0.1 / figure.get_figwidth(), 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, columns + 2 * 0.1 / width)
    axes.set_ylim(len(lines) + 0.25, -1.25)
    axes.text(
        0, -0.5, _plain(shorten(text.title, columns)), fontsize=9, va="center", style="italic"
    )
    for row, line in enumerate(lines):
        for column, cluster in enumerate(line):
            colour = colour_of(number_of(cluster, channel), channel.most)
            if colour is not None:
                face = tuple(part / 255 for part in colour)
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=face, linewidth=0))
            char = "".join(text.characters[at] for at in cluster)
            shown = "⏎" if char == "\n" else escape_controls(char, keep=frozenset())
            is_escape = len(shown) > len(cluster)
            axes.text(
                column + 0.5,
                row + 0.5,
                _plain(shown),
                fontsize=4 if is_escape else 9,
                family=fonts,
                ha="center",
                va="center",
            )
    return figure


def _plain(text: str) -> str:
    """Keep dollar signs from being read as mathematics."""
    return text.replace("$", r"\$")


def _lines(characters: Sequence[str]) -> list[list[range]]:
    """The first lines of a text in clusters, cut where they are too long."""
    lines: list[list[range]] = [[]]
    for cluster in clusters_of(characters):
        lines[-1].append(cluster)
        if characters[cluster.start] == "\n" or len(lines[-1]) == TEXT_COLUMNS:
            if len(lines) == TEXT_LINES:
                return lines
            lines.append([])
    return lines
