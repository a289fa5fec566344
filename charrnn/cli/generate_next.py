"""`charrnn generate --next K`: the likeliest next characters, in place of a text."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from charrnn.cli.generate import GenerateArguments, name_flags
from charrnn.cli.generate_output import TextOutput
from charrnn.console import Console, as_json
from charrnn.errors import ExitCode, UserError
from charrnn.generation.next_character import NextCharacter, next_characters
from charrnn.generation.scheduler import prefix_of
from charrnn.generation.task import GenerationTask
from charrnn.messages import quote
from charrnn.validation import option_name

GOES_WITH_NEXT = {
    *("words", "run", "seed", "seed_file", "seeds", "strict", "escapes", "unknown"),
    *("adapt", "adapt_rate"),
    *("next", "json", "quiet", "no_color", "debug"),
}


def check_next(arguments: GenerateArguments, changes: Mapping[str, Any]) -> None:
    """Refuse what goes with a text that is written, for --next writes none.

    Raises:
        UserError: It was given.
    """
    defaults = {each.name: each.default for each in fields(arguments)}
    given = {name: getattr(arguments, name) for name in defaults} | dict(changes)
    for name, value in given.items():
        is_left_out = value is None or value is False or value in ([], defaults.get(name))
        if not (is_left_out or name in GOES_WITH_NEXT):
            raise UserError(
                f"--next writes no text, and {option_name(name)} is about one",
                hint="leave one of the two out",
            )


def write_next(
    arguments: GenerateArguments,
    task: GenerationTask,
    seeds: Iterable[str | UserError],
    out: TextOutput,
    console: Console,
) -> ExitCode:
    """Write what is likeliest after each seed, a line a character, or a line a seed for --seeds."""
    assert arguments.next is not None
    is_listed = arguments.seeds is not None
    code = ExitCode.DONE
    for number, seed in enumerate(seeds, start=1):
        text = seed if isinstance(seed, str) else ""
        try:
            prefix = prefix_of(seed, task, number if is_listed else None)
        except UserError as error:
            if arguments.strict or not is_listed:
                raise
            code = ExitCode.WRONG_INPUT
            console.warn(error.message)
            told = {"seed": text, "error": name_flags(error).to_json()}
            line = as_json(told) if arguments.json else ""
        else:
            found = next_characters(task, prefix, arguments.next)
            line = _json_line(text, found) if arguments.json else _row(found, is_listed)
        out.write(f"{line}\n")
        out.flush()
        out.check()
    return code


def _json_line(seed: str, found: list[NextCharacter]) -> str:
    return as_json({"seed": seed, "next": [asdict(each) for each in found]})


def _row(found: list[NextCharacter], is_listed: bool) -> str:
    cells = [f"{quote(each.character)}\t{each.probability:.6f}" for each in found]
    return ("\t" if is_listed else "\n").join(cells)
