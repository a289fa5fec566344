"""`charrnn eval`: how well a trained network predicts a text."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.options import Debug, Json, Quiet, RunPath
from charrnn.console import Console, write_json, write_result
from charrnn.errors import UserError
from charrnn.machine import use_one_blas_thread
from charrnn.messages import join_words, quote

if TYPE_CHECKING:
    from charrnn.evaluation.eval_text import EvalText
    from charrnn.evaluation.evaluate import Progress, Score
    from charrnn.network import Network
    from charrnn.run.reader import TrainedModel
    from charrnn.text.corpus import SplitName

EXAMPLES = """
Examples:

    charrnn eval

    charrnn eval --run runs/shakespeare --window 256

    cat poem.txt | charrnn eval --json -
"""


SPLITS = ("valid", "train")
ENGINES = ("auto", "numpy", "torch")
MOST_ROWS = 65_536


def evaluate(
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|-",
            help="The text to score; - is stdin. Left out, a split of the run's own corpus.",
            show_default=False,
        ),
    ] = None,
    run: RunPath = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="|".join(SPLITS),
            help="Which split of the run's own corpus; left out, valid.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            metavar="N",
            help="Score windows of N characters, each from a zero state, as networks without "
            "a state are scored. Left out, the state is carried through the whole text.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="|".join(ENGINES),
            help="auto is NumPy; torch starts slower, and uses a GPU if there is one.",
        ),
    ] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            help="Streams, windows or lines to read side by side; changes nothing but the time.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Score a text: loss, bits per character, perplexity and accuracy, every character counted."""
    question = _Question(text, split, window, engine, batch_size)
    _evaluate(question, run, Console(quiet=quiet), as_json=json)


evaluate.__doc__ = f"{evaluate.__doc__}\n{EXAMPLES}"


@dataclass(frozen=True, slots=True)
class _Question:
    """What the command line asks for."""

    text: str | None
    asked_split: str | None
    window: int | None
    engine: str
    batch_size: int | None

    @property
    def split(self) -> str | None:
        """The split of the run's own corpus; None if another text is named."""
        return None if self.text is not None else self.asked_split or "valid"

    def check(self) -> None:
        """Refuse what cannot be asked of any run."""
        _check_choice("--split", self.asked_split, SPLITS)
        _check_choice("--engine", self.engine, ENGINES)
        if self.window is not None and self.window < 1:
            raise UserError(f"--window is {self.window}; it must be 1 or more")
        if self.batch_size is not None and not 1 <= self.batch_size <= MOST_ROWS:
            raise UserError(f"--batch-size is {self.batch_size}; it must be 1 to {MOST_ROWS:,}")
        if self.text is not None and self.asked_split is not None:
            raise UserError(
                "--split is a part of the run's own corpus, and another text is named",
                hint="leave one of the two out",
            )

    def check_fits(self, model: "TrainedModel") -> None:
        """Refuse what cannot be asked of this run."""
        if self.window is not None and model.card.mode == "lines":
            raise UserError(
                f"--window cuts up a stream of text, and {model.path} was trained on lines",
                hint="leave it out: every line begins from a zero state anyway",
            )


def _check_choice(option: str, choice: str | None, choices: Sequence[str]) -> None:
    if choice is not None and choice not in choices:
        raise UserError(f"{option} is {quote(choice)}; it must be {join_words(choices)}")


def _evaluate(question: _Question, run: str | None, console: Console, *, as_json: bool) -> None:
    question.check()
    if question.engine != "torch":
        use_one_blas_thread()
    from charrnn.cli.eval_view import Report, tell_unknown
    from charrnn.run.paths import resolve_run
    from charrnn.run.reader import read_model

    model = read_model(resolve_run(run))
    question.check_fits(model)
    material = _material(question, model, console)
    network = _network(question.engine, model)
    begin = time.perf_counter()
    with console.progress("scoring", material.targets, unit="characters") as advance:
        score = _score(question, network, model, material, advance)
    report = Report(
        run=str(model.path),
        source=material.source,
        split=question.split,
        mode=model.card.mode,
        window=question.window,
        engine="torch" if question.engine == "torch" else "numpy",
        score=score,
        seconds=time.perf_counter() - begin,
    )
    report.check_finite()
    tell_unknown(material.unknown, console)
    if as_json:
        write_json(report.to_json())
    else:
        write_result(report.to_text())


def _material(question: _Question, model: "TrainedModel", console: Console) -> "EvalText":
    from charrnn.config.load import read_run_config
    from charrnn.evaluation.eval_text import other_text, own_split
    from charrnn.run.paths import CONFIG_FILE

    data = read_run_config(model.path / CONFIG_FILE).data
    if question.text is not None:
        return other_text(question.text, model, data, console.progress)
    split: SplitName = "train" if question.split == "train" else "valid"
    return own_split(model, data, split, console.progress)


def _network(engine: str, model: "TrainedModel") -> "Network":
    from charrnn.evaluation.threaded_network import ThreadedNetwork
    from charrnn.machine import free_threads, processor_count

    if engine == "torch":
        from charrnn.training.torch_network import load_network

        network = load_network(model)
        return ThreadedNetwork(network, 1 if network.on_gpu else processor_count())
    from charrnn.inference.network import NumpyNetwork

    return ThreadedNetwork(NumpyNetwork.of(model), free_threads())


def _score(
    question: _Question,
    network: "Network",
    model: "TrainedModel",
    material: "EvalText",
    progress: "Progress",
) -> "Score":
    from charrnn.evaluation.evaluate import score_text
    from charrnn.evaluation.threaded_network import rows_for
    from charrnn.machine import free_threads

    return score_text(
        network,
        material.ids,
        material.starts,
        model.vocabulary,
        window=question.window,
        rows=question.batch_size or rows_for(free_threads()),
        progress=progress,
    )
