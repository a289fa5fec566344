"""The views: what can be seen of a run, each by one name.

A view is a module with a summary in one line, a function that computes its numbers, and one that
makes a picture of them.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from charrnn.errors import UserError
from charrnn.explain import (
    baselines,
    calibration,
    context,
    embedding,
    gates,
    gradient,
    step,
    surprisal,
    units,
)
from charrnn.explain.picture import Numbers, Picture
from charrnn.explain.reading import Request, TooLittleError
from charrnn.messages import join_words, nearest, quote

SOME_CHARACTERS = 24


class View(Protocol):
    """What the module of a view has."""

    SUMMARY: str

    def numbers(self, request: Request, /) -> Numbers:
        """Compute what `--json` prints."""

    def picture(self, numbers: Numbers, /) -> Picture:
        """Say what is shown of it."""


VIEWS: Mapping[str, View] = {
    "surprisal": surprisal,
    "units": units,
    "gates": gates,
    "gradient": gradient,
    "context": context,
    "baselines": baselines,
    "calibration": calibration,
    "embedding": embedding,
    "step": step,
}
REPORT = "report"
REPORT_SUMMARY = "all of these in one page: explain report -o report.html"

NAMES = (*VIEWS, REPORT)


def check_view(view: str) -> None:
    """Refuse what is no view, before anything is read.

    Raises:
        UserError: There is no view of this name.
    """
    if view not in NAMES:
        near = nearest(view, NAMES)
        raise UserError(
            f"{quote(view)} is no view",
            hint=f"did you mean {near}?" if near else f"the views are {join_words(NAMES, 'and')}",
        )


def numbers_of(view: str, request: Request) -> dict[str, Numbers]:
    """Compute one view, or for `report` all that there is to see; the numbers of each by its name.

    Raises:
        UserError: The run or the text does not have what the view shows.
    """
    if view != REPORT:
        return {view: VIEWS[view].numbers(request)}
    found, text = {}, _some_text(request)
    for name, each in VIEWS.items():
        with suppress(TooLittleError):
            found[name] = each.numbers(replace(request, text=text) if name == "step" else request)
    return found


def _some_text(request: Request) -> str:
    """The first characters of the text that the run knows, for one step after them."""
    vocabulary = request.model.vocabulary
    text = vocabulary.text_of(request.reading.text.characters[:1000])
    known = [char for char in text if not vocabulary.unknown_in(char)]
    return "".join(known[:SOME_CHARACTERS])
