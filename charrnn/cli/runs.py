"""`charrnn runs`: the runs in a folder, the lowest loss first."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.new_file import Overwrite, check_new_file
from charrnn.cli.options import Debug, Json, NoColor, Quiet, option
from charrnn.console import Console, escape_controls, write_json
from charrnn.errors import UserError
from charrnn.files import write_atomically
from charrnn.messages import format_path, join_words
from charrnn.run.paths import RUNS_FOLDER, START_HINT

if TYPE_CHECKING:
    from charrnn.run.summary import RunSummary

COLUMNS = ("run", "network", "text", "step", "minutes", "loss", "bits/char", "state")
NUMBERS = ("step", "minutes", "loss", "bits/char")
LEAST_IMPORTANT = ("text", "bits/char", "minutes", "network", "step", "loss")
GAP = 2
PLOT = """Draw the validation losses of all runs in one picture, NAME.svg or NAME.png, against the
minutes of training."""
PLOT_KINDS = ("svg", "png")
PIPE_WIDTH = 10_000
"""Columns of a table that nobody's terminal limits: every name is written out."""


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the runs are.")
    ] = RUNS_FOLDER,
    plot: Annotated[Path | None, option(PLOT, "FILE", "--plot")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    _no_color: NoColor = False,
    _debug: Debug = False,
) -> None:
    """List runs with their network, text, steps, minutes and loss, the best first.

    Runs of bytes, whose losses are per byte, come after all others.

    For example:

        charrnn runs

        charrnn runs --json | python -m json.tool

        charrnn runs --plot curves.svg
    """
    from charrnn.run.summary import find_runs, summarize_all

    kind = "" if plot is None else plot.suffix.lower().removeprefix(".")
    if plot is not None:
        _check_plot(plot, kind, overwrite=overwrite)
    if not folder.is_dir():
        raise UserError(f"there is no folder {format_path(folder)}", hint=START_HINT)
    summaries, errors = summarize_all(find_runs(folder))
    if not summaries and not errors:
        raise UserError(f"there is no run in {format_path(folder)}", hint=START_HINT)
    console = Console(quiet=quiet)
    for error in errors:
        console.warn(error.message)
    if plot is not None:
        write_atomically(plot, _drawn_curves(summaries, kind))
        console.note(f"wrote {format_path(plot)}")
    if json:
        write_json({"folder": str(folder), "runs": [asdict(each) for each in summaries]})
    else:
        _write_table(summaries)


def _check_plot(plot: Path, kind: str, *, overwrite: bool) -> None:
    """Check that a picture can be drawn, before anything is read.

    Raises:
        UserError: Its name ends otherwise or is taken, or matplotlib is not installed.
    """
    from charrnn.explain.plots import require_matplotlib

    if kind not in PLOT_KINDS:
        raise UserError(
            f"--plot {format_path(plot)} names no kind of picture",
            hint="end it with .svg or .png",
        )
    check_new_file("--plot", plot, overwrite=overwrite)
    require_matplotlib()


def _drawn_curves(summaries: "list[RunSummary]", kind: str) -> bytes:
    """Draw one curve a run, those that were never evaluated left out."""
    from charrnn.explain.picture import Chart, Picture, Series
    from charrnn.explain.plots import plotted
    from charrnn.run.summary import loss_curve

    curves = [(each, loss_curve(Path(each.run))) for each in summaries]
    chart = Chart(
        title="Validation loss",
        x_label="minutes of training",
        y_label=f"nats per {join_words(dict.fromkeys(each.unit for each in summaries))}",
        series=[
            Series(
                name=f"{run.run} ({run.unit}s)" if run.unit == "byte" else run.run,
                x=[x for x, _ in curve],
                y=[y for _, y in curve],
            )
            for run, curve in curves
            if curve
        ],
    )
    return plotted(Picture(title="Validation loss", charts=[chart]), kind)


def _write_table(summaries: "list[RunSummary]") -> None:
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text

    out = RichConsole()
    if not out.is_terminal:
        out = RichConsole(width=PIPE_WIDTH)
    rows = [
        dict(
            zip(
                COLUMNS,
                (escape_controls(cell, keep=frozenset()) for cell in _cells(each)),
                strict=True,
            )
        )
        for each in summaries
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = _columns_that_fit(rows, out.width)
    for name in shown:
        table.add_column(name, overflow="fold", justify="right" if name in NUMBERS else "left")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in shown))
    out.print(table)


def _columns_that_fit(rows: "list[dict[str, str]]", width: int) -> list[str]:
    """Leave out columns, the least important first, until no cell has to be cut."""
    from rich.cells import cell_len

    widths = {name: max([len(name), *(cell_len(row[name]) for row in rows)]) for name in COLUMNS}
    shown = list(COLUMNS)
    for name in LEAST_IMPORTANT:
        if sum(widths[each] + GAP for each in shown) - GAP > width:
            shown.remove(name)
    return shown


def _cells(each: "RunSummary") -> tuple[str, ...]:
    networks = f"{each.ensemble_size} × " if each.ensemble_size > 1 else ""
    source = each.source if isinstance(each.source, str) else " ".join(each.source)
    loss, bits = each.valid_loss_nats, each.bits_per_char
    per_byte = "/byte" if each.unit == "byte" else ""
    return (
        each.run,
        f"{networks}{each.cell} {each.layers} × {each.hidden_size}",
        source,
        f"{each.step:,}/{each.steps:,}",
        f"{each.minutes:.1f}",
        "" if loss is None else f"{loss:.4f}{per_byte}",
        "" if bits is None else f"{bits:.4f}{per_byte}",
        each.state,
    )
