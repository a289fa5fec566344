"""The work of `train`: a run begun, or gone on with; imported when the command runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli.train_request import Request
from charrnn.cli.train_signals import stopping_at_signals
from charrnn.config.load import LoadedConfig, dump_config, load_for_training
from charrnn.config.memory import check_memory
from charrnn.config.schema import Config
from charrnn.console import Console, write_json, write_result
from charrnn.errors import ExitCode
from charrnn.run.paths import RUNS_FOLDER
from charrnn.run.reader import TrainedModel, read_model
from charrnn.run.writer import RunWriter, check_free, free_run_path, last_begun_run
from charrnn.text.corpus import Corpus, find_prepared, prepare
from charrnn.text.sources import can_be_read_again

if TYPE_CHECKING:
    from charrnn.training.model import CharRNN
    from charrnn.training.trainer import Evaluate, Trainer

SECONDS_A_MINUTE = 60


def show_config(request: Request) -> None:
    """Print what would be trained with."""
    if request.resume:
        from charrnn.training.resume import changed_config

        config, _ = changed_config(_run_to_resume(request), request.config_path, request.overrides)
    else:
        config = _wanted(request, _source(request)).config
    write_result(dump_config(config).rstrip("\n"))


def carry_out(request: Request, console: Console) -> int:
    """Train; returns the exit code.

    Raises:
        UserError: The configuration, the text or the run is not as it must be.
        RunFailedError: The training diverged, or the disk failed.
    """
    ready = _resumed if request.resume else _begun
    with ready(request, console) as trainer:
        return _run(trainer, console, as_json=request.json)


@contextmanager
def _begun(request: Request, console: Console) -> Iterator["Trainer"]:
    """The training of a new run."""
    source = _source(request)
    config, named, ignored = _wanted(request, source)
    for note in ignored:
        console.note(note)
    if request.out is not None:
        check_free(Path(request.out), overwrite=request.overwrite)
    if console.is_terminal:
        console.note("loading torch and measuring this machine, a moment ...")

    from charrnn.cli.train_report import choice_in_words
    from charrnn.training.recipe import leaves_size_open, settled
    from charrnn.training.trainer import new_model

    corpus = prepare(config.data, progress=console.progress).corpus
    _check_memory(config, corpus)
    seconds = None if request.minutes is None else SECONDS_A_MINUTE * request.minutes
    is_chosen = seconds is not None and leaves_size_open(config, named)
    config = settled(config, named, corpus, seconds)
    _check_memory(config, corpus)
    if is_chosen:
        console.note(choice_in_words(config))
    model = new_model(config, corpus)
    notes = [] if source is None else [_taken_over(source, model, corpus, console)]
    path = _run_to_begin(request)
    with RunWriter.claim(path, corpus.vocabulary, overwrite=request.overwrite) as writer:
        writer.notes += notes
        yield _trainer(config, corpus, model, writer)


@contextmanager
def _resumed(request: Request, console: Console) -> Iterator["Trainer"]:
    """The training of a run that was stopped, or that is to have more steps."""
    from charrnn.training.resume import changed_config, check_same_corpus
    from charrnn.training.trainer import new_model

    path = _run_to_resume(request)
    with RunWriter.reopen(path) as writer:
        config, changes = changed_config(path, request.config_path, request.overrides)
        corpus = _corpus_again(config, writer, console)
        check_same_corpus(path, corpus)
        _check_memory(config, corpus, lead=f"{path}: ")
        trainer = _trainer(config, corpus, new_model(config, corpus), writer)
        if request.from_step is not None:
            writer.go_back(request.from_step)
            changes.append(f"gone back to step {request.from_step}")
        trainer.resume(changes)
        for change in changes:
            console.note(f"changed for the steps to come: {change}")
        yield trainer


def _trainer(config: Config, corpus: Corpus, model: "CharRNN", writer: RunWriter) -> "Trainer":
    from charrnn.training.trainer import StopRequest, Trainer

    evaluate = _evaluation(config, corpus)
    return Trainer(config, corpus, model, writer, evaluate=evaluate, stop=StopRequest())


def _corpus_again(config: Config, writer: RunWriter, console: Console) -> Corpus:
    """The text that a run is trained on; what came through a pipe is taken as it was prepared."""
    state = None if all(map(can_be_read_again, config.data.sources)) else writer.load_last()
    if state is not None:
        corpus = find_prepared(config.data, str(state.description.get("corpus_sha256")))
        if corpus is not None:
            return corpus
    return prepare(config.data, progress=console.progress).corpus


def _check_memory(config: Config, corpus: Corpus, *, lead: str = "") -> None:
    """Refuse what this machine cannot hold, now that the text is known."""
    check_memory(
        config,
        lead=lead,
        vocabulary_size=len(corpus.vocabulary),
        longest_line=corpus.train.longest_line,
    )


def _source(request: Request) -> TrainedModel | None:
    """The run whose weights a new one begins with."""
    return None if request.init_from is None else read_model(Path(request.init_from))


def _wanted(request: Request, source: TrainedModel | None) -> LoadedConfig:
    """What a new run is to be trained with."""
    if source is None:
        return load_for_training(request.config_path, request.overrides)
    from charrnn.training.transfer import check_same_network, sizes_of

    wanted = load_for_training(request.config_path, request.overrides, model=sizes_of(source.card))
    check_same_network(wanted.config.model, source)
    return wanted


def _taken_over(source: TrainedModel, model: "CharRNN", corpus: Corpus, console: Console) -> str:
    """Take another run's weights, and tell how the characters compare; returns a note of it."""
    from charrnn.cli.train_report import transfer_in_words
    from charrnn.training.transfer import take_weights

    words = transfer_in_words(take_weights(model, corpus.vocabulary, source))
    console.note(words)
    return words


def _run_to_begin(request: Request) -> Path:
    if request.out is not None:
        return Path(request.out)
    name = request.name or "default"
    return RUNS_FOLDER / name if request.overwrite else free_run_path(name)


def _run_to_resume(request: Request) -> Path:
    return Path(request.out) if request.out is not None else last_begun_run(request.name)


def _evaluation(config: Config, corpus: Corpus) -> "Evaluate":
    """How the trainer scores the validation split: the very functions that `eval` uses."""
    from charrnn.evaluation.evaluate import score_text
    from charrnn.evaluation.threaded_network import ThreadedNetwork, rows_for
    from charrnn.network import Network

    valid, vocabulary = corpus.valid, corpus.vocabulary
    threads = config.train.threads or 1
    rows = rows_for(threads)

    def evaluate(network: Network) -> float:
        shared = ThreadedNetwork(network, threads)
        return score_text(shared, valid.ids, valid.starts, vocabulary, rows=rows).loss_nats

    return evaluate


def _run(trainer: "Trainer", console: Console, *, as_json: bool) -> int:
    from charrnn.cli.train_report import summary, tell_end, tell_start
    from charrnn.cli.train_view import view_for
    from charrnn.training.events import Finished, Started

    if trainer.is_over:
        console.note(
            f"all {trainer.config.train.steps:,} steps were done before; "
            "--set train.steps=N trains on"
        )

    finished = None
    with stopping_at_signals(trainer.stop, console) as signals, view_for(console) as view:
        for event in trainer.run():
            if isinstance(event, Started):
                tell_start(event, trainer, console)
            view.show(event)
            if isinstance(event, Finished):
                finished = event
    assert finished is not None
    tell_end(finished, trainer, console)
    if as_json:
        write_json(summary(finished, trainer.writer.path))
    return signals[0] if finished.reason == "stopped" and signals else ExitCode.DONE
