"""`charrnn eval`: how well a trained network predicts a text."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
    signature_of,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalArguments:
    """What a command line asks for."""

    text: Annotated[str | None, typer.Argument(metavar="FILE|-", help=TEXT)] = None
    run: RunPath = None
    split: Annotated[str | None, option(SPLIT, "|".join(SPLITS), default="valid", words=SPLITS)] = (
        None
    )
    data_dir: DataDir = None
    window: Annotated[int | None, option(WINDOW, "N")] = None
    engine: Annotated[str, option(ENGINE, "|".join(ENGINES), words=ENGINES)] = "auto"
    batch_size: Annotated[int | None, option(BATCH_SIZE, "N")] = None
    dynamic: Annotated[bool, option(DYNAMIC, None, "--dynamic")] = False
    dynamic_rate: Annotated[float | None, rate_option("--dynamic-rate")] = None
    dynamic_decay: Annotated[float | None, option(DYNAMIC_DECAY, "X", default="0.001")] = None
    by_line: ByLine = False
    dearest: Dearest = None
    json: Json = False
    quiet: Quiet = False
    no_color: NoColor = False
    debug: Debug = False

    @property
    def own_split(self) -> "SplitName":
        """Which split of the run's own corpus is scored, if no other text is named."""
        return "train" if self.split == "train" else "valid"

    @property
    def wants_lines(self) -> bool:
        """Whether each line has a cost of its own."""
        return self.by_line or self.dearest is not None

    def check(self) -> None:
        """Look for what can be wrong before anything is read.

        Raises:
            UserError: Options contradict each other or are out of range.
        """
        check_choice("--split", self.split, SPLITS)
        check_choice("--engine", self.engine, ENGINES)
        check_range("--window", self.window)
        check_range("--batch-size", self.batch_size, most=MOST_ROWS)
        check_share("--dynamic-rate", self.dynamic_rate)
        check_share("--dynamic-decay", self.dynamic_decay)
        if self.dynamic:
            self._refuse_beside_dynamic()
        elif self.dynamic_rate is not None or self.dynamic_decay is not None:
            raise UserError("--dynamic-rate and --dynamic-decay go with --dynamic")
        if self.text is not None and self.split is not None:
            raise UserError(
                "--split is a part of the run's own corpus, and another text is named",
                hint="leave one of the two out",
            )

    def _refuse_beside_dynamic(self) -> None:
        """Refuse what is about texts that are read side by side, by a network as it is."""
        others = {
            "--window": self.window is not None,
            "--batch-size": self.batch_size is not None,
            "--by-line": self.by_line,
            "--dearest": self.dearest is not None,
            "--engine numpy": self.engine == "numpy",
        }
        for name, is_given in others.items():
            if is_given:
                raise UserError(
                    f"--dynamic learns from a text from its beginning to its end: {name} cannot go "
                    "with it",
                    hint="leave one of the two out",
                )

    def check_for(self, model: "TrainedModel") -> None:
        """Look for what cannot be done with a run.

        Raises:
            UserError: Windows are asked for where there are none.
        """
        if self.window is not None and model.card.mode == "lines":
            kind = _kind_of(model)
            raise UserError(
                f"--window cuts up a stream of text, and {model.path} was trained on {kind}s",
                hint=f"leave it out: every {kind} begins from a zero state anyway",
            )
        if self.window is not None and self.wants_lines:
            raise UserError("--by-line is stateful: --window cannot go with it")


def evaluate(**values: Any) -> None:
    """Score a text: loss, bits per character and byte, perplexity and accuracy.

    For example:

        charrnn eval

        charrnn eval --run runs/shakespeare --window 256

        cat poem.txt | charrnn eval --json -

        charrnn eval --dearest 20 server.log

        charrnn eval --dynamic poem.txt
    """
    arguments = EvalArguments(**values)
    arguments.check()
    if arguments.engine != "torch":
        use_one_blas_thread()
    from charrnn.run.paths import resolve_run
    from charrnn.run.reader import read_model

    console = Console(quiet=arguments.quiet)
    console.note_waiting([arguments.text or ""])
    model = read_model(resolve_run(arguments.run))
    arguments.check_for(model)
    if arguments.wants_lines:
        write_lines(
            arguments.text,
            arguments.own_split,
            model,
            dearest=arguments.dearest,
            data_dir=arguments.data_dir,
            json=arguments.json,
            console=console,
            network=_network(arguments.engine, model),
            rows=arguments.batch_size,
        )
    else:
        _write_score(arguments, model, console)


evaluate.__signature__ = signature_of(EvalArguments)  # type: ignore[attr-defined]


def _write_score(arguments: EvalArguments, model: "TrainedModel", console: Console) -> None:
    """Score a text as a whole, and print what came of it."""
    from charrnn.evaluation.scoring import check_finite

    scored = _text_to_score(arguments.text, arguments.own_split, model, arguments.data_dir, console)
    engine, window, followed = arguments.engine, arguments.window, None
    if arguments.dynamic:
        rate, decay = arguments.dynamic_rate, arguments.dynamic_decay
        read, followed = _dynamic_reading(model, engine, rate, decay)
    else:
        read = _reading(model, engine, window, arguments.batch_size)
    begin = time.perf_counter()
    with console.progress("scoring", scored.targets, unit=f"{model.vocabulary.unit}s") as advance:
        score = read(scored, advance)
    report = {
        **_report(model, scored, score, window, followed),
        "engine": "torch" if arguments.dynamic or engine == "torch" else "numpy",
        "seconds": round(time.perf_counter() - begin, 3),
    }
    check_finite(score.loss_nats, model.path)
    warn_of_unknown(scored.unknown, console)
    if arguments.json:
        write_json(report)
    else:
        write_result(_table(report, _kind_of(model)))


def _kind_of(model: "TrainedModel") -> str:
    """What one of a run's examples is called, where it is no stream."""
    return "line" if model.card.separator == "\n" else "example"


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
