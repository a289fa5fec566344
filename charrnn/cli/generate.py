"""`charrnn generate`: text on stdout, as it is made, and nothing but text.

The options of a generation are declared by `GenerationOptions`, those of the command itself here.
The command's signature, which Typer reads, is made of both, so that no option is written down
twice. The work is done in `generate_run`, after NumPy has been told how many threads to use.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from inspect import Parameter, Signature
from typing import Annotated, Any, Literal, NamedTuple, get_origin, get_type_hints

import typer

from charrnn.cli.options import Debug, Quiet, RunPath, check_range
from charrnn.errors import UserError
from charrnn.generation.options import GenerationOptions
from charrnn.machine import use_one_blas_thread
from charrnn.validation import option_name

BEGINNING = "Where to begin"
END = "Where to end"
SHAPE = "What to write"
OUTPUT = "How to show it"


class Help(NamedTuple):
    """How the help shows an option: its panel, its value, what it means, its other flags."""

    panel: str
    metavar: str | None = None
    text: str = ""
    flags: tuple[str, ...] = ()


Text = str | None
Number = int | None
SEED = """The text to continue; - reads all of stdin. Left out, what the model writes at the
beginning of a line."""
SEEDS = "Continue every line of a file, or of stdin for -; one result a line, in order."
ESCAPES = r"Read \n, \t, \u00e9 and the like in seeds, --stop, --allow and --ban."
LOAD_STATE = "Go on with the stream that --save-state saved; a seed is read after it."
RNG_SEED = """The random seed: the same one gives the same text. Left out, a new one each time
(--json tells which)."""
LOGPROBS = "With --json: the log-probability of every character too."
NOVELTY = """Tell which share of a text stands in the training text in spans of N characters or
more, and the longest such span (on stderr, or in --json)."""
SAVE_STATE = "Save the stream to a small file when it ends or is interrupted."
BATCH_SIZE = """Texts under way at once; left out, what processors and memory allow. It never
changes a text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateArguments:
    """What a command line asks for besides the options of the generation; seeds still unread."""

    run: RunPath = None
    seed: Annotated[Text, Help(BEGINNING, "TEXT", SEED, ("--prompt",))] = None
    seed_file: Annotated[Text, Help(BEGINNING, "FILE", "Continue the text of a file.")] = None
    seeds: Annotated[Text, Help(BEGINNING, "FILE", SEEDS)] = None
    escapes: Annotated[bool, Help(BEGINNING, None, ESCAPES, ("-e",))] = False
    load_state: Annotated[Text, Help(BEGINNING, "FILE", LOAD_STATE)] = None
    forever: Annotated[bool, Help(END, None, "The same as --length 0.")] = False
    rng_seed: Annotated[Number, Help(SHAPE, "N", RNG_SEED)] = None
    samples: Annotated[int, Help(OUTPUT, "N", "Texts to make (for each seed).", ("-n",))] = 1
    no_echo: Annotated[bool, Help(OUTPUT, None, "Leave the seed out.")] = False
    null: Annotated[bool, Help(OUTPUT, None, "End every text with a NUL byte.", ("-0",))] = False
    json: Annotated[bool, Help(OUTPUT, None, "Print a JSON object a line for each text.")] = False
    logprobs: Annotated[bool, Help(OUTPUT, None, LOGPROBS)] = False
    novelty: Annotated[Number, Help(OUTPUT, "N", NOVELTY)] = None
    save_state: Annotated[Text, Help(OUTPUT, "FILE", SAVE_STATE)] = None
    batch_size: Annotated[Number, Help(OUTPUT, "N", BATCH_SIZE)] = None
    quiet: Quiet = False
    debug: Debug = False

    @property
    def is_single(self) -> bool:
        """Whether there is one text to make, which can be shown while it is made."""
        return self.seeds is None and self.samples == 1

    def check(self) -> None:
        """Look for what can be wrong without knowing the model.

        Raises:
            UserError: Arguments contradict each other or are out of range.
        """
        for name in ("samples", "batch_size", "novelty"):
            check_range(option_name(name), getattr(self, name))
        seeds = [name for name in ("seed", "seed_file", "seeds") if getattr(self, name) is not None]
        if len(seeds) > 1:
            raise UserError(f"{' and '.join(map(option_name, seeds))} exclude each other")
        for name in ("load_state", "save_state"):
            if getattr(self, name) is not None and not self.is_single:
                raise UserError(
                    f"{option_name(name)} is for one text", hint="leave --seeds and --samples out"
                )
        if self.logprobs and not self.json:
            raise UserError("--logprobs goes with --json", hint="text alone has no room for them")
        if self.null and self.json:
            raise UserError("--null and --json exclude each other: JSON is one object a line")


GENERATION = {
    "unknown": Help(BEGINNING, "WHAT"),
    "length": Help(END, "N", flags=("-l",)),
    "stop": Help(END, "TEXT"),
    "keep_stop": Help(END),
    "min_length": Help(END, "N"),
    "temperature": Help(SHAPE, "X", flags=("-t",)),
    "top_k": Help(SHAPE, "K"),
    "top_p": Help(SHAPE, "P"),
    "min_p": Help(SHAPE, "P"),
    "allow": Help(SHAPE, "CHARACTERS"),
    "ban": Help(SHAPE, "CHARACTERS"),
    "match": Help(SHAPE, "REGEX"),
    "grammar": Help(SHAPE, "FILE"),
    "json_schema": Help(SHAPE, "FILE"),
}
"""How the help shows the options of a generation, in this order."""


def generate(**values: Any) -> None:
    r"""Write text that continues a seed. Nothing but the text goes to stdout.

    For example:

        charrnn generate --seed "To be" --length 200 --temperature 0.7

        charrnn generate --seed "ROMEO:\n" --escapes --stop "\n\n" --rng-seed 1

        charrnn generate --run runs/names --samples 20 --min-length 4 --ban "-'"

        charrnn generate --match "[A-Z][a-z]+( [a-z]+){3}[.]"

        charrnn generate --seeds - --json < openings.txt

        charrnn generate --seed "Once" --forever | head -c 10000
    """
    with flags_in_messages():
        changes = {name: values.pop(name) for name in GENERATION}
        arguments = GenerateArguments(**values)
        arguments.check()
        if arguments.forever and not changes["length"]:
            changes["length"] = 0
        use_one_blas_thread()
        from charrnn.cli.generate_run import run

        run(arguments, changes)


@contextmanager
def flags_in_messages() -> Iterator[None]:
    """Let errors name options as a command line does: `top_p` in backticks becomes --top-p."""
    try:
        yield
    except UserError as error:
        error.message, error.hint = _with_flags(error.message), _with_flags(error.hint)
        raise


def _with_flags(message: str) -> str:
    names = {*GENERATION, *(each.name for each in fields(GenerateArguments))}
    return re.sub(
        "`([a-z_]+)`",
        lambda found: option_name(found[1]) if found[1] in names else found[0],
        message,
    )


def _signature() -> Signature:
    """The command's signature for Typer: its arguments, then the options of a generation."""
    hints = get_type_hints(GenerateArguments, include_extras=True)
    own = [
        _parameter(each.name, hints[each.name], each.default) for each in fields(GenerateArguments)
    ]
    return Signature([*own, *map(_generation_parameter, GENERATION)])


def _generation_parameter(name: str) -> Parameter:
    """The parameter of an option of a generation; left out, the run's own default counts."""
    kind = get_type_hints(GenerationOptions)[name]
    text = GenerationOptions.__dataclass_fields__[name].metadata["help"]
    shown = GENERATION[name]._replace(text=text)
    if kind is bool:
        return _parameter(name, Annotated[bool, shown], default=False)
    accepted: Any = str if get_origin(kind) is Literal else kind
    return _parameter(name, Annotated[accepted | None, shown], default=None)


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """A parameter that Typer understands; `annotation` holds a `Help`, or Typer's own option."""
    kind, shown = annotation.__origin__, annotation.__metadata__[0]
    if isinstance(shown, Help):
        option = typer.Option(
            option_name(name),
            *shown.flags,
            metavar=shown.metavar,
            help=" ".join(shown.text.split()),
            rich_help_panel=shown.panel,
            show_default=default is not None,
        )
        annotation = Annotated[kind, option]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


generate.__signature__ = _signature()  # type: ignore[attr-defined]
