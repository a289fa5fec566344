"""The work of `train`, step by step: begin a run or resume one, train, report.

Imported when the command runs. torch is imported last of all, so that what is wrong with the
options, the configuration or the run is told at once.
"""

import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn import __version__
from charrnn.cli.prepare import tell_what_is_odd, unit_of
from charrnn.cli.signals import HeldSignals, Interrupted, end_at_once
from charrnn.cli.train import TrainArguments
from charrnn.cli.train_display import (
    choice_in_words,
    end_report,
    rise_in_words,
    start_in_words,
    summary,
    training_view,
    transfer_in_words,
)
from charrnn.config.load import LoadedConfig, dump_config, load_for_training, retired_notes
from charrnn.config.memory import check_memory
from charrnn.config.schema import Config
from charrnn.console import Console, write_json, write_result
from charrnn.errors import UserError
from charrnn.messages import format_name, format_path, join_words, shell_word
from charrnn.run.paths import (
    CONFIG_FILE,
    RUNS_FOLDER,
    TENSORBOARD_FOLDER,
    free_run_path,
    last_begun_run,
)
from charrnn.run.reader import TrainedModel, read_model
from charrnn.run.writer import NoWriter, RunWriter, check_free
from charrnn.text.corpus import Corpus, find_prepared
from charrnn.text.prepare import prepare
from charrnn.text.prepared_source import with_prepared_options
from charrnn.text.sources import can_be_read_again
from charrnn.training.events import Evaluated, Event, Finished, Started
from charrnn.training.process_group import ProcessGroup, is_launched, join_process_group
from charrnn.training.tensorboard import check_available, tensorboard_log

if TYPE_CHECKING:
    from charrnn.training.clock import Clock
    from charrnn.training.trainer import Trainer

STARTING_SECONDS = 1.0
"""What starting Python may have taken before the command began, at most."""
PLACES = {"data.source", "data.valid_source", "data.include", "data.exclude", "data.sha256"}
"""Settings that may differ from machine to machine, since what counts is what is read."""
SHOWN_DIGITS = 12
RISES = 3
"""A validation loss that has only risen in so many evaluations is remarked on."""


def run(arguments: TrainArguments) -> None:
    """Train a new run, or train on with one, or print the configuration alone.

    Raises:
        UserError: The configuration, the text or the run is not as it must be.
        RunFailedError: The training diverged, or the disk failed.
        Interrupted: A signal stopped the training.
    """
    if is_launched():
        end_at_once()  # a process that waits for others would hear of a signal when they come
    group = join_process_group()
    console = Console(quiet=arguments.quiet or not group.is_first)
    if arguments.tensorboard:
        group.each(check_available)
    known = group.remembered_run(is_resuming=arguments.resume)
    if known is not None:
        can_resume = group.first((known / CONFIG_FILE).is_file)
        arguments = _arguments_again(arguments, known, can_resume=can_resume)
    if arguments.resume:
        _resume(arguments, group, console)
    else:
        _begin(arguments, group, console)


def _arguments_again(arguments: TrainArguments, known: Path, *, can_resume: bool) -> TrainArguments:
    """What to do where torchrun has started processes in place of some that had begun a run."""
    if arguments.resume:
        return replace(arguments, out=known, from_step=None)
    if can_resume:
        return TrainArguments(
            out=known,
            resume=True,
            data_dir=arguments.data_dir,
            tensorboard=arguments.tensorboard,
            json=arguments.json,
            quiet=arguments.quiet,
        )
    return replace(arguments, out=known)


def _begin(arguments: TrainArguments, group: ProcessGroup, console: Console) -> None:
    """Train a new run."""
    begin = time.monotonic() - min(time.process_time(), STARTING_SECONDS)
    console.note_waiting([str(arguments.config_file)])
    source, loaded = group.each(lambda: _read(arguments, group))
    if arguments.print_config:
        if group.is_first:
            write_result(dump_config(loaded.config).rstrip("\n"))
        return
    for note in loaded.notes:
        console.note(note)
    console.note_waiting(loaded.config.data.sources)
    group.first(lambda: check_free(_path_of_new_run(arguments), overwrite=arguments.overwrite))
    try:
        trainer = _trainer_of(arguments, loaded, source, begin, group, console)
    except Interrupted:
        console.note("stopped before the first step: nothing was saved")
        raise
    with trainer.writer:
        _train(trainer, arguments, console)


def _read(
    arguments: TrainArguments, group: ProcessGroup
) -> tuple[TrainedModel | None, LoadedConfig]:
    """Read the run whose weights are taken, if there is one, and the configuration."""
    source = None if arguments.init_from is None else read_model(arguments.init_from)
    if group.size > 1:
        _refuse_stdin([str(arguments.config_file)])
    loaded = _take_prepared_options(_load_config(arguments, source))
    if group.size > 1:
        _refuse_stdin(loaded.config.data.sources + loaded.config.data.valid_sources)
    return source, loaded


def _refuse_stdin(names: list[str]) -> None:
    """Refuse what only one of several processes could read.

    Raises:
        UserError: stdin is among these names.
    """
    if "-" in names:
        raise UserError("several processes cannot all read stdin", hint="name a file in place of -")


def _trainer_of(
    arguments: TrainArguments,
    loaded: LoadedConfig,
    source: TrainedModel | None,
    begin: float,
    group: ProcessGroup,
    console: Console,
) -> "Trainer":
    """Prepare the text, decide what is open, and claim the run directory."""
    corpus = group.each(lambda: _corpus_of(loaded.config, arguments.data_dir, group, console))
    _check_alike(loaded.config, corpus, group, console)
    if console.is_terminal:
        console.note("loading torch and measuring this machine, a moment ...")
    from charrnn.training.clock import Clock
    from charrnn.training.model import new_model
    from charrnn.training.trainer import Trainer
    from charrnn.training.transfer import take_weights

    clock = None
    if arguments.minutes is not None and group.is_first:
        slowdown = max(1.0, (time.monotonic() - begin) / time.process_time())
        clock = Clock(60 * arguments.minutes, begin, slowdown)
    config = group.first(
        lambda: _tune(loaded, corpus, clock, group, by_rule=arguments.deterministic)
    )
    if chosen := choice_in_words(loaded.config, config):
        console.note(f"chosen: {chosen}")
    config = _with_room(config, loaded.explicit, corpus)
    model = new_model(config, corpus)
    notes = []
    if source is not None:
        notes.append(transfer_in_words(take_weights(model, corpus.vocabulary, source)))
        console.note(notes[0])
    writer = _claim(arguments, corpus, group)
    writer.notes += notes
    try:
        return Trainer(config, corpus, model, writer, clock, group)
    except BaseException:
        writer.close()
        raise


def _corpus_of(
    config: Config, data_dir: Path | None, group: ProcessGroup, console: Console
) -> Corpus:
    """Prepare the text, once on each machine; warn of what is odd, refuse what is too large."""
    with group.in_turns():
        prepared = prepare(config.data, data_dir=data_dir, progress=console.progress)
    for warning in prepared.warnings:
        console.warn(warning)
    tell_what_is_odd(prepared.corpus.manifest, unit_of(config.data), console)
    _check_memory(config, prepared.corpus)
    return prepared.corpus


def _claim(arguments: TrainArguments, corpus: Corpus, group: ProcessGroup) -> RunWriter:
    """Take the folder of the new run, in process 0."""
    writer = None

    def claim() -> Path:
        nonlocal writer
        path = _path_of_new_run(arguments)
        writer = RunWriter.claim(path, corpus.vocabulary, overwrite=arguments.overwrite)
        group.remember_run(path)
        return path

    path = group.first(claim)
    group.remember_run(path)
    return writer or NoWriter(path)


def _load_config(arguments: TrainArguments, source: TrainedModel | None) -> LoadedConfig:
    """Load the configuration of a new run; with a source, its network has the source's sizes."""
    if source is None:
        return load_for_training(arguments.config_file, arguments.settings)
    from charrnn.training.model import sizes_of
    from charrnn.training.transfer import check_same_network

    sizes = sizes_of(source.card)
    loaded = load_for_training(arguments.config_file, arguments.settings, model=sizes)
    check_same_network(loaded.config.model, source)
    return loaded


def _take_prepared_options(loaded: LoadedConfig) -> LoadedConfig:
    """Let a prepared corpus that is the source say how its text was read."""
    data = with_prepared_options(loaded.config.data, loaded.explicit)
    return loaded._replace(config=replace(loaded.config, data=data))


def _with_room(config: Config, explicit: frozenset[str], corpus: Corpus) -> Config:
    """Let generation go on for as long as the longest example, unless a length was given."""
    longest = corpus.train.longest_line - 1
    if "generate.length" in explicit or longest <= config.generate.length:
        return config
    return replace(config, generate=replace(config.generate, length=longest))


def _path_of_new_run(arguments: TrainArguments) -> Path:
    if arguments.out is not None:
        return arguments.out
    name = arguments.name or "default"
    return RUNS_FOLDER / name if arguments.overwrite else free_run_path(name)


def _resume(arguments: TrainArguments, group: ProcessGroup, console: Console) -> None:
    """Train on with a run that was stopped, or that is to have more steps."""
    from charrnn.training.resume import changed_config

    path = group.first(lambda: arguments.out or last_begun_run(arguments.name))

    def changed() -> tuple[Config, list[str]]:
        return changed_config(path, arguments.config_file, arguments.settings)

    if arguments.print_config:
        config, _ = group.first(changed)
        if group.is_first:
            write_result(dump_config(config).rstrip("\n"))
        return
    with _reopen(path, group) as writer:
        config, changes = group.first(changed)
        for note in retired_notes(each.partition("=")[0] for each in arguments.settings):
            console.note(note)
        corpus = group.each(
            lambda: _corpus_again(config, writer, arguments.data_dir, group, console)
        )
        _check_alike(config, corpus, group, console)
        from charrnn.training.model import new_model
        from charrnn.training.trainer import Trainer

        trainer = Trainer(config, corpus, new_model(config, corpus), writer, group=group)
        if (step := arguments.from_step) is not None:
            group.first(lambda: writer.saves.go_back(step))
            changes.append(f"gone back to step {step}")
        group.remember_run(path)
        trainer.resume(changes)
        for change in changes:
            console.note(f"changed for the steps to come: {change}")
        _train(trainer, arguments, console)


def _reopen(path: Path, group: ProcessGroup) -> RunWriter:
    """Go on in a run, in process 0."""
    writer: RunWriter = NoWriter(path)

    def reopen() -> None:
        nonlocal writer
        writer = RunWriter.reopen(path)

    group.first(reopen)
    return writer


def _corpus_again(
    config: Config,
    writer: RunWriter,
    data_dir: Path | None,
    group: ProcessGroup,
    console: Console,
) -> Corpus:
    """Return the text of a run; what cannot be read again is taken as it was prepared.

    Raises:
        UserError: It is neither there nor prepared, or larger than the memory.
    """
    names = config.data.sources + config.data.valid_sources
    gone = [name for name in names if not can_be_read_again(name)]
    state = writer.load_last() if gone else None
    corpus = None
    if state is not None:
        sha256 = str(state.description.get("corpus_sha256"))
        corpus = find_prepared(config.data, sha256, data_dir)
        if corpus is not None:
            missing = join_words(map(format_name, gone), "and")
            console.note(f"{missing} cannot be read again; the text is taken from {corpus.path}")
    try:
        with group.in_turns():
            corpus = (
                corpus or prepare(config.data, data_dir=data_dir, progress=console.progress).corpus
            )
    except UserError as error:
        if not gone:
            raise
        raise UserError(
            f"{format_path(writer.path)}: {error.message}",
            hint="--set data.source=PATH says where the text is now",
            exit_code=error.exit_code,
        ) from error
    _check_memory(config, corpus, lead=f"{writer.path}: ")
    return corpus


def _check_alike(config: Config, corpus: Corpus, group: ProcessGroup, console: Console) -> None:
    """Refuse processes that would not compute the same as process 0.

    Raises:
        UserError: The versions, the settings or the texts differ.
    """
    if group.size == 1:
        return
    settings = {
        f"{section}.{name}": value
        for section, values in asdict(config).items()
        for name, value in values.items()
        if f"{section}.{name}" not in PLACES
    }
    facts = {
        "charrnn": __version__,
        "torch": metadata.version("torch"),
        "a text whose SHA-256 begins with": corpus.manifest.corpus_sha256[:SHOWN_DIGITS],
        **settings,
    }
    told = group.all((socket.gethostname(), facts, group.processor))
    _, theirs, first_processor = told[0]
    for rank, (host, facts, processor) in enumerate(told):
        for name, fact in facts.items():
            if fact != theirs[name]:
                raise group.told_by_first(
                    UserError(
                        f"process {rank} on {host} has {name} {fact}, process 0 has {theirs[name]}",
                        hint="all processes need the same version, configuration and text",
                    )
                )
        if processor != first_processor:
            console.warn(
                f"process {rank} on {host} has another kind of processor ({processor}, not "
                f"{first_processor}): the weights will not have the bits of a training on one kind"
            )


def _check_memory(config: Config, corpus: Corpus, *, lead: str = "") -> None:
    """Refuse what this machine cannot hold, now that the text is known."""
    check_memory(
        config,
        lead=lead,
        vocabulary_size=len(corpus.vocabulary),
        longest_line=corpus.train.longest_line,
    )


def _tune(
    loaded: LoadedConfig,
    corpus: Corpus,
    clock: "Clock | None",
    group: ProcessGroup,
    *,
    by_rule: bool,
) -> Config:
    """Decide what the configuration leaves open; settings that were given stay."""
    from charrnn.training.autotune import resolve
    from charrnn.training.clock import fit_to_time

    if clock is None:
        return resolve(loaded.config, corpus, group, by_rule=by_rule)
    return fit_to_time(loaded.config, loaded.explicit, corpus, clock, group)


def _train(trainer: "Trainer", arguments: TrainArguments, console: Console) -> None:
    """Train to the end or to a signal, and report."""

    def stop() -> None:
        trainer.request_stop()
        with suppress(RuntimeError):  # the signal may have come while stderr was written to
            at_once = "" if is_launched() else "; once more to stop at once"
            console.note(f"finishing this step and saving{at_once}")

    if trainer.is_over:
        console.note(_over_in_words(trainer))
    losses: list[float] = []
    with (
        HeldSignals(stop, is_patient=is_launched()) as signals,
        training_view(console, trainer.corpus.vocabulary.unit) as view,
        _tensorboard(trainer, wanted=arguments.tensorboard and trainer.group.is_first) as log,
    ):
        for event in trainer.run():
            if isinstance(event, Started):
                console.note(start_in_words(event, trainer))
            view.show(event)
            log(event)
            if isinstance(event, Evaluated):
                losses.append(event.valid_loss_nats)
                if len(losses) == RISES and losses == sorted(losses):
                    console.warn(rise_in_words(trainer.corpus.manifest))
    assert isinstance(event, Finished)
    end_report(event, trainer, console)
    if arguments.json and trainer.group.is_first:
        write_json(summary(event, trainer.writer.path, trainer.corpus.vocabulary.unit))
    trainer.group.close()
    if event.reason == "stopped" and not is_launched():  # torchrun would begin anew
        signals.check()


def _over_in_words(trainer: "Trainer") -> str:
    """Say why no step is left, and how to have more."""
    done, run = trainer.progress.step, shell_word(trainer.writer.path)
    if done < trainer.config.train.steps:
        why, setting = f"stopped early before, at step {done:,}", "train.patience=null"
    else:
        why, setting = f"all {done:,} steps were done before", f"train.steps={2 * done}"
    return f"{why}; `charrnn train --resume --out {run} --set {setting}` trains on"


def _tensorboard(
    trainer: "Trainer", *, wanted: bool
) -> AbstractContextManager[Callable[[Event], None]]:
    """Open event files for TensorBoard, or nothing."""
    if not wanted:
        return nullcontext(lambda _event: None)
    every = trainer.config.train.log_every_steps
    return tensorboard_log(trainer.writer.path / TENSORBOARD_FOLDER, every)
