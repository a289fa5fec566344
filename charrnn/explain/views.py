"""The views: what can be seen of a run, each by one name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.console import Progress, silent
from charrnn.explain.baselines import explain_baselines
from charrnn.explain.calibration import explain_calibration
from charrnn.explain.cells import GATE_NAMES
from charrnn.explain.context import explain_context
from charrnn.explain.embedding import explain_embedding
from charrnn.explain.gates import explain_gates
from charrnn.explain.gradient import explain_gradient
from charrnn.explain.picture import Numbers
from charrnn.explain.step import explain_step
from charrnn.explain.subject import Subject
from charrnn.explain.surprisal import explain_surprisal
from charrnn.explain.units import explain_units
from charrnn.run.reader import TrainedModel

SOME_CHARACTERS = 24


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be explained, and how."""

    models: Sequence[TrainedModel]
    text: str | None
    """The text's name, or for `step` the text itself; None: the runs' validation splits."""
    show: int
    """Characters of a text that are shown."""
    unit: int | None = None
    """The hidden unit whose activation is shown; None: the one that follows something best."""
    progress: Progress = silent

    @property
    def model(self) -> TrainedModel:
        """The one run."""
        return self.models[0]

    @cached_property
    def subjects(self) -> list[Subject]:
        """Each run with its text."""
        return [Subject.of(model, self.text, self.progress) for model in self.models]

    @property
    def subject(self) -> Subject:
        """The one run with its text."""
        return self.subjects[0]


@dataclass(frozen=True, slots=True)
class View:
    """One view."""

    summary: str
    """One line that says what it shows."""
    compute: Callable[[Request], Numbers]


VIEWS: Mapping[str, View] = {
    "surprisal": View(
        "the text, each character coloured by what it cost in bits",
        lambda request: explain_surprisal(request.subject, request.show),
    ),
    "units": View(
        "hidden units that follow quotes, lines, capitals, and the text in a unit's colours",
        lambda request: explain_units(request.subject, request.unit, request.show),
    ),
    "gates": View(
        "how often each unit's gates are closed or open: what remembers for long",
        lambda request: explain_gates(request.subject),
    ),
    "gradient": View(
        "the gradient that vanishes, character by character, of one or several runs",
        lambda request: explain_gradient(request.subjects),
    ),
    "context": View(
        "the loss against the number of characters that the network may see",
        lambda request: explain_context(request.subject),
    ),
    "baselines": View(
        "the same text under n-gram models and compressors",
        lambda request: explain_baselines(request.subject),
    ),
    "calibration": View(
        "whether characters that are given 30 % come 30 % of the time",
        lambda request: explain_calibration(request.subject),
    ),
    "embedding": View(
        "the characters' vectors in two dimensions",
        lambda request: explain_embedding(request.model),
    ),
    "step": View(
        "one time step written out, with the model's own numbers: explain step TEXT",
        lambda request: explain_step(request.model, request.text or ""),
    ),
}
REPORT = "report"
REPORT_SUMMARY = "all of these in one page: explain report -o report.html"


def compute(view: str, request: Request) -> Mapping[str, Numbers]:
    """Compute one view, or all that this run has for `report`; the numbers of each by its name.

    Raises:
        UserError: The run does not have what the view shows.
    """
    if view != REPORT:
        return {view: VIEWS[view].compute(request)}
    found: dict[str, Numbers] = {}
    for name, each in VIEWS.items():
        if name == "step":
            found[name] = explain_step(request.model, _some_text(request.subject))
        elif name != "gates" or GATE_NAMES[request.model.card.cell]:
            found[name] = each.compute(request)
    return found


def _some_text(subject: Subject) -> str:
    """The first characters of the text that the run knows, for one step after them."""
    unknown = subject.model.vocabulary.unk_id
    ids = [id_ for id_ in subject.text.ids[:SOME_CHARACTERS].tolist() if id_ != unknown]
    return subject.model.vocabulary.decode(np.array(ids, np.int64))
