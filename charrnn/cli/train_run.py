"""The work of `train`, step by step: begin a run or resume one, train, report.

Imported when the command runs. torch is imported last of all, so that what is wrong with the
options, the configuration or the run is told at once.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli.signals import GracefulStop, Interrupted
from charrnn.cli.train_display import (
    choice_in_words,
    end_report,
    start_in_words,
    summary,
    transfer_in_words,
    view_for,
)
from charrnn.config.load import LoadedConfig, dump_config, load_for_training
from charrnn.config.memory import check_memory
from charrnn.config.schema import Config
from charrnn.console import Console, write_json, write_result
from charrnn.run.paths import RUNS_FOLDER, free_run_path, last_begun_run
from charrnn.run.reader import TrainedModel, read_model
from charrnn.run.writer import RunWriter, check_free
from charrnn.text.corpus import Corpus, find_prepared
from charrnn.text.prepare import prepare
from charrnn.text.sources import can_be_read_again
from charrnn.training.events import Finished, Started

if TYPE_CHECKING:
    from charrnn.training.model import CharRNN
    from charrnn.training.trainer import Trainer

SECONDS_A_MINUTE = 60
STDIN = Path("-")


def print_config(
    config_file: Path | None,
    overrides: Sequence[str],
    out: Path | None,
    init_from: Path | None,
    *,
    resume: bool,
) -> None:
    """Print the configuration that would be trained with."""
    if resume:
        from charrnn.training.resume import changed_config

        path = out or last_begun_run(_name_in(config_file))
        config, _ = changed_config(path, config_file, overrides)
    else:
        source = None if init_from is None else read_model(init_from)
        config = _load_config(config_file, overrides, source).config
    write_result(dump_config(config).rstrip("\n"))


def begin(
    config_file: Path | None,
    overrides: Sequence[str],
    out: Path | None,
    console: Console,
    *,
    overwrite: bool,
    init_from: Path | None,
    minutes: float | None,
    as_json: bool,
) -> None:
    """Train a new run.

    Raises:
        UserError: The configuration or the text is not as it must be, or the run exists.
        RunFailedError: The training diverged, or the disk failed.
        Interrupted: A signal stopped the training.
    """
    source = None if init_from is None else read_model(init_from)
    config, explicit, ignored = _load_config(config_file, overrides, source)
    for note in ignored:
        console.note(note)
    if out is not None:
        check_free(out, overwrite=overwrite)
    if console.is_terminal:
        console.note("loading torch and measuring this machine, a moment ...")
    from charrnn.training.model import new_model

    corpus = prepare(config.data, progress=console.progress).corpus
    _check_memory(config, corpus)
    config = _tune(config, explicit, corpus, minutes, console)
    model = new_model(config, corpus)
    notes = [] if source is None else [_take_weights(source, model, corpus, console)]
    path = out or _path_of_new_run(config_file, overwrite=overwrite)
    with RunWriter.claim(path, corpus.vocabulary, overwrite=overwrite) as writer:
        writer.notes += notes
        _train(_trainer(config, corpus, model, writer), console, as_json=as_json)


def resume(
    config_file: Path | None,
    overrides: Sequence[str],
    out: Path | None,
    from_step: int | None,
    console: Console,
    *,
    as_json: bool,
) -> None:
    """Train on with a run that was stopped, or that is to have more steps.

    Raises:
        UserError: The run, its text or the changes to its configuration do not allow it.
        RunFailedError: The training diverged, or the disk failed.
        Interrupted: A signal stopped the training.
    """
    from charrnn.training.model import new_model
    from charrnn.training.resume import changed_config

    path = out or last_begun_run(_name_in(config_file))
    with RunWriter.reopen(path) as writer:
        config, changes = changed_config(path, config_file, overrides)
        corpus = _corpus_again(config, writer, console)
        _check_memory(config, corpus, lead=f"{path}: ")
        trainer = _trainer(config, corpus, new_model(config, corpus), writer)
        if from_step is not None:
            writer.go_back(from_step)
            changes.append(f"gone back to step {from_step}")
        trainer.resume(changes)
        for change in changes:
            console.note(f"changed for the steps to come: {change}")
        _train(trainer, console, as_json=as_json)


def _name_in(config_file: Path | None) -> str | None:
    """Return the name that a configuration file gives a run; None for stdin."""
    return None if config_file in {None, STDIN} else Path(str(config_file)).stem


def _path_of_new_run(config_file: Path | None, *, overwrite: bool) -> Path:
    name = _name_in(config_file) or "default"
    return RUNS_FOLDER / name if overwrite else free_run_path(name)


def _load_config(
    config_file: Path | None, overrides: Sequence[str], source: TrainedModel | None
) -> LoadedConfig:
    """Load the configuration of a new run; with a source, its network has the source's sizes."""
    if source is None:
        return load_for_training(config_file, overrides)
    from charrnn.training.transfer import check_same_network, sizes_of

    loaded = load_for_training(config_file, overrides, model=sizes_of(source.card))
    check_same_network(loaded.config.model, source)
    return loaded


def _corpus_again(config: Config, writer: RunWriter, console: Console) -> Corpus:
    """Return the text of a run; what came through a pipe is taken as it was prepared."""
    is_there = all(map(can_be_read_again, config.data.sources))
    state = None if is_there else writer.load_last()
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


def _tune(
    config: Config,
    explicit: frozenset[str],
    corpus: Corpus,
    minutes: float | None,
    console: Console,
) -> Config:
    """Decide by measuring what the configuration leaves open; settings in `explicit` stay."""
    from charrnn.training.autotune import resolve
    from charrnn.training.model_size import choose_size, is_size_open

    seconds = None if minutes is None else SECONDS_A_MINUTE * minutes
    if seconds is None or not is_size_open(config, explicit):
        return resolve(config, corpus, seconds)
    tuned = choose_size(config, explicit, corpus, seconds)
    console.note(choice_in_words(tuned))
    return tuned


def _take_weights(source: TrainedModel, model: "CharRNN", corpus: Corpus, console: Console) -> str:
    """Take another run's weights; returns a note on how the characters compare."""
    from charrnn.training.transfer import take_weights

    note = transfer_in_words(take_weights(model, corpus.vocabulary, source))
    console.note(note)
    return note


def _trainer(config: Config, corpus: Corpus, model: "CharRNN", writer: RunWriter) -> "Trainer":
    from charrnn.training.trainer import Trainer

    return Trainer(config, corpus, model, writer)


def _train(trainer: "Trainer", console: Console, *, as_json: bool) -> None:
    """Train to the end or to a signal, and report."""

    def stop() -> None:
        trainer.request_stop()
        with suppress(RuntimeError):  # the signal may have come while stderr was written to
            console.note("finishing this step and saving; once more to stop at once")

    if trainer.is_over:
        console.note(
            f"all {trainer.config.train.steps:,} steps were done before; "
            "--set train.steps=N trains on"
        )
    finished = None
    with GracefulStop(stop) as signals, view_for(console) as view:
        for event in trainer.run():
            if isinstance(event, Started):
                console.note(start_in_words(event, trainer))
            elif isinstance(event, Finished):
                finished = event
            view.show(event)
    assert finished is not None
    end_report(finished, trainer, console)
    if as_json:
        write_json(summary(finished, trainer.writer.path))
    if finished.reason == "stopped" and signals.exit_code is not None:
        raise Interrupted(signals.exit_code)
