"""Small runs to explain, never trained, and a view's numbers without a command line."""

from pathlib import Path
from typing import Any

from charrnn.config.schema import DataConfig
from charrnn.explain.picture import Numbers
from charrnn.explain.reading import Request
from charrnn.explain.views import VIEWS, numbers_of
from charrnn.run.reader import TrainedModel, read_model
from tests.models import write_corpus_run

TEXT = 'She said "so (it goes)".\n  And then: 42 words!\nThe end of It.\n' * 40


def stream_run(folder: Path, text: str = TEXT, **sizes: Any) -> TrainedModel:
    """A run on one text; its validation split is the last tenth."""
    (folder / "text.txt").write_text(text, encoding="utf-8", newline="")
    return read_model(
        write_corpus_run(folder / "runs/sea", DataConfig(source=str(folder / "text.txt")), **sizes)
    )


def lines_run(folder: Path, text: str = TEXT, **sizes: Any) -> TrainedModel:
    """A run on lines."""
    (folder / "lines.txt").write_text(text, encoding="utf-8", newline="")
    data = DataConfig(source=str(folder / "lines.txt"), mode="lines")
    return read_model(write_corpus_run(folder / "runs/lines", data, **sizes))


def numbers(view: str, *models: TrainedModel, show: int = 100, **options: Any) -> Numbers:
    """The numbers of one view."""
    found = numbers_of(view, Request(models=models, show=show, **options))
    assert VIEWS[view].picture(found[view]).title
    return found[view]
