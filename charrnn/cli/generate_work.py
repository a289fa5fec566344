"""The work of `generate`: one text shown as it is made, or many, in order.

Imported when the command runs, for it is the first to need NumPy.
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from charrnn.cli.generate_request import Request
from charrnn.cli.generate_results import (
    MeasureNovelty,
    frame,
    json_line,
    novelty_measure,
    novelty_note,
    plain,
)
from charrnn.cli.seed_input import read_seed, read_seeds, unescaped
from charrnn.cli.signals import GivenUp, Interrupted, Interrupts
from charrnn.cli.text_output import TextOutput
from charrnn.console import Console
from charrnn.errors import ExitCode, UserError
from charrnn.generation.jobs import Job
from charrnn.generation.language_model import LanguageModel, checked_seed
from charrnn.generation.partner import partner_for
from charrnn.generation.rng import UniformStream
from charrnn.generation.rules import Rules
from charrnn.generation.stream import Stream, read_ahead
from charrnn.generation.stream_state import SavedStream, load_stream, save_stream
from charrnn.network import Network
from charrnn.run.paths import resolve_run
from charrnn.run.reader import TrainedModel, read_model


def carry_out(request: Request, console: Console) -> int:
    """Generate what is asked for; return the exit code.

    Raises:
        UserError: Something about the run, the options or a seed is wrong.
    """
    try:
        return _carry_out(request, console)
    except Interrupted as interrupted:
        return interrupted.exit_code
    except KeyboardInterrupt:  # before there was any text
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.READER_GONE


def _carry_out(request: Request, console: Console) -> int:
    trained = read_model(resolve_run(request.run))
    model = LanguageModel(trained, _network(request.engine, trained))
    rules = model.rules(**request.wishes)
    _refuse_endless(request, rules)
    work = (_Single if request.is_single else _Many)(request, console, model, rules)
    with Interrupts() as interrupts:
        out = TextOutput(interrupts)
        try:
            work.write(out, interrupts)
        finally:
            out.flush()
            _leave_line(out, console)
    return ExitCode.DONE


def _leave_line(out: TextOutput, console: Console) -> None:
    """On a terminal, let what follows begin on a line of its own; stdout is left exact."""
    if out.is_terminal and console.is_terminal and not out.ends_line:
        console.note("")
        out.ends_line = True


def _network(engine: str, trained: TrainedModel) -> Network | None:
    """The network of the engine that was asked for; None for the usual one."""
    if engine != "torch":
        return None
    from charrnn.training.torch_network import load_network

    return load_network(trained)


def _refuse_endless(request: Request, rules: Rules) -> None:
    """An endless text can be shown as it is made; nothing else can be done with it."""
    if not rules.may_never_end:
        return
    wanted = "--json" if request.json else "" if request.is_single else "more than one text"
    if wanted or request.novelty:
        raise UserError(
            f"--length 0 never ends, and {wanted or '--novelty'} needs the end",
            hint="a --length, or a --stop",
        )


class _Work:
    """What both kinds of work have in common."""

    def __init__(
        self, request: Request, console: Console, model: LanguageModel, rules: Rules
    ) -> None:
        self.request = request
        self.console = console
        self.model = model
        self.rules = rules
        self.mode = model.trained.card.mode
        self.separator, self.terminator = frame(request, self.mode)
        self.measure_novelty: MeasureNovelty | None = (
            novelty_measure(model.trained, request.novelty) if request.novelty else None
        )

    def read(self, seed: str) -> str:
        """A seed from the command line or from a line, with its escapes read if that is wanted."""
        return unescaped(seed) if self.request.escapes else seed

    def one_seed(self) -> str:
        """The seed of a call that has one."""
        request = self.request
        if request.seed_file is not None:
            return self._without_line_end(read_seed(request.seed_file))
        if request.seed == "-":
            return self._without_line_end(read_seed("-"))
        return self.read(request.seed or "")

    def _without_line_end(self, seed: str) -> str:
        """A file's last line end is no character of a line."""
        return seed.removesuffix("\n").removesuffix("\r") if self.mode == "lines" else seed


class _Single(_Work):
    """One text, shown as it is made."""

    def __init__(
        self, request: Request, console: Console, model: LanguageModel, rules: Rules
    ) -> None:
        super().__init__(request, console, model, rules)
        self._refuse_state_of_lines()
        self._refuse_place_of_state()
        saved = None
        if request.load_state is not None:
            saved = load_stream(Path(request.load_state), model.trained.card)
        self.seed = self.one_seed()
        opening = model.opening(self.seed, rules, saved.opening if saved else None)
        self.job = Job(
            rules,
            read_ahead(opening, model.network),
            self._uniforms(saved),
            seed=self.seed,
            kept=request.json or request.novelty is not None,
            scored=request.json,
        )
        self.stream = Stream(model.network, rules, self.job)

    def write(self, out: TextOutput, interrupts: Interrupts) -> None:
        """Write the text, or a JSON object that tells of it."""
        try:
            with partner_for(self.stream, self.model.network, self.rules.options.length):
                if self.request.json:
                    self._write_json(out, interrupts)
                else:
                    self._write_text(out, interrupts)
        except GivenUp:
            raise
        except Interrupted:
            self._set_aside(out)
            raise
        self._set_aside(out)

    def _write_text(self, out: TextOutput, interrupts: Interrupts) -> None:
        stream = self.stream
        out.write(self.seed if self.request.echo else "")
        while not stream.has_ended:
            out.write(stream.advance())
            interrupts.check()
        out.write(self.terminator)
        if self.measure_novelty is not None:
            out.flush()
            _leave_line(out, self.console)
            self.console.note(novelty_note(self.measure_novelty(self.job.result().text)))

    def _write_json(self, out: TextOutput, interrupts: Interrupts) -> None:
        """Write the object even when interrupted: it says so."""
        try:
            while not self.stream.has_ended:
                self.stream.advance()
                interrupts.check()
        except Interrupted:
            out.write(self._told())
            raise
        out.write(self._told())

    def _told(self) -> str:
        return json_line(self.job.result(), self.request, self.measure_novelty)

    def _set_aside(self, out: TextOutput) -> None:
        """Save where the stream stands, once all that it has made is written."""
        if self.request.save_state is None:
            return
        if not self.request.json:
            out.write(self.job.draft.let_go())
        out.flush()
        uniforms = self.job.uniforms
        saved = SavedStream(
            opening=self.stream.opening(),
            rng_seed=uniforms.rng_seed,
            position=uniforms.position,
        )
        save_stream(Path(self.request.save_state), saved, self.model.trained.card)

    def _uniforms(self, saved: SavedStream | None) -> UniformStream:
        if saved is not None and self.request.rng_seed in (None, saved.rng_seed):
            return UniformStream(saved.rng_seed, sample=0, position=saved.position)
        return UniformStream(checked_seed(self.request.rng_seed), sample=0)

    def _refuse_state_of_lines(self) -> None:
        if self.mode == "lines" and (self.request.load_state or self.request.save_state):
            raise UserError(
                "--save-state and --load-state are for streams, and this model writes lines",
                hint="a line ends by itself; there is nothing to go on with",
            )

    def _refuse_place_of_state(self) -> None:
        """Find out before the text is made that its state could not be saved."""
        if self.request.save_state is None:
            return
        place = Path(self.request.save_state)
        if not place.parent.is_dir():
            raise UserError(f"--save-state {place}: there is no folder {place.parent}")
        if place.exists() and not place.is_file():
            raise UserError(f"--save-state {place} is not a plain file")


class _Many(_Work):
    """Many texts, in order."""

    def write(self, out: TextOutput, interrupts: Interrupts) -> None:
        """Write the texts, each as soon as all before it are written."""
        from charrnn.generation.batching import generate_many

        def check() -> None:
            out.flush()
            interrupts.check()

        request = self.request
        jobs = self.model.jobs(
            self._seeds(),
            self.rules,
            checked_seed(request.rng_seed),
            samples=request.samples,
            scored=request.json,
        )
        texts = generate_many(
            self.model.network, self.rules, jobs, batch_size=request.batch_size, check=check
        )
        with closing(texts):
            for number, text in enumerate(texts):
                if request.json:
                    out.write(json_line(text, request, self.measure_novelty))
                    continue
                out.write(self.separator if number else "")
                out.write(plain(text, request, self.mode) + self.terminator)
                if self.measure_novelty is not None:
                    novelty = self.measure_novelty(text.text)
                    self.console.note(f"text {number + 1:,}: {novelty_note(novelty)}")

    def _seeds(self) -> Iterable[str]:
        if self.request.seeds is None:
            return [self.one_seed()]
        return map(self.read, read_seeds(self.request.seeds))
