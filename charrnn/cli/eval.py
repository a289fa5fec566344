"""`charrnn eval`: how well a trained network predicts a text."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.by_line import ByLine, Dearest, write_lines
from charrnn.cli.options import (
    DataDir,
    Debug,
    Json,
    NoColor,
    Quiet,
    RunPath,
    check_choice,
    check_range,
    check_share,
    option,
    rate_option,
)
from charrnn.console import Advance, Console, write_json, write_result
from charrnn.errors import UserError
from charrnn.machine import use_one_blas_thread
from charrnn.messages import code_of, format_name, quote
from charrnn.processors import free_threads, processor_count

if TYPE_CHECKING:
    from charrnn.evaluation.eval_text import EvalText
    from charrnn.evaluation.evaluate import ThreadedNetwork
    from charrnn.evaluation.scoring import Score
    from charrnn.run.reader import TrainedModel
    from charrnn.text.corpus import SplitName
    from charrnn.training.dynamic import DynamicOptions

Reading = Callable[["EvalText", Advance], "Score"]
"""Scores a text, and tells of every batch of targets scored."""

TEXT = "The text to score; - is stdin. Left out, a split of the run's own corpus."
WINDOW = """Score windows of N characters, each from a zero state, as networks without a state are
scored. Left out, the state is carried through the whole text."""
DYNAMIC = """Learn from the text while reading it, each character after it was scored. Not to be
compared with other losses; the run stays as it is."""
DYNAMIC_DECAY = "With --dynamic: how strongly each step draws the weights back to the trained ones."
BATCH_SIZE = "Streams, windows or examples to read side by side; changes only the time."
SPLIT = "Which split of the run's own corpus."
ENGINE = """auto is NumPy, with --dynamic torch on the CPU; torch starts slower, and uses a GPU if
there is one."""
SPLITS: "tuple[SplitName, ...]" = ("valid", "train")
ENGINES = ("auto", "numpy", "torch")
MOST_ROWS = 65_536
UNKNOWN_SHOWN = 8


def evaluate(
    text: Annotated[str | None, typer.Argument(metavar="FILE|-", help=TEXT)] = None,
    run: RunPath = None,
    split: Annotated[
        str | None,
        option(SPLIT, "|".join(SPLITS), default="valid", words=SPLITS),
    ] = None,
    data_dir: DataDir = None,
    window: Annotated[int | None, option(WINDOW, "N")] = None,
    engine: Annotated[
        str,
        option(ENGINE, "|".join(ENGINES), words=ENGINES),
    ] = "auto",
    batch_size: Annotated[int | None, option(BATCH_SIZE, "N")] = None,
    dynamic: Annotated[bool, option(DYNAMIC, None, "--dynamic")] = False,
    dynamic_rate: Annotated[float | None, rate_option("--dynamic-rate")] = None,
    dynamic_decay: Annotated[float | None, option(DYNAMIC_DECAY, "X", default="0.001")] = None,
    by_line: ByLine = False,
    dearest: Dearest = None,
    json: Json = False,
    quiet: Quiet = False,
    _no_color: NoColor = False,
    _debug: Debug = False,
) -> None:
    """Score a text: loss, bits per character and byte, perplexity and accuracy.

    For example:

        charrnn eval

        charrnn eval --run runs/shakespeare --window 256

        cat poem.txt | charrnn eval --json -

        charrnn eval --dearest 20 server.log

        charrnn eval --dynamic poem.txt
    """
    check_choice("--split", split, SPLITS)
    check_choice("--engine", engine, ENGINES)
    check_range("--window", window)
    check_range("--batch-size", batch_size, most=MOST_ROWS)
    check_share("--dynamic-rate", dynamic_rate)
    check_share("--dynamic-decay", dynamic_decay)
    if dynamic:
        _refuse_beside_dynamic(
            {
                "--window": window,
                "--batch-size": batch_size,
                "--by-line": by_line or None,
                "--dearest": dearest,
                "--engine numpy": engine if engine == "numpy" else None,
            }
        )
    elif dynamic_rate is not None or dynamic_decay is not None:
        raise UserError("--dynamic-rate and --dynamic-decay go with --dynamic")
    if text is not None and split is not None:
        raise UserError(
            "--split is a part of the run's own corpus, and another text is named",
            hint="leave one of the two out",
        )
    if engine != "torch":
        use_one_blas_thread()
    from charrnn.evaluation.scoring import check_finite
    from charrnn.run.paths import resolve_run
    from charrnn.run.reader import read_model

    console = Console(quiet=quiet)
    console.note_waiting([text or ""])
    model = read_model(resolve_run(run))
    kind = "line" if model.card.separator == "\n" else "example"
    if window is not None and model.card.mode == "lines":
        raise UserError(
            f"--window cuts up a stream of text, and {model.path} was trained on {kind}s",
            hint=f"leave it out: every {kind} begins from a zero state anyway",
        )
    own: SplitName = "train" if split == "train" else "valid"
    if by_line or dearest is not None:
        if window is not None:
            raise UserError("--by-line is stateful: --window cannot go with it")
        write_lines(
            text,
            own,
            model,
            dearest=dearest,
            data_dir=data_dir,
            json=json,
            console=console,
            network=_network(engine, model),
            rows=batch_size,
        )
        return
    scored = _text_to_score(text, own, model, data_dir, console)
    if dynamic:
        read, followed = _dynamic_reading(model, engine, dynamic_rate, dynamic_decay)
    else:
        read, followed = _reading(model, engine, window, batch_size), None
    begin = time.perf_counter()
    with console.progress("scoring", scored.targets, unit=f"{model.vocabulary.unit}s") as advance:
        score = read(scored, advance)
    report = {
        **_report(model, scored, score, window, followed),
        "engine": "torch" if dynamic or engine == "torch" else "numpy",
        "seconds": round(time.perf_counter() - begin, 3),
    }
    check_finite(score.loss_nats, model.path)
    warn_of_unknown(scored.unknown, console)
    if json:
        write_json(report)
    else:
        write_result(_table(report, kind))


def _text_to_score(
    name: str | None,
    split: "SplitName",
    model: "TrainedModel",
    data_dir: Path | None,
    console: Console,
) -> "EvalText":
    """Return the text that is named, or the split of the run's own corpus."""
    from charrnn.config.load import read_run_config
    from charrnn.evaluation.eval_text import other_text, own_split
    from charrnn.run.paths import CONFIG_FILE

    data = read_run_config(model.path / CONFIG_FILE).data
    if name is not None:
        return other_text(name, model, data, warn=console.warn, progress=console.progress)
    return own_split(model, data, split, data_dir=data_dir, progress=console.progress)


def _refuse_beside_dynamic(others: Mapping[str, object]) -> None:
    """Refuse options that are about texts which are read side by side, by a network as it is."""
    for name, value in others.items():
        if value is not None:
            raise UserError(
                f"--dynamic learns from a text from its beginning to its end: {name} cannot go "
                "with it",
                hint="leave one of the two out",
            )


def _reading(
    model: "TrainedModel", engine: str, window: int | None, batch_size: int | None
) -> "Reading":
    """Score texts with the network as it is, stateful or in windows."""
    from charrnn.evaluation.evaluate import rows_for, score_text

    network = _network(engine, model)

    def read(text: "EvalText", progress: Advance) -> "Score":
        return score_text(
            network,
            text.ids,
            text.starts,
            model.vocabulary,
            cut_at=text.cut_at,
            window=window,
            rows=batch_size or rows_for(free_threads()),
            progress=progress,
        )

    return read


def _dynamic_reading(
    model: "TrainedModel", engine: str, rate: float | None, decay: float | None
) -> "tuple[Reading, DynamicOptions]":
    """Score texts with a network that learns from them; returns what its options are, too."""
    from charrnn.training.dynamic import DynamicNetwork, DynamicOptions

    options = DynamicOptions().changed(rate=rate, decay=decay)
    network = DynamicNetwork(model, options, "auto" if engine == "torch" else "cpu")

    def read(text: "EvalText", progress: Advance) -> "Score":
        return network.read(text.ids, text.starts, cut_at=text.cut_at, progress=progress)

    return read, options


def _network(engine: str, model: "TrainedModel") -> "ThreadedNetwork":
    from charrnn.evaluation.evaluate import ThreadedNetwork

    if engine == "torch":
        from charrnn.training.model import load_network

        network = load_network(model)
        return ThreadedNetwork(network, 1 if network.on_gpu else processor_count())
    from charrnn.inference.network import NumpyNetwork

    return ThreadedNetwork(NumpyNetwork.of(model), free_threads())


# --- How it is shown -----------------------------------------------------------------------------


def _report(
    model: "TrainedModel",
    text: "EvalText",
    score: "Score",
    window: int | None,
    followed: "DynamicOptions | None",
) -> dict[str, Any]:
    """Return a score and what it is the score of, as `--json` prints it."""
    protocol = "stateful" if window is None else "window"
    return {
        "run": str(model.path),
        "source": text.source,
        "split": text.split,
        "mode": model.card.mode,
        "unit": model.vocabulary.unit,
        "protocol": protocol if followed is None else "dynamic",
        "window": window,
        "dynamic": None if followed is None else asdict(followed),
        "chars": score.chars,
        "unknown_chars": score.unknown_chars,
        "loss_nats": score.loss_nats,
        "bits_per_char": score.bits_per_char,
        "bits_per_byte": score.bits / text.size_bytes,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
    }


def _table(report: dict[str, Any], kind: str) -> str:
    """Return the table that people read; `kind` is line or example, where it is not a stream."""
    is_lines, unit = report["mode"] == "lines", report["unit"]
    window, followed = report["window"], report["dynamic"]
    if followed is not None:
        reading = f"every {followed['segment']} {unit}s scored, then learned from"
    elif is_lines:
        reading = f"every {kind} read from a zero state to its end"
    elif window is None:
        reading = "the state carried from the beginning to the end"
    else:
        reading = f"every {window:,} {unit}s from a zero state"
    ends = f", ends of {kind}s included" if is_lines else ""
    speed = report["chars"] / max(report["seconds"], 1e-3)
    rows = {
        "loss": f"{report['loss_nats']:.4f} nats per {unit}",
        f"bits per {unit}": f"{report['bits_per_char']:.4f}",
        "bits per byte": f"{report['bits_per_byte']:.4f}",
        "perplexity": f"{report['perplexity']:.4f}",
        "accuracy": f"{report['accuracy']:.2%} of {unit}s were the most probable one",
        "counted": f"{report['chars']:,} {unit}s{ends}; {report['unknown_chars']:,} unknown",
        "protocol": f"{report['protocol']}: {reading}",
        **(
            {"learning": f"rate {followed['rate']:g}, decay {followed['decay']:g}"}
            if followed
            else {}
        ),
        "time": f"{report['seconds']:.2f} s, {speed:,.0f} {unit}s per second ({report['engine']})",
    }
    part = {None: "", "valid": "the validation split of ", "train": "the training split of "}
    title = f"{format_name(report['run'])} on {part[report['split']]}"
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {value}" for name, value in rows.items()]
    return "\n".join([title + format_name(report["source"]), *lines])


def warn_of_unknown(unknown: Sequence[tuple[str, int]], console: Console) -> None:
    """Warn of characters that the run does not know, the most frequent first."""
    if not unknown:
        return
    examples = [
        f"{quote(char)} ({code_of(char)}) {count:,}x" for char, count in unknown[:UNKNOWN_SHOWN]
    ]
    more = len(unknown) - len(examples)
    rest = f" and {more:,} others" if more else ""
    console.warn(f"characters that the run does not know: {', '.join(examples)}{rest}")
