"""The work of `generate`: one text shown as it is made, or many, in order.

Imported when the command runs, for it is the first to need NumPy.
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from charrnn.cli.generate_arguments import GenerateArguments
from charrnn.cli.generate_results import ResultFormat, novelty_measure
from charrnn.cli.signals import GivenUp, Interrupted, Interrupts
from charrnn.cli.text_output import TextOutput
from charrnn.console import Console
from charrnn.errors import UserError
from charrnn.generation.generate import Stream, prefill
from charrnn.generation.language_model import LanguageModel, load
from charrnn.generation.options import choose_rng_seed
from charrnn.generation.rng import UniformStream
from charrnn.generation.sequence import Sequence
from charrnn.generation.task import GenerationTask
from charrnn.run.paths import resolve_run

ESCAPED = ("stop", "allow", "ban")
FILES = ("grammar", "json_schema")


def run(arguments: GenerateArguments, changes: dict[str, Any], console: Console) -> None:
    """Generate what is asked for.

    Raises:
        UserError: Something about the run, the options or a seed is wrong.
        Interrupted: A signal stopped it; what was made has been written.
        BrokenPipeError: The reader of stdout is gone.
    """
    model = load(resolve_run(arguments.run))
    task = model.task(**changes | _read_files(changes) | _read_escapes(arguments, changes))
    _refuse_endless(arguments, task)
    make = OneText if arguments.is_single else ManyTexts
    work = make(arguments, console, model, task)
    with Interrupts() as interrupts:
        out = TextOutput(interrupts)
        try:
            work.write(out, interrupts)
        finally:
            out.flush()
            _end_line(out, console)


def _read_files(changes: dict[str, Any]) -> dict[str, Any]:
    """The options that are given as files."""
    given = [name for name in FILES if changes[name] is not None]
    if not given:
        return {}
    from charrnn.cli.seed_input import read_seed

    return {name: read_seed(changes[name]) for name in given}


def _read_escapes(arguments: GenerateArguments, changes: dict[str, Any]) -> dict[str, Any]:
    """The options that may have escapes, if those are to be read."""
    if not arguments.escapes:
        return {}
    from charrnn.cli.seed_input import unescaped

    return {
        name: [unescaped(each) for each in value] if name == "stop" else unescaped(value)
        for name in ESCAPED
        if (value := changes[name]) is not None
    }


def _end_line(out: TextOutput, console: Console) -> None:
    """On a terminal, let what follows begin on a line of its own; stdout is left exact."""
    if out.is_terminal and console.is_terminal and not out.ends_line:
        console.note("")
        out.ends_line = True


def _refuse_endless(arguments: GenerateArguments, task: GenerationTask) -> None:
    """An endless text can be shown as it is made; nothing else can be done with it."""
    if not task.may_never_end:
        return
    wanted = "--json" if arguments.json else "" if arguments.is_single else "more than one text"
    if wanted or arguments.novelty:
        raise UserError(
            f"--length 0 never ends, and {wanted or '--novelty'} needs the end",
            hint="a --length, or a --stop",
        )


class _Work:
    """What both kinds of work have in common."""

    def __init__(
        self,
        arguments: GenerateArguments,
        console: Console,
        model: LanguageModel,
        task: GenerationTask,
    ) -> None:
        self.arguments = arguments
        self.console = console
        self.model = model
        self.task = task
        measure = novelty_measure(model.trained, arguments.novelty) if arguments.novelty else None
        self.format = ResultFormat(arguments, model.trained.card.mode, measure)

    def seed(self) -> str:
        """The seed of a call that has one."""
        arguments = self.arguments
        path = "-" if arguments.seed == "-" else arguments.seed_file
        if path is None:
            return self.read_escapes(arguments.seed or "")
        from charrnn.cli.seed_input import read_seed

        seed = read_seed(path)
        if self.task.eos_id is None:
            return seed
        return seed.removesuffix("\n").removesuffix(
            "\r"
        )  # a file's last line end is not the line's

    def read_escapes(self, seed: str) -> str:
        """A seed from the command line or from a line, with its escapes read if that is wanted."""
        if not self.arguments.escapes:
            return seed
        from charrnn.cli.seed_input import unescaped

        return unescaped(seed)


class OneText(_Work):
    """One text, shown as it is made."""

    def __init__(self, *shared: Any) -> None:
        super().__init__(*shared)
        arguments, task = self.arguments, self.task
        self._check_state_files()
        saved = None
        if arguments.load_state is not None:
            from charrnn.generation.stream_state import load_stream

            saved = load_stream(Path(arguments.load_state), self.model.trained.card)
        if saved is not None and arguments.rng_seed in {None, saved.rng_seed}:
            uniforms = UniformStream(saved.rng_seed, sample=0, position=saved.position)
        else:
            uniforms = UniformStream(choose_rng_seed(arguments.rng_seed), sample=0)
        seed = self.seed()
        self.sequence = Sequence(
            task,
            prefill(task.prefix(seed, saved.prefix if saved else None), task.network),
            uniforms,
            seed=seed,
            keep=arguments.json or arguments.novelty is not None,
            scored=arguments.json,
        )
        self.stream = Stream(task, self.sequence)

    def write(self, out: TextOutput, interrupts: Interrupts) -> None:
        """Write the text, or a JSON object that tells of it; then save the stream if asked to."""
        try:
            if self.arguments.json:
                self._write_json(out, interrupts)
            else:
                self._write_text(out, interrupts)
        except GivenUp:
            raise
        except Interrupted:
            self._save_state(out)
            raise
        self._save_state(out)

    def _write_text(self, out: TextOutput, interrupts: Interrupts) -> None:
        stream = self.stream
        out.write("" if self.arguments.no_echo else self.sequence.seed)
        while not stream.has_ended:
            out.write(stream.advance())
            interrupts.check()
        out.write(self.format.terminator)
        if self.arguments.novelty is not None:
            out.flush()
            _end_line(out, self.console)
            self.console.note(self.format.novelty_note(self.sequence.result()))

    def _write_json(self, out: TextOutput, interrupts: Interrupts) -> None:
        """Write the object even when interrupted: it says so."""
        try:
            while not self.stream.has_ended:
                self.stream.advance()
                interrupts.check()
        except Interrupted:
            out.write(self.format.json_line(self.sequence.result()))
            raise
        out.write(self.format.json_line(self.sequence.result()))

    def _save_state(self, out: TextOutput) -> None:
        """Save where the stream stands, once all that it has made is written."""
        arguments, uniforms = self.arguments, self.sequence.uniforms
        if arguments.save_state is None:
            return
        from charrnn.generation.stream_state import SavedStream, save_stream

        if not arguments.json:
            out.write(self.sequence.release())
        out.flush()
        saved = SavedStream(
            prefix=self.stream.prefix(), rng_seed=uniforms.rng_seed, position=uniforms.position
        )
        save_stream(Path(arguments.save_state), saved, self.model.trained.card)

    def _check_state_files(self) -> None:
        """Find out before the text is made that its state could not be saved."""
        arguments = self.arguments
        if self.task.eos_id is not None and (arguments.load_state or arguments.save_state):
            raise UserError(
                "--save-state and --load-state are for streams, and this model writes lines",
                hint="a line ends by itself; there is nothing to go on with",
            )
        if arguments.save_state is None:
            return
        if self.task.constraint is not None:
            raise UserError(
                f"`save_state` and `{self.task.options.constraint}` exclude each other: "
                "a text that was held to one is complete"
            )
        path = Path(arguments.save_state)
        if not path.parent.is_dir():
            raise UserError(f"--save-state {path}: there is no folder {path.parent}")
        if path.exists() and not path.is_file():
            raise UserError(f"--save-state {path} is not a plain file")


class ManyTexts(_Work):
    """Many texts, in order, each as soon as all before it are written."""

    def write(self, out: TextOutput, interrupts: Interrupts) -> None:
        """Write the texts."""
        from charrnn.generation.scheduler import generate_many, sequences_of

        def check() -> None:
            out.flush()
            interrupts.check()

        arguments = self.arguments
        sequences = sequences_of(
            self._seeds(),
            self.task,
            choose_rng_seed(arguments.rng_seed),
            samples=arguments.samples,
            scored=arguments.json,
        )
        texts = generate_many(self.task, sequences, batch_size=arguments.batch_size, check=check)
        with closing(texts):
            for number, text in enumerate(texts):
                if arguments.json:
                    out.write(self.format.json_line(text))
                    continue
                out.write(self.format.separator if number else "")
                out.write(self.format.plain(text) + self.format.terminator)
                if arguments.novelty is not None:
                    self.console.note(f"text {number + 1:,}: {self.format.novelty_note(text)}")

    def _seeds(self) -> Iterable[str]:
        if self.arguments.seeds is None:
            return [self.seed()]
        from charrnn.cli.seed_input import read_seeds

        return map(self.read_escapes, read_seeds(self.arguments.seeds))
