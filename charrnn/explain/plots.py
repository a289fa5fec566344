"""Pictures as SVG and PNG, by matplotlib, which nothing else imports."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from charrnn.errors import UserError
from charrnn.explain.colours import SERIES, colour_of
from charrnn.explain.picture import Bars, Chart, ColouredText, Picture, Series, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans Devanagari", "Noto Sans Arabic")
TEXT_FONTS = ("DejaVu Sans Mono", "Noto Sans Mono CJK SC", *FONTS)
CHART_INCHES = (7.0, 4.2)
TEXT_COLUMNS = 80
TEXT_LINES = 24
CELL_INCHES = (0.1, 0.21)
DOTS_PER_INCH = 144


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
        "font.family": list(FONTS),
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "text.parse_math": False,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")  # a box is drawn instead
        yield


def _figure_of_charts(charts: Sequence[Chart | Bars]) -> "Figure":
    from matplotlib.figure import Figure

    width, height = CHART_INCHES
    if len(charts) > 1:
        width, height = 4.0 * len(charts), 4.0
    figure = Figure(figsize=(width, height), layout="constrained")
    for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        axes.set_title(chart.title, loc="left")
        axes.set_xlabel(chart.x_label)
        if isinstance(chart, Bars):
            _draw_bars(axes, chart)
        else:
            _draw_chart(axes, chart)
    return figure


def _draw_chart(axes: "Axes", chart: Chart) -> None:
    axes.set_ylabel(chart.y_label)
    axes.set_xscale("log", base=2) if chart.log_x else None
    axes.set_yscale("log") if chart.log_y else None
    for number, series in enumerate(chart.series):
        _draw_series(axes, series, SERIES[number % len(SERIES)])
    if chart.x_range:
        axes.set_xlim(*chart.x_range)
    if chart.y_range:
        axes.set_ylim(*chart.y_range)
    if len([each for each in chart.series if each.style != "level"]) > 1:
        axes.legend()


def _draw_series(axes: "Axes", series: Series, colour: str) -> None:
    if series.style == "level":
        axes.axhline(series.y[0], color="#7f7f7f", linewidth=0.8, linestyle="--")
        axes.annotate(
            series.name,
            (1, series.y[0]),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7,
            color="#5f5f5f",
        )
    elif series.labels:
        axes.scatter(series.x, series.y, s=0.1, color=colour)
        axes.scatter([], [], color=colour, label=series.name)
        for x, y, label in zip(series.x, series.y, series.labels, strict=True):
            axes.text(x, y, label, color=colour, ha="center", va="center", fontsize=9)
    elif series.style == "points":
        axes.scatter(series.x, series.y, s=12, color=colour, alpha=0.6, label=series.name)
    else:
        marker = "o" if len(series.x) < 30 else None
        axes.plot(series.x, series.y, color=colour, label=series.name, marker=marker, markersize=3)
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

    channel = text.channels[0]
    lines = _lines(text.characters)
    width, height = CELL_INCHES
    figure = Figure(figsize=(TEXT_COLUMNS * width + 0.2, (len(lines) + 1.5) * height))
    axes = figure.add_axes((0.1 / figure.get_figwidth(), 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, TEXT_COLUMNS + 2 * 0.1 / width)
    axes.set_ylim(len(lines) + 0.25, -1.25)
    axes.text(0, -0.5, text.title, fontsize=9, va="center", style="italic")
    for row, line in enumerate(lines):
        for column, at in enumerate(line):
            char = text.characters[at]
            colour = colour_of(channel.values[at], channel.most)
            if colour is not None:
                face = tuple(part / 255 for part in colour)
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=face, linewidth=0))
            shown = "⏎" if char == "\n" else visible(char)
            if char != " ":
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    shown,
                    fontsize=9 if len(shown) == 1 else 4,
                    family=list(TEXT_FONTS),
                    ha="center",
                    va="center",
                )
    return figure


def _lines(characters: Sequence[str]) -> list[list[int]]:
    """The places of the characters of each of the first lines, cut where they are too long."""
    lines: list[list[int]] = [[]]
    for at, char in enumerate(characters):
        lines[-1].append(at)
        if char == "\n" or len(lines[-1]) == TEXT_COLUMNS:
            if len(lines) == TEXT_LINES:
                return lines
            lines.append([])
    return lines
