"""What a setting accepts, read from its annotation once, for everyone who asks.

An annotation such as `Annotated[int, Ge(1)] | None` becomes a tuple of `Kind`s, here a whole
number with a limit, and null. Validation, error messages, the JSON Schema and the reference are
all answers to questions about kinds, so that they cannot contradict each other.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen

from charrnn.config.schema import Matches
from charrnn.messages import join_words

Limit = Ge | Gt | Le | Lt | MinLen | Matches

JSON_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    NoneType: "null",
}
NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    NoneType: "null",
}


@dataclass(frozen=True)
class Kind:
    """One kind of value that a setting takes: a type, words to choose from, limits."""

    type: type
    choices: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    items: "tuple[Kind, ...]" = ()

    def accepts(self, value: object) -> bool:
        """Whether a value is of this kind; true is no number, a whole number is a fine float."""
        if not self._has_type(value):
            return False
        if self.choices and value not in self.choices:
            return False
        if isinstance(value, list) and not all(accepts(self.items, item) for item in value):
            return False
        return all(_meets(value, limit) for limit in self.limits)

    def _has_type(self, value: object) -> bool:
        if self.type is float:
            return type(value) is int or (type(value) is float and math.isfinite(value))
        return type(value) is self.type

    def describe(self) -> str:
        """This kind in words: `a whole number from 1 up to 64`."""
        if self.choices:
            return join_words(self.choices)
        for limit in self.limits:
            if isinstance(limit, Matches):
                return limit.meaning
        is_filled = any(isinstance(limit, MinLen) for limit in self.limits)
        noun = "non-empty text" if self.type is str and is_filled else NOUNS[self.type]
        return " ".join(filter(None, (noun, self._items(), self.describe_range())))

    def describe_range(self) -> str:
        """The limits in words: `from 1 up to 64`, `above 0`, or nothing."""
        return " ".join(filter(None, map(_in_words, self.limits)))

    def _items(self) -> str:
        return f"of {join_words(item.describe() for item in self.items)}" if self.items else ""

    def json_schema(self) -> dict[str, Any]:
        """The keywords of JSON Schema that hold for values of this kind."""
        schema: dict[str, Any] = {"type": JSON_TYPES[self.type]}
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.items:
            schema["items"] = json_schema_of(self.items)
        for limit in self.limits:
            schema |= _keyword(limit, self.type)
        return schema


@cache
def kinds_of(settings: type) -> Mapping[str, tuple[Kind, ...]]:
    """For each field of a dataclass of settings, the kinds of value that it takes."""
    hints = get_type_hints(settings, include_extras=True)
    return {field.name: _kinds(hints[field.name]) for field in fields(settings)}


def accepts(kinds: tuple[Kind, ...], value: object) -> bool:
    """Whether a value is of one of the kinds."""
    return any(kind.accepts(value) for kind in kinds)


def describe(kinds: tuple[Kind, ...]) -> str:
    """The kinds in words: `a whole number from 1 up to 1,024 or null`."""
    return join_words(kind.describe() for kind in kinds)


def json_schema_of(kinds: tuple[Kind, ...]) -> dict[str, Any]:
    """The kinds as one JSON Schema; no two kinds of a setting share a type or a keyword."""
    schemas = [kind.json_schema() for kind in kinds]
    merged = {keyword: value for schema in schemas for keyword, value in schema.items()}
    types = [schema["type"] for schema in schemas]
    if len(types) > 1:
        merged["type"] = types
        if "enum" in merged and "null" in types:
            merged["enum"] = [*merged["enum"], None]
    return merged


def _kinds(annotation: Any) -> tuple[Kind, ...]:
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *limits = arguments
        return tuple(replace(kind, limits=(*kind.limits, *limits)) for kind in _kinds(inner))
    if origin in {Union, UnionType}:
        return tuple(kind for argument in arguments for kind in _kinds(argument))
    if origin is Literal:
        return (Kind(str, choices=arguments),)
    if origin is list:
        return (Kind(list, items=_kinds(arguments[0])),)
    return (Kind(annotation),)


def _meets(value: Any, limit: Limit) -> bool:
    match limit:
        case Ge(ge=least):
            return bool(value >= least)
        case Gt(gt=below):
            return bool(value > below)
        case Le(le=most):
            return bool(value <= most)
        case Lt(lt=above):
            return bool(value < above)
        case MinLen(min_length=least):
            return len(value) >= least
        case Matches(pattern=pattern):
            return re.fullmatch(pattern, value) is not None


def _keyword(limit: Limit, kind: type) -> dict[str, Any]:
    match limit:
        case MinLen(min_length=least):
            return {"minLength" if kind is str else "minItems": least}
        case Ge(ge=least):
            return {"minimum": least}
        case Gt(gt=below):
            return {"exclusiveMinimum": below}
        case Le(le=most):
            return {"maximum": most}
        case Lt(lt=above):
            return {"exclusiveMaximum": above}
        case Matches(pattern=pattern):
            return {"pattern": f"^{pattern}$"}


def _in_words(limit: Limit) -> str:
    match limit:
        case Ge(ge=least):
            return f"from {_number(least)}"
        case Gt(gt=below):
            return f"above {_number(below)}"
        case Le(le=most):
            return f"up to {_number(most)}"
        case Lt(lt=above):
            return f"to below {_number(above)}"
        case _:
            return ""


def _number(value: object) -> str:
    if not isinstance(value, int):
        return str(value)
    power = value.bit_length() - 1
    return f"2^{power}" if value == 2**power and power > 32 else f"{value:,}"
