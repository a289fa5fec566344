"""`charrnn generate`: text on stdout, as it is made, and nothing but text.

The options of a generation are declared by `GenerationOptions`, those of the command itself here.
The command's signature, which Typer reads, is made of both, so that no option is written down
twice. The work is done in `generate_run`, after NumPy has been told how many threads to use.
"""

import re
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from charrnn.cli.options import (
    Debug,
    NoColor,
    Quiet,
    RunPath,
    check_range,
    check_share,
    option,
    rate_option,
    signature_of,
)
from charrnn.config.schema import GenerateConfig
from charrnn.errors import ExitCode, UserError
from charrnn.generation.options import GenerationOptions
from charrnn.machine import use_one_blas_thread
from charrnn.messages import shell_word
from charrnn.validation import check_bounds, option_name

BEGINNING = "Where to begin"

beginning = partial(option, panel=BEGINNING)
end = partial(option, panel="Where to end")
shape = partial(option, panel="What to write")
output = partial(option, panel="How to show it")

Text = str | None
Number = int | None
SEED = """The text to continue; - reads all of stdin. Left out, what the model writes at the
beginning of a line."""
SEEDS = "Continue every line of a file, or of stdin for -; one result a line, in order."
STRICT = """End with the first of --seeds that cannot be continued; left out, it is told in its
place, and the others go on."""
ESCAPES = r"Read \n, \t, \u00e9 and the like in seeds, --stop, --allow and --ban."
LOAD_STATE = "Go on with the stream that --save-state saved; a seed is read after it."
ADAPT = """Learn from a text while reading it (- is stdin), then write on in its manner; a seed is
read after it. The run stays as it is. Takes torch."""
RNG_SEED = """The random seed: the same one gives the same text. Left out, a new one each time
(--json tells which)."""
NEXT = """Print the K characters that are the likeliest after the seed, with their probabilities,
and write no text."""
JSON = "Print a JSON object a line for each text."
LOGPROBS = "With --json: the log-probability of every character too."
NOVELTY = """Tell which share of a text stands in the training text in spans of N characters or
more, and the longest such span (on stderr, or in --json)."""
DATA_DIR = "For --novelty: where prepared texts are; left out, CHARRNN_DATA or else data/prepared."
SAVE_STATE = "Save the stream to a small file when it ends or is interrupted."
BATCH_SIZE = """Texts under way at once; left out, what processors and memory allow. It never
changes a text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateArguments:
    """What a command line asks for besides the options of the generation; seeds still unread."""

    words: Annotated[list[str] | None, typer.Argument(metavar="SEED", help=SEED)] = None
    run: RunPath = None
    seed: Annotated[Text, beginning("The same as SEED.", "TEXT", "--seed", "--prompt")] = None
    seed_file: Annotated[Text, beginning("Continue the text of a file.", "FILE")] = None
    seeds: Annotated[Text, beginning(SEEDS, "FILE")] = None
    strict: Annotated[bool, beginning(STRICT, None, "--strict")] = False
    escapes: Annotated[bool, beginning(ESCAPES, None, "--escapes", "-e")] = False
    load_state: Annotated[Path | None, beginning(LOAD_STATE, "FILE")] = None
    adapt: Annotated[Text, beginning(ADAPT, "FILE|-")] = None
    adapt_rate: Annotated[float | None, rate_option("--adapt-rate", panel=BEGINNING)] = None
    forever: Annotated[bool, end("The same as --length 0.", None, "--forever")] = False
    rng_seed: Annotated[Number, shape(RNG_SEED, "N")] = None
    next: Annotated[Number, output(NEXT, "K")] = None
    samples: Annotated[int, output("Texts to make (for each seed).", "N", "--samples", "-n")] = 1
    no_echo: Annotated[bool, output("Leave the seed out.", None, "--no-echo")] = False
    null: Annotated[bool, output("End every text with a NUL byte.", None, "--null", "-0")] = False
    json: Annotated[bool, output(JSON, None, "--json")] = False
    logprobs: Annotated[bool, output(LOGPROBS, None, "--logprobs")] = False
    novelty: Annotated[Number, output(NOVELTY, "N")] = None
    save_state: Annotated[Path | None, output(SAVE_STATE, "FILE")] = None
    data_dir: Annotated[Path | None, output(DATA_DIR, "DIR")] = None
    batch_size: Annotated[Number, output(BATCH_SIZE, "N")] = None
    quiet: Quiet = False
    no_color: NoColor = False
    debug: Debug = False

    @property
    def text(self) -> str | None:
        """The seed on the command line; None without one."""
        return self.words[0] if self.words else self.seed

    @property
    def is_single(self) -> bool:
        """Whether there is one text to make, which can be shown while it is made."""
        return self.seeds is None and self.samples == 1

    def check(self) -> None:
        """Look for what can be wrong without knowing the model.

        Raises:
            UserError: Arguments contradict each other or are out of range.
        """
        for name in ("next", "samples", "batch_size", "novelty"):
            check_range(option_name(name), getattr(self, name))
        self._check_seeds()
        self._check_adaptation()
        for name in ("load_state", "save_state"):
            if getattr(self, name) is not None and not self.is_single:
                raise UserError(
                    f"{option_name(name)} is for one text", hint="leave --seeds and --samples out"
                )
        if self.logprobs and not self.json:
            raise UserError("--logprobs goes with --json", hint="text alone has no room for them")
        if self.null and self.json:
            raise UserError("--null and --json exclude each other: JSON is one object a line")

    def _check_seeds(self) -> None:
        if self.words and len(self.words) > 1:
            raise UserError(
                f"SEED is one text, and {len(self.words)} are given",
                hint=f"`charrnn generate {shell_word(' '.join(self.words))}` continues all of it",
            )
        seeds = [name for name in ("seed", "seed_file", "seeds") if getattr(self, name) is not None]
        given = [*(["SEED"] if self.words else []), *map(option_name, seeds)]
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} exclude each other")
        if self.strict and self.seeds is None:
            raise UserError("--strict goes with --seeds", hint="a single seed is strict anyway")

    def _check_adaptation(self) -> None:
        check_share("--adapt-rate", self.adapt_rate)
        if self.adapt is None:
            if self.adapt_rate is not None:
                raise UserError("--adapt-rate goes with --adapt")
            return
        for name in ("load_state", "save_state"):
            if getattr(self, name) is not None:
                raise UserError(
                    f"--adapt and {option_name(name)} exclude each other: "
                    "a stream goes on with the weights of its run"
                )
        if self.adapt == "-" and "-" in {self.text, self.seed_file, self.seeds}:
            raise UserError("--adapt and the seed cannot both be read from stdin")


GENERATION: dict[str, tuple[Any, ...]] = {
    "unknown": (beginning,),
    "length": (end, "N", "-l"),
    "stop": (end, "TEXT"),
    "keep_stop": (end,),
    "min_length": (end, "N"),
    "temperature": (shape, "X", "-t"),
    "top_k": (shape, "K"),
    "top_p": (shape, "P"),
    "min_p": (shape, "P"),
    "allow": (shape, "CHARACTERS"),
    "ban": (shape, "CHARACTERS"),
    "match": (shape, "REGEX"),
    "grammar": (shape, "FILE"),
    "json_schema": (shape, "FILE"),
}
"""The options of a generation in the order of the help: panel, value's name, short flag."""


def generate(**values: Any) -> ExitCode:
    r"""Write text that continues a seed. Nothing but the text goes to stdout.

    For example:

        charrnn generate "To be" --length 200 --temperature 0.7

        charrnn generate "ROMEO:\n" --escapes --stop "\n\n" --rng-seed 1

        charrnn generate --run runs/names --samples 20 --min-length 4 --ban "-'"

        charrnn generate --match "[A-Z][a-z]+( [a-z]+){3}[.]"

        charrnn generate --seeds - --json < openings.txt

        charrnn generate "Once" --forever | head -c 10000

        charrnn generate "The sea" --next 5

        charrnn generate --adapt poem.txt
    """
    try:
        changes = {name: values.pop(name) for name in GENERATION}
        arguments = GenerateArguments(**values)
        arguments.check()
        if arguments.next is not None:
            from charrnn.cli.generate_next import check_next

            check_next(arguments, changes)
        check_bounds(GenerationOptions(**{k: v for k, v in changes.items() if v is not None}))
        if arguments.forever and not changes["length"]:
            changes["length"] = 0
        use_one_blas_thread()
        from charrnn.cli.generate_run import run

        return run(arguments, changes)
    except UserError as error:
        name_flags(error)
        raise


def name_flags(error: UserError) -> UserError:
    """Name options as a command line does: `top_p` in backticks becomes --top-p."""
    names = {*GENERATION, *(each.name for each in fields(GenerateArguments))}

    def flag(found: re.Match[str]) -> str:
        return option_name(found[1]) if found[1] in names else found[0]

    error.message, error.hint = (
        re.sub("`([a-z_]+)`", flag, text) for text in (error.message, error.hint)
    )
    return error


def _generation_parameter(
    name: str, declare: Callable[..., Any], metavar: str | None = None, *short: str
) -> Parameter:
    """The parameter of an option of a generation; left out, the run's own default counts."""
    field = GenerationOptions.__dataclass_fields__[name]
    kind: Any = get_type_hints(GenerationOptions)[name]
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    shown = declare(
        field.metadata["help"],
        metavar or "|".join(choices) or None,
        option_name(name),
        *short,
        default=_default_in_words(field),
        words=choices,
    )
    if kind is bool:
        annotation, default = Annotated[bool, shown], False
    else:
        annotation, default = Annotated[(str if choices else kind) | None, shown], None
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default_in_words(field: Field[Any]) -> str | None:
    """What an option is when it is left out; None if nothing needs to be said."""
    if field.name in GenerateConfig.__dataclass_fields__:
        return f"the run's own, or {field.default}"
    is_value = isinstance(field.default, str | int) and not isinstance(field.default, bool)
    return str(field.default) if is_value and field.default != "" else None


def _signature() -> Signature:
    """The command's signature for Typer: its arguments, then the options of a generation."""
    own = signature_of(GenerateArguments).parameters.values()
    return Signature(
        [*own, *(_generation_parameter(name, *shown) for name, shown in GENERATION.items())]
    )


generate.__signature__ = _signature()  # type: ignore[attr-defined]
