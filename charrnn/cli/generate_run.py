"""The work of `generate`: one text shown as it is made, or many, in order.

Imported when the command runs, for it is the first to need NumPy.
"""

import os
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from charrnn.cli.generate import GenerateArguments
from charrnn.cli.generate_output import ResultFormat, TextOutput
from charrnn.cli.seed_input import STDIN, read_seed, read_seeds, unescaped
from charrnn.cli.signals import HeldSignals, Interrupted
from charrnn.console import Console
from charrnn.errors import ExitCode, UserError
from charrnn.files import check_writable
from charrnn.generation.generate import Stream, prefill
from charrnn.generation.language_model import LanguageModel, load
from charrnn.generation.options import choose_rng_seed
from charrnn.generation.rng import UniformStream
from charrnn.generation.sequence import Sequence
from charrnn.generation.task import GenerationTask
from charrnn.run.model_card import ModelCard
from charrnn.run.paths import resolve_run

ESCAPED = ("stop", "allow", "ban")
FILES = ("grammar", "json_schema")


def run(arguments: GenerateArguments, changes: dict[str, Any]) -> ExitCode:
    """Generate what is asked for; `changes` are the options of the generation that were given.

    Returns the exit code: a bad one among many seeds is wrong input, though the others are done.

    Raises:
        UserError: Something about the run, the options or a seed is wrong.
        Interrupted: A signal stopped it; what was made has been written.
        BrokenPipeError: The reader of stdout is gone.
    """
    console = Console(quiet=arguments.quiet)
    model = load(resolve_run(arguments.run))
    options = changes | _read_files_and_escapes(changes, escapes=arguments.escapes)
    task = model.task(**options)
    inputs = (arguments.text, arguments.seed_file, arguments.seeds, arguments.adapt)
    console.note_waiting([each or "" for each in inputs])
    if arguments.next is None:
        _check_end(arguments, task)
    if arguments.adapt is not None:
        from charrnn.cli.generate_adapt import adapted_to

        model = adapted_to(arguments.adapt, model, arguments.adapt_rate, console)
        task = model.task(**options)
    results = ResultFormat(arguments, model.trained)
    is_one_text = arguments.is_single and arguments.next is None
    stream = _begin_stream(arguments, model, task) if is_one_text else None
    with HeldSignals() as signals:
        out = TextOutput(signals, console, is_binary=model.vocabulary.is_binary)
        try:
            if arguments.next is not None:
                from charrnn.cli.generate_next import write_next

                return write_next(arguments, task, _seeds(arguments, model), out, console)
            if stream is None:
                return _write_many(arguments, _seeds(arguments, model), task, results, out, console)
            try:
                _write_one(arguments, stream, results, out)
            except Interrupted as interrupt:
                if not interrupt.is_second:
                    _save_stream(arguments, stream, out, model.trained.card)
                raise
            _save_stream(arguments, stream, out, model.trained.card)
        finally:
            out.end_line()
        if arguments.novelty is not None and not arguments.json:
            console.note(results.novelty_note(stream.sequence.result()))
    return ExitCode.DONE


def _read_files_and_escapes(changes: dict[str, Any], *, escapes: bool) -> dict[str, Any]:
    """The options that are given as files, and those that may have escapes, as they are meant."""
    read: dict[str, Any] = {
        name: read_seed(changes[name]) for name in FILES if changes[name] is not None
    }
    for name in ESCAPED if escapes else ():
        if (value := changes[name]) is not None:
            is_text = isinstance(value, str)
            read[name] = unescaped(value) if is_text else [unescaped(each) for each in value]
    return read


def _check_end(arguments: GenerateArguments, task: GenerationTask) -> None:
    """An endless text can be shown as it is made; nothing else can be done with it."""
    if not task.may_never_end:
        return
    wanted = "--json" if arguments.json else "" if arguments.is_single else "more than one text"
    if wanted or arguments.novelty:
        raise UserError(
            f"--length 0 never ends, and {wanted or '--novelty'} needs the end",
            hint="a --length, or a --stop",
        )


def _seeds(arguments: GenerateArguments, model: LanguageModel) -> Iterable[str | UserError]:
    """The seed of a call, or its seeds, one a line."""
    is_line = model.vocabulary.has_lines
    own_encoding = None if model.vocabulary.is_binary else model.text_format.encoding
    path = STDIN if arguments.text == STDIN else arguments.seed_file
    if path is not None:
        seed = read_seed(path, own_encoding)
        # The last line end of a file is not part of its line.
        return [seed.removesuffix("\n").removesuffix("\r") if is_line else seed]
    if arguments.seeds is not None:
        return read_seeds(arguments.seeds, own_encoding, escapes=arguments.escapes)
    seed = arguments.text or ""
    if own_encoding is None:
        seed = os.fsencode(seed).decode("latin-1")  # the bytes that were typed
    return [unescaped(seed) if arguments.escapes else seed]


# --- One text ------------------------------------------------------------------------------------


def _begin_stream(
    arguments: GenerateArguments, model: LanguageModel, task: GenerationTask
) -> Stream:
    """Read the seed, after the stream that was saved if there is one."""
    _check_state_files(arguments, task)
    saved = None
    if arguments.load_state is not None:
        from charrnn.generation.stream_state import load_stream

        saved = load_stream(arguments.load_state, model.trained.card)
    if saved is not None and arguments.rng_seed in {None, saved.rng_seed}:
        uniforms = UniformStream(saved.rng_seed, sample=0, position=saved.position)
    else:
        uniforms = UniformStream(choose_rng_seed(arguments.rng_seed), sample=0)
    seed = str(next(iter(_seeds(arguments, model))))
    prefix = prefill(task.prefix(seed, saved.prefix if saved else None), task.network)
    sequence = Sequence(
        task,
        prefix,
        uniforms,
        seed=seed,
        keep=arguments.json or arguments.novelty is not None,
        scored=arguments.json,
    )
    return Stream(task, sequence)


def _check_state_files(arguments: GenerateArguments, task: GenerationTask) -> None:
    """Find out before the text is made that its state could not be saved."""
    if task.eos_id is not None and (arguments.load_state or arguments.save_state):
        raise UserError(
            "--save-state and --load-state are for streams, and this model writes lines",
            hint="a line ends by itself; there is nothing to go on with",
        )
    if arguments.save_state is None:
        return
    if task.constraint is not None:
        raise UserError(
            f"`save_state` and `{task.options.constraint}` exclude each other: "
            "a text that was held to one is complete"
        )
    path = arguments.save_state
    if not path.parent.is_dir():
        raise UserError(f"--save-state {path}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise UserError(f"--save-state {path} is not a plain file")
    check_writable(path)


def _write_one(
    arguments: GenerateArguments, stream: Stream, results: ResultFormat, out: TextOutput
) -> None:
    """Write a text as it is made, or a JSON object that tells of it, also when interrupted."""
    try:
        if not (arguments.json or arguments.no_echo):
            out.write(stream.sequence.seed)
        while not stream.has_ended:
            text = stream.advance()
            if not arguments.json:
                out.write(text)
            out.check()
    except Interrupted:
        if arguments.json:
            out.write(results.json_line(stream.sequence.result()))
        raise
    if arguments.json:
        out.write(results.json_line(stream.sequence.result()))
    else:
        out.write(results.terminator)


def _save_stream(
    arguments: GenerateArguments, stream: Stream, out: TextOutput, card: ModelCard
) -> None:
    """Save where a stream stands if asked to, once all that it has made is written."""
    if arguments.save_state is None:
        return
    from charrnn.generation.stream_state import SavedStream, save_stream

    if not arguments.json:
        out.write(stream.sequence.release())
    out.flush()
    uniforms = stream.sequence.uniforms
    saved = SavedStream(
        prefix=stream.prefix(), rng_seed=uniforms.rng_seed, position=uniforms.position
    )
    save_stream(arguments.save_state, saved, card)


# --- Many texts ----------------------------------------------------------------------------------


def _write_many(
    arguments: GenerateArguments,
    seeds: Iterable[str | UserError],
    task: GenerationTask,
    results: ResultFormat,
    out: TextOutput,
    console: Console,
) -> ExitCode:
    """Write many texts, in order, each as soon as all before it are written."""
    from charrnn.generation.scheduler import generate_many, sequences_of

    def check() -> None:
        out.flush()
        out.check()

    sequences = sequences_of(
        seeds,
        task,
        choose_rng_seed(arguments.rng_seed),
        samples=arguments.samples,
        scored=arguments.json,
        strict=arguments.strict or arguments.seeds is None,
    )
    code = ExitCode.DONE
    texts = generate_many(task, sequences, batch_size=arguments.batch_size, check=check)
    with closing(texts):
        for number, text in enumerate(texts):
            if text.error is not None and text.sample % arguments.samples == 0:
                code = ExitCode.WRONG_INPUT
                console.warn(text.error.message)
            if arguments.json:
                out.write(results.json_line(text))
                continue
            out.write(results.separator if number else "")
            out.write(results.plain(text) + results.terminator)
            if arguments.novelty is not None:
                console.note(f"text {number + 1:,}: {results.novelty_note(text)}")
    return code
