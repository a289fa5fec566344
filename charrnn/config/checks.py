"""What makes a configuration wrong: settings that are unknown, of the wrong kind, or at odds.

Every check returns `Problem`s instead of raising, so that a person sees all that is wrong with a
file at once. Nothing here looks at files, the network or the machine.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

from charrnn.config.fields import Kind, accepts, describe, kinds_of
from charrnn.config.schema import Config, DataConfig, ModelConfig
from charrnn.errors import UserError
from charrnn.messages import format_name, format_value, join_words, nearest, quote

MOST_PROBLEMS = 20
SECTIONS: dict[str, type] = {field.name: field.type for field in fields(Config)}  # type: ignore[misc]
HABITS = {  # names that other tools use
    "batch": "batch_size",
    "block_size": "sequence_length",
    "bptt": "sequence_length",
    "epochs": "steps",
    "lr": "learning_rate",
    "max_iters": "steps",
    "rnn_size": "hidden_size",
    "top_n": "top_k",
}
COMMON_ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252", "shift_jis", "gb18030")
LOOK_UP_HINT = "`charrnn train --print-config` shows every setting and its default"


def settings_of(section: str) -> tuple[str, ...]:
    """The names of a section's settings, in the schema's order."""
    return tuple(kinds_of(SECTIONS[section]))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one key, and what to do about it if that is not obvious."""

    key: str
    text: str
    hint: str = ""


def refuse(problems: Iterable[tuple[str, Problem]], *, hint: str = LOOK_UP_HINT) -> None:
    """Raise one error for all problems, each with the words that lead to its key.

    These are the file, as in `x.yaml: `, or the option, as in `--set `. `hint` is for when no
    problem has a hint of its own.

    Raises:
        UserError: There is a problem; a line for each, and the first hint there is.
    """
    found = list(islice(problems, MOST_PROBLEMS + 1))  # looking for what was meant takes time
    if not found:
        return
    lines = [f"{lead}{each.key}: {each.text}" for lead, each in found[:MOST_PROBLEMS]]
    if len(found) > MOST_PROBLEMS:
        lines.append("... and more")
    hints = [each.hint for _, each in found if each.hint]
    raise UserError("\n".join(lines), hint=hints[0] if hints else hint)


def problems_in(sections: Mapping[str, Any]) -> Iterator[Problem]:
    """What is unknown or of the wrong kind in the sections of a configuration."""
    for name, settings in sections.items():
        if name not in SECTIONS:
            yield unknown_section(name)
        elif isinstance(settings, dict):
            yield from problems_in_section(name, settings)
        elif settings is not None:
            yield Problem(name, f"expected a section of settings, got {format_value(settings)}")


def problems_in_section(section: str, settings: Mapping[str, Any]) -> Iterator[Problem]:
    """What is unknown or of the wrong kind in one section."""
    kinds = kinds_of(SECTIONS[section])
    for name, value in settings.items():
        if name not in kinds:
            yield unknown_setting(section, name)
        elif not accepts(kinds[name], value):
            yield misfit(f"{section}.{name}", kinds[name], value)


def unknown_section(name: str) -> Problem:
    """A section that there is not: misspelt, or a setting that stands outside its section."""
    section, dot, setting = name.partition(".")
    if section in SECTIONS and dot:
        return Problem(
            format_name(name),
            f"a setting stands under its section, as {format_name(setting)} under {section}",
        )
    meant = nearest(name, SECTIONS) or setting_like(name)
    advice = (
        f"did you mean {meant}?" if meant else f"the sections are {join_words(SECTIONS, 'and')}"
    )
    return Problem(format_name(name), f"unknown key; {advice}")


def unknown_setting(section: str, name: str) -> Problem:
    """A setting that its section does not have, with the one that was probably meant."""
    known = settings_of(section)
    habit = HABITS.get(name)
    meant = habit if habit in known else nearest(name, known) or setting_like(name)
    advice = f"did you mean {meant}?" if meant else f"{section} has {join_words(known, 'and')}"
    return Problem(f"{section}.{format_name(name)}", f"unknown key; {advice}")


def setting_like(name: str) -> str | None:
    """The dotted name of the setting, of any section, that a name probably means."""
    dotted = {known: f"{section}.{known}" for section in SECTIONS for known in settings_of(section)}
    meant = HABITS.get(name) or nearest(name, dotted)
    return dotted[meant] if meant else None


def misfit(key: str, kinds: tuple[Kind, ...], value: object) -> Problem:
    """A value that its setting does not take."""
    text = f"expected {describe(kinds)}, got {format_value(value)}"
    choices = [choice for kind in kinds for choice in kind.choices]
    meant = nearest(value, choices) if isinstance(value, str) else None
    return Problem(
        key, f"{text}; did you mean {meant}?" if meant else text, _spelling(kinds, value)
    )


def conflicts(config: Config) -> Iterator[Problem]:
    """What cannot be in a configuration although every value by itself can."""
    yield from _data_conflicts(config.data)
    yield from _model_conflicts(config.model)


def _data_conflicts(data: DataConfig) -> Iterator[Problem]:
    if data.shuffle and data.mode == "stream":
        yield Problem(
            "data.shuffle", "only lines can be shuffled", hint="set data.mode to lines, or leave it"
        )
    if not _is_text_encoding(data.encoding):
        yield Problem(
            "data.encoding",
            f"Python has no text encoding {quote(data.encoding)}",
            hint=f"common ones are {join_words(COMMON_ENCODINGS, 'and')}",
        )


def _model_conflicts(model: ModelConfig) -> Iterator[Problem]:
    if model.tie_weights and model.input == "onehot":
        yield Problem(
            "model.tie_weights",
            "there is no embedding to tie when the input is onehot",
            hint="set model.input to embedding, or leave tie_weights false",
        )
    elif model.tie_weights and model.embedding_size != model.hidden_size:
        yield Problem(
            "model.tie_weights",
            f"the tied matrix is both embedding_size ({model.embedding_size:,}) "
            f"and hidden_size ({model.hidden_size:,}) wide",
            hint="set both to the same number",
        )


def _is_text_encoding(name: str) -> bool:
    try:
        b"a".decode(name, "replace")
    except (LookupError, ValueError):
        return False
    return True


def _spelling(kinds: tuple[Kind, ...], value: object) -> str:
    """How a value that is almost of the right kind is written."""
    types = {kind.type for kind in kinds}
    if isinstance(value, float) and value.is_integer() and int in types:
        return f"a whole number is written without point or exponent: {int(value)}"
    if not isinstance(value, str):
        return ""
    if bool in types:
        return "only true and false are truth values; yes, no, on and off are text"
    if types & {int, float} and any(char.isdigit() for char in value):
        return (
            "a number is written bare, like 1000, 0.5 or 1e-3: "
            "no quotation marks, leading zeros, unit or separators"
        )
    return ""
