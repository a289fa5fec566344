"""The one check of everything that is read: settings, and the JSON in and around our files.

A type's annotations say what is accepted (`Annotated[int, Meta(ge=1)]`, `Literal`, `str | None`);
msgspec checks a value against them. Nothing that was not declared gets through as something else:
true is not a number, "1" is not 1, NaN is not within any bounds, and a whole number is accepted
where a float is expected.

Do not declare text with a `pattern` in a union with a list: msgspec 0.22 crashes on it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from itertools import islice
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from charrnn.errors import UserError
from charrnn.messages import LONGEST_REASON, format_value, join_words, nearest, one_line, shorten

T = TypeVar("T")

MOST_PROBLEMS = 20
NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}


class Problem(NamedTuple):
    """One thing that is wrong with one key, and what to do about it if that is not obvious."""

    key: str
    text: str
    hint: str = ""


@cache
def types_of(record: type) -> Mapping[str, Any]:
    """For each field of a dataclass, its annotation, bounds included."""
    hints = get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name] for field in fields(record)}


def is_valid(kind: Any, value: object) -> bool:
    """Whether a type accepts a value."""
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError):  # ValueError: text that is not Unicode
        return False
    return True


def invalid_value(key: str, kind: Any, value: object) -> Problem:
    """Describe a value that its type does not accept: what is expected, and what it is."""
    text = f"expected {describe(kind)}, got {format_value(value)}"
    choices = [choice for each in _members(kind) for choice in _choices(each)]
    meant = nearest(value, choices) if isinstance(value, str) else None
    return Problem(
        key, f"{text}; did you mean {meant}?" if meant else text, _spelling_hint(kind, value)
    )


def raise_problems(problems: Iterable[Problem], *, hint: str = "") -> None:
    """Raise one error for all problems; `hint` is for when none has a hint of its own.

    Raises:
        UserError: There is a problem; a line for each, and the first hint there is.
    """
    found = list(islice(problems, MOST_PROBLEMS + 1))  # looking for what was meant takes time
    if not found:
        return
    lines = [f"{each.key}: {each.text}" for each in found[:MOST_PROBLEMS]]
    if len(found) > MOST_PROBLEMS:
        lines.append("... and more")
    hints = [each.hint for each in found if each.hint]
    raise UserError("\n".join(lines), hint=hints[0] if hints else hint)


def check_bounds(record: Any) -> None:
    """Check every field of a dataclass that a program has put together against its annotation.

    Raises:
        UserError: A value is of the wrong type or out of its range; all of them are named.
    """
    declared: type = type(record)
    raise_problems(
        invalid_value(f"`{name}`", kind, value)
        for name, kind in types_of(declared).items()
        if not is_valid(kind, value := getattr(record, name))
    )


def option_name(setting: str) -> str:
    """The command-line option of a setting: `top_p` is `--top-p`."""
    return "--" + setting.replace("_", "-")


def record_from_json(kind: type[T], value: object, *, source: str, hint: str = "") -> T:
    """Build a dataclass from what was parsed as JSON; keys that it does not declare are ignored.

    Raises:
        UserError: `source` is damaged; names the first value that is missing or wrong.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise damaged(source, _explain(error), hint=hint) from error


def damaged(source: str, what: str, *, hint: str = "") -> UserError:
    """The error for a file whose content contradicts itself or what it must be."""
    return UserError(f"{source} is damaged: {what}", hint=hint)


def describe(kind: Any) -> str:
    """Say what a type accepts: `a whole number from 1 up to 1,024 or null`."""
    return join_words(
        word
        for member in _members(kind)
        for word in _choices(member) or (_describe_member(member),)
    )


def _describe_member(kind: Any) -> str:
    inner, meta = _without_meta(kind)
    if meta.title:
        return meta.title
    if get_origin(inner) is list:
        return f"a list of {describe(get_args(inner)[0])}"
    if inner is str and meta.min_length:
        return "non-empty text"
    return " ".join((NOUNS[inner], *_bounds_in_words(meta)))


def _bounds_in_words(meta: msgspec.Meta) -> Iterator[str]:
    words = {"from": meta.ge, "above": meta.gt, "up to": meta.le, "to below": meta.lt}
    return (f"{word} {_number(bound)}" for word, bound in words.items() if bound is not None)


def _number(value: float) -> str:
    if value == 2**63 - 1:
        return "2^63 - 1"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _members(kind: Any) -> list[Any]:
    """The types of a union, or the only one."""
    return list(get_args(kind)) if get_origin(kind) in {Union, UnionType} else [kind]


def _without_meta(kind: Any) -> tuple[Any, msgspec.Meta]:
    """An annotation's type and its bounds."""
    if get_origin(kind) is Annotated:
        inner, meta, *_ = get_args(kind)
        return inner, meta
    return kind, msgspec.Meta()


def _choices(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _spelling_hint(kind: Any, value: object) -> str:
    """How a value that is almost of the right type is written."""
    types = {_without_meta(member)[0] for member in _members(kind)}
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


def _explain(error: Exception) -> str:
    """Turn "Expected `int`, got `str` - at `$.a[0]`" into "a[0]: expected int, got str"."""
    text, _, place = str(error).partition(" - at ")
    text = one_line(shorten(text.replace("`", ""), LONGEST_REASON))
    text = text[:1].lower() + text[1:]
    where = one_line(shorten(re.sub(r"^\$\.?", "", place.strip("`"))))
    return f"{where}: {text}" if where else text
