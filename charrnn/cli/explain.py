"""`charrnn explain`: what a trained network learned, as pictures and as numbers."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.by_line import ByLine, Dearest, write_lines
from charrnn.cli.listing import columns_of_stdout, listed
from charrnn.cli.new_file import Overwrite, check_new_file
from charrnn.cli.options import (
    DataDir,
    Debug,
    Json,
    NoColor,
    Quiet,
    check_range,
    completer,
    option,
    run_directories,
)
from charrnn.console import Console, write_json, write_result
from charrnn.errors import UserError
from charrnn.files import expanded, write_atomically
from charrnn.machine import use_one_blas_thread
from charrnn.messages import format_path, join_words, quote

if TYPE_CHECKING:
    from charrnn.explain.picture import Picture

VIEW = "What to look at; left out, the list of views."
TEXT = """The text to explain; - is stdin. Left out, the validation split of the run's own corpus.
For step, the text itself."""
RUN = """The run directory; left out, CHARRNN_RUN, or the run trained last under runs/. gradient
takes several."""
OUT = "Write .html, .svg or .png in place of a picture in the terminal; - is HTML on stdout."
UNIT = """units: the hidden unit to show, counted through all layers; auto is the one that follows
something best."""
SHOW = "Characters of the text to show; the numbers are of all of it."
KINDS = ("html", "svg", "png")
WORDS = frozenset({"surprisal", "units", "step"})
"""Views without a chart: a page of these needs no matplotlib."""
NO_PLOTS = frozenset({"step", "report"})
STDOUT = "-"
SHOWN_IN_TERMINAL = 1200
SHOWN_IN_FILE = 10_000
MOST_SHOWN = 1_000_000


def _views() -> list[str]:
    from charrnn.explain.views import NAMES

    return list(NAMES)


def explain(
    view: Annotated[
        str | None, typer.Argument(metavar="VIEW", help=VIEW, autocompletion=completer(_views))
    ] = None,
    text: Annotated[str | None, typer.Argument(metavar="FILE|-", help=TEXT)] = None,
    runs: Annotated[list[str] | None, option(RUN, "RUN", "--run", words=run_directories)] = None,
    output: Annotated[str | None, option(OUT, "FILE", "--out", "-o")] = None,
    overwrite: Overwrite = False,
    unit: Annotated[str, option(UNIT, "N|auto")] = "auto",
    show: Annotated[int | None, option(SHOW, "N")] = None,
    data_dir: DataDir = None,
    by_line: ByLine = False,
    dearest: Dearest = None,
    json: Json = False,
    quiet: Quiet = False,
    _no_color: NoColor = False,
    _debug: Debug = False,
) -> None:
    """Show what a run learned: surprisal, units, gates, gradients and more, as pictures.

    For example:

        charrnn explain

        charrnn explain surprisal poem.txt

        charrnn explain units -o units.html

        charrnn explain gradient --run runs/rnn --run runs/lstm -o gradient.svg

        charrnn explain step "To be, or"

        charrnn explain report -o report.html
    """
    use_one_blas_thread()
    from charrnn.explain.reading import Request
    from charrnn.explain.views import REPORT, VIEWS, numbers_of
    from charrnn.run.paths import resolve_run
    from charrnn.run.reader import read_model

    if view is None:
        write_result(_list_of_views())
        return
    by_line = by_line or dearest is not None
    _check(view, text, runs, by_line=by_line, unit=unit)
    if by_line and output is not None:
        raise UserError("--by-line writes to stdout, not into a picture", hint="leave -o out")
    check_range("--show", show, most=MOST_SHOWN)
    number = None if unit == "auto" else _number("--unit", unit)
    kind = _kind(view, output, json=json, overwrite=overwrite)
    console = Console(quiet=quiet)
    console.note_waiting([text or ""])
    paths: Sequence[str | None] = runs or [os.environ.get("CHARRNN_RUN")]
    models = [read_model(resolve_run(path)) for path in paths]
    if by_line:
        write_lines(
            text,
            "valid",
            models[0],
            dearest=dearest,
            data_dir=data_dir,
            json=json,
            console=console,
        )
        return
    request = Request(
        models=models,
        text=text,
        data_dir=data_dir,
        show=show or (SHOWN_IN_TERMINAL if kind is None else SHOWN_IN_FILE),
        unit=number,
        all_units=kind == "html",
        progress=console.progress,
    )
    found = numbers_of(view, request)
    if view == REPORT and (left_out := VIEWS.keys() - found.keys()):
        console.note(
            f"left out, for want of gates or of text: {join_words(sorted(left_out), 'and')}"
        )
    if json:
        write_json(found if view == REPORT else found[view])
        if output is None:
            return
    pictures = {name: VIEWS[name].picture(numbers) for name, numbers in found.items()}
    if output is not None and kind is not None:
        _write(output, kind, pictures, f"What {request.model.path.name} learned", console)
    else:
        write_result("\n\n".join(map(_in_terminal, pictures.values())))


def _list_of_views() -> str:
    from charrnn.explain.views import REPORT, REPORT_SUMMARY, VIEWS

    summaries = {name: view.SUMMARY for name, view in VIEWS.items()} | {REPORT: REPORT_SUMMARY}
    return listed("charrnn explain VIEW [FILE|-] shows:", summaries)


def _check(
    view: str, text: str | None, runs: list[str] | None, *, by_line: bool, unit: str
) -> None:
    """Check that the options fit the view.

    Raises:
        UserError: There is no such view, or it does not take what was given.
    """
    from charrnn.explain.views import check_view

    check_view(view)
    if len(runs or []) > 1 and view != "gradient":
        raise UserError(
            f"{view} takes one --run, and {len(runs or [])} are given",
            hint="gradient compares several",
        )
    if view == "embedding" and text is not None:
        raise UserError("embedding shows the run's own characters and takes no text")
    if by_line and view != "surprisal":
        raise UserError(f"--by-line goes with surprisal, not with {view}")
    if unit != "auto" and view != "units":
        raise UserError(f"--unit goes with units, not with {view}")


def _number(option: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise UserError(f"{option} is {quote(value)}; it must be a number or auto") from error


def _kind(view: str, output: str | None, *, json: bool, overwrite: bool) -> str | None:
    """In which form a file is to be written, before any work is done; None: no file.

    Raises:
        UserError: It cannot be written in this form, or not there.
    """
    if output is None:
        return None
    if output == STDOUT:
        if json:
            raise UserError("--json and -o - both go to stdout", hint="leave one of the two out")
        kind = "html"
    else:
        path = expanded(output)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in KINDS:
            raise UserError(
                f"-o {quote(output)} names no kind of picture",
                hint=f"end it with {join_words([f'.{each}' for each in KINDS])}",
            )
        check_new_file("--out", path, overwrite=overwrite)
    if kind != "html" and view in NO_PLOTS:
        raise UserError(f"{view} is no single plot", hint="-o NAME.html writes it as a page")
    if kind != "html" or view not in WORDS:
        from charrnn.explain.plots import require_matplotlib

        require_matplotlib()
    return kind


def _write(
    output: str, kind: str, pictures: Mapping[str, "Picture"], title: str, console: Console
) -> None:
    if kind == "html":
        from charrnn.explain.page import page_of

        page = page_of(pictures, title)
        if output == STDOUT:
            write_result(page)
            return
        content = page.encode()
    else:
        from charrnn.explain.plots import plotted

        (picture,) = pictures.values()
        content = plotted(picture, kind)
    write_atomically(expanded(output), content)
    console.note(f"wrote {format_path(expanded(output))}")


def _in_terminal(picture: "Picture") -> str:
    """Draw a picture as wide as the terminal, in its colours; without colours elsewhere."""
    from rich.console import Console as RichConsole

    from charrnn.explain.terminal import drawn

    stdout = RichConsole(file=sys.stdout)
    colours = None if stdout.no_color else stdout.color_system
    return drawn(picture, width=columns_of_stdout(), colours=colours)
