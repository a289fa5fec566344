"""`charrnn train`: learn a text, leave a run directory."""

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.interrupts import EXIT_CODES
from charrnn.cli.options import Debug, Json, Overrides, Quiet
from charrnn.console import Console, write_json, write_result
from charrnn.errors import ExitCode, UserError

if TYPE_CHECKING:
    from charrnn.config.schema import Config
    from charrnn.text.corpus import Corpus
    from charrnn.training.events import Finished
    from charrnn.training.trainer import Evaluate, StopRequest, Trainer

LONG_LINE = 20_000

EXAMPLES = """
Examples:

    charrnn train --config configs/quickstart.yaml

    charrnn train --config configs/shakespeare.yaml --minutes 3 --set model.hidden_size=512

    charrnn train --resume --out runs/shakespeare --set train.steps=6000
"""


def train(
    config_file: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The YAML configuration; - is stdin. Left out, every setting has its default.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="RUN",
            help="The run directory to make (or, with --resume, to go on with). "
            "Left out, runs/ and the configuration's name.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run from where it was saved last.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            help="Train about so long: measures this machine, then fixes train.steps.",
            show_default=False,
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config", help="Print the whole configuration, defaults included, and stop."
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Train a network on a text; prepares the text first if that is still to be done."""
    console = Console(quiet=quiet)
    if minutes is not None and not 0 < minutes < math.inf:
        raise UserError(f"--minutes is {minutes:g}; expected a number above 0")
    if print_config:
        _print_config(config_file, overrides or [], out, resume=resume)
        return
    work = _resume if resume else _begin
    raise typer.Exit(work(config_file, overrides or [], out, minutes, console, as_json=json))


train.__doc__ = f"{train.__doc__}\n{EXAMPLES}"


def _print_config(
    config_file: str | None, overrides: list[str], out: str | None, *, resume: bool
) -> None:
    """Print what would be trained with."""
    from charrnn.config.reader import dump_config

    if resume:
        from charrnn.training.resuming import changed_config

        config, _ = changed_config(_run_to_resume(config_file, out), config_file, overrides)
    else:
        config = _load(config_file, overrides)
    write_result(dump_config(config).rstrip("\n"))


def _load(config_file: str | None, overrides: list[str]) -> "Config":
    from charrnn.config.reader import load_config

    return load_config(None if config_file is None else Path(config_file), overrides)


def _run_path(config_file: str | None, out: str | None) -> Path:
    from charrnn.run_writer import free_run_path

    if out is not None:
        return Path(out)
    return free_run_path("default" if config_file in {None, "-"} else Path(str(config_file)).stem)


def _begin(
    config_file: str | None,
    overrides: list[str],
    out: str | None,
    minutes: float | None,
    console: Console,
    *,
    as_json: bool,
) -> int:
    """Train a new run."""
    from charrnn.run_writer import RunWriter, check_free

    config = _load(config_file, overrides)
    if minutes is not None and any(each.startswith("train.steps=") for each in overrides):
        raise UserError(
            "--minutes and --set train.steps both say how long to train", hint="leave one out"
        )
    if out is not None:
        check_free(Path(out))
    if console.is_terminal:
        console.note("loading torch and measuring this machine, a moment ...")

    from charrnn.training.plan import resolve
    from charrnn.training.trainer import StopRequest, Trainer, new_model

    corpus = _prepare(config, console)
    _check_memory(config, corpus)
    model = new_model(config, corpus)
    config = resolve(config, model, corpus, None if minutes is None else 60 * minutes)
    stop = StopRequest()
    with RunWriter.create(_run_path(config_file, out), config, corpus.vocabulary) as writer:
        trainer = Trainer(
            config, corpus, model, writer, evaluate=_evaluation(config, corpus), stop=stop
        )
        return _run(trainer, stop, console, as_json=as_json)


def _resume(
    config_file: str | None,
    overrides: list[str],
    out: str | None,
    minutes: float | None,
    console: Console,
    *,
    as_json: bool,
) -> int:
    """Go on with a run that was stopped, or give more steps to one that was not."""
    from charrnn.run_writer import RunWriter
    from charrnn.training.resuming import changed_config, check_same_corpus
    from charrnn.training.trainer import StopRequest, Trainer, new_model

    if minutes is not None:
        raise UserError(
            "--minutes fixes the steps of a new run and cannot be combined with --resume",
            hint="to train longer: --resume --set train.steps=N",
        )
    path = _run_to_resume(config_file, out)
    stop = StopRequest()
    with RunWriter.reopen(path) as writer:
        config, changes = changed_config(path, config_file, overrides)
        corpus = _prepare(config, console)
        check_same_corpus(path, corpus)
        _check_memory(config, corpus, lead=f"{path}: ")
        model = new_model(config, corpus)
        trainer = Trainer(
            config, corpus, model, writer, evaluate=_evaluation(config, corpus), stop=stop
        )
        trainer.resume(changes)
        for change in changes:
            console.note(f"changed for the steps to come: {change}")
        writer.write_config(config)
        return _run(trainer, stop, console, as_json=as_json)


def _run_to_resume(config_file: str | None, out: str | None) -> Path:
    from charrnn.run_writer import last_begun_run

    if out is not None:
        return Path(out)
    return last_begun_run(None if config_file in {None, "-"} else Path(str(config_file)).stem)


def _prepare(config: "Config", console: Console) -> "Corpus":
    from charrnn.text.corpus import prepare

    corpus = prepare(config.data, progress=console.progress).corpus
    if corpus.train.longest_line > LONG_LINE:
        console.warn(
            f"the longest line has {corpus.train.longest_line:,} characters, and is read in one "
            "step; data.mode=stream is for long texts"
        )
    return corpus


def _check_memory(config: "Config", corpus: "Corpus", *, lead: str = "") -> None:
    from charrnn.config.memory import check_memory

    train = config.train
    check_memory(
        config,
        lead=lead,
        vocabulary_size=len(corpus.vocabulary),
        largest_batch=corpus.train.largest_batch(train.batch_size, train.sequence_length),
    )


def _evaluation(config: "Config", corpus: "Corpus") -> "Evaluate":
    """How the trainer scores the validation split: the very functions that `eval` uses."""
    from charrnn.inference.evaluation import score_text
    from charrnn.inference.threaded_network import ThreadedNetwork
    from charrnn.network import Network
    from charrnn.training.trainer import Heartbeat

    valid, vocabulary = corpus.valid, corpus.vocabulary

    def evaluate(network: Network, heartbeat: Heartbeat) -> float:
        shared = ThreadedNetwork(network, config.train.threads or 1)
        score = score_text(shared, valid.ids, valid.starts, vocabulary, progress=heartbeat)
        return score.loss_nats

    return evaluate


def _run(trainer: "Trainer", stop: "StopRequest", console: Console, *, as_json: bool) -> int:
    from charrnn.cli.train_view import view_for
    from charrnn.training.events import Finished, Started

    if trainer.is_over:
        console.note(
            f"all {trainer.config.train.steps:,} steps were done before; "
            "--set train.steps=N trains on"
        )

    finished = None
    with _stopping_at_signals(stop, console) as signals, view_for(console) as view:
        for event in trainer.run():
            if isinstance(event, Started):
                _tell_start(event, trainer, console)
            view.show(event)
            if isinstance(event, Finished):
                finished = event
    assert finished is not None
    _tell_end(finished, trainer, console)
    if as_json:
        write_json(_summary(finished, trainer.writer.path))
    return signals[0] if finished.reason == "stopped" and signals else ExitCode.DONE


@contextmanager
def _stopping_at_signals(stop: "StopRequest", console: Console) -> Iterator[list[int]]:
    """Turn the first Ctrl-C or SIGTERM into a stop request; a second one ends at once.

    A signal that whoever started us wants ignored stays ignored. Yields a list that holds the
    exit code once a signal has come.
    """
    codes: list[int] = []

    def request(number: int, _frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if codes:
            signal.signal(which, before[which])
            signal.raise_signal(which)
            return
        codes.append(EXIT_CODES[which])
        stop.make()
        with suppress(RuntimeError):  # stderr may be in the middle of a line
            console.note("finishing this step and saving; once more to stop at once")

    before = {
        number: signal.signal(number, request)
        for number in EXIT_CODES
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield codes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_start(event: Any, trainer: "Trainer", console: Console) -> None:
    model, corpus = trainer.config.model, trainer.corpus
    console.note(
        f"{trainer.writer.path}: {model.cell} {model.layers} x {model.hidden_size}, "
        f"{event.parameters:,} parameters, {len(corpus.vocabulary)} ids, "
        f"{len(corpus.train.ids):,} characters to learn from; "
        f"{event.steps:,} steps on {event.device} in {event.precision}"
        f"{_threads_in_words(trainer)}"
        + (f", going on after step {event.first_step:,}" if event.first_step else "")
    )


def _tell_end(finished: "Finished", trainer: "Trainer", console: Console) -> None:
    writer = trainer.writer
    if finished.reason == "stopped":
        console.note(
            f"stopped after step {finished.step:,}; "
            f"`charrnn train --resume --out {writer.path}` goes on"
        )
        return
    if finished.reason == "patience":
        console.note(f"stopped early at step {finished.step:,}: no better loss for a while")
    loss = math.nan if finished.best_loss_nats is None else finished.best_loss_nats
    console.facts(
        f"\n{writer.path}",
        [
            ("validation loss", f"{loss:.4f} nats per character (step {finished.best_step:,})"),
            ("bits per character", f"{loss / math.log(2):.4f}"),
            ("trained", f"{finished.chars:,} characters in {finished.seconds:.0f} s"),
            ("clipped", f"{finished.clipped_share:.1%} of the steps"),
            ("next", f"charrnn generate --run {writer.path}{_example_options(trainer)}"),
        ],
    )


def _threads_in_words(trainer: "Trainer") -> str:
    return f" with {trainer.learner.parts} threads" if trainer.learner.parts > 1 else ""


def _example_options(trainer: "Trainer") -> str:
    """Options for a first text that work with every vocabulary."""
    if not trainer.batches.carries_state:
        return " --samples 10"
    return ' --seed "The "' if all(char in trainer.corpus.vocabulary for char in "The ") else ""


def _summary(finished: "Finished", run: Path) -> dict[str, Any]:
    loss = finished.best_loss_nats
    return {
        "run": str(run),
        "reason": finished.reason,
        "step": finished.step,
        "best_step": finished.best_step,
        "valid_loss_nats": loss,
        "bits_per_char": None if loss is None else loss / math.log(2),
        "chars": finished.chars,
        "seconds": round(finished.seconds, 3),
        "clipped_share": finished.clipped_share,
    }
