"""`charrnn eval`: how well a trained network predicts a text."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.by_line import ByLine, Dearest, write_lines
from charrnn.cli.options import Debug, Json, Quiet, RunPath, check_choice, check_range
from charrnn.console import Console, write_json, write_result
from charrnn.errors import UserError
from charrnn.machine import free_threads, processor_count, use_one_blas_thread

if TYPE_CHECKING:
    from charrnn.evaluation.eval_text import EvalText
    from charrnn.evaluation.evaluate import ThreadedNetwork
    from charrnn.run.reader import TrainedModel

EXAMPLES = """
Examples:

    charrnn eval

    charrnn eval --run runs/shakespeare --window 256

    cat poem.txt | charrnn eval --json -

    charrnn eval --by-line --dearest 20 server.log
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
    by_line: ByLine = False,
    dearest: Dearest = None,
    json: Json = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Score a text: loss, bits per character and byte, perplexity and accuracy."""
    check_choice("--split", split, SPLITS)
    check_choice("--engine", engine, ENGINES)
    check_range("--window", window)
    check_range("--batch-size", batch_size, most=MOST_ROWS)
    if text is not None and split is not None:
        raise UserError(
            "--split is a part of the run's own corpus, and another text is named",
            hint="leave one of the two out",
        )
    if engine != "torch":
        use_one_blas_thread()
    from charrnn.cli.eval_report import Report, warn_of_unknown
    from charrnn.evaluation.evaluate import rows_for, score_text
    from charrnn.evaluation.scoring import check_finite
    from charrnn.run.paths import resolve_run
    from charrnn.run.reader import read_model

    console = Console(quiet=quiet)
    model = read_model(resolve_run(run))
    _check_window(window, model)
    if by_line or dearest is not None:
        if window is not None:
            raise UserError("--by-line is stateful: --window cannot go with it")
        write_lines(
            text,
            split or "valid",
            model,
            dearest=dearest,
            as_json=json,
            console=console,
            network=_network(engine, model),
            rows=batch_size,
        )
        return
    scored = _text_to_score(text, split or "valid", model, console)
    network = _network(engine, model)
    begin = time.perf_counter()
    with console.progress("scoring", scored.targets, unit="characters") as advance:
        score = score_text(
            network,
            scored.ids,
            scored.starts,
            model.vocabulary,
            window=window,
            rows=batch_size or rows_for(free_threads()),
            progress=advance,
        )
    report = Report(
        model=model,
        text=scored,
        window=window,
        engine="torch" if engine == "torch" else "numpy",
        score=score,
        seconds=time.perf_counter() - begin,
    )
    check_finite(score.loss_nats, model.path)
    warn_of_unknown(scored.unknown, console)
    if json:
        write_json(report.to_json())
    else:
        write_result(report.to_text())


evaluate.__doc__ = f"{evaluate.__doc__}\n{EXAMPLES}"


def _check_window(window: int | None, model: "TrainedModel") -> None:
    if window is not None and model.card.mode == "lines":
        raise UserError(
            f"--window cuts up a stream of text, and {model.path} was trained on lines",
            hint="leave it out: every line begins from a zero state anyway",
        )


def _text_to_score(
    name: str | None, split: str, model: "TrainedModel", console: Console
) -> "EvalText":
    """Return the text that is named, or the split of the run's own corpus."""
    from charrnn.config.load import read_run_config
    from charrnn.evaluation.eval_text import other_text, own_split
    from charrnn.run.paths import CONFIG_FILE

    data = read_run_config(model.path / CONFIG_FILE).data
    if name is not None:
        return other_text(name, model, data, console.progress)
    return own_split(model, data, "train" if split == "train" else "valid", console.progress)


def _network(engine: str, model: "TrainedModel") -> "ThreadedNetwork":
    from charrnn.evaluation.evaluate import ThreadedNetwork

    if engine == "torch":
        from charrnn.training.model import load_network

        network = load_network(model)
        return ThreadedNetwork(network, 1 if network.on_gpu else processor_count())
    from charrnn.inference.network import NumpyNetwork

    return ThreadedNetwork(NumpyNetwork.of(model), free_threads())
