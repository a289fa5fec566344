"""Dataclasses from JSON that nobody vouches for: each field there, each of its declared type."""

import types
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from charrnn.messages import format_name, format_value


def record_from_json(kind: Any, value: object, where: str = "it") -> Any:
    """Build `kind` from what `json.loads` gave; keys that it does not know are left alone.

    `kind` is a dataclass, `str`, `int`, `float`, `bool`, a `Literal`, or one of `tuple[T, ...]`,
    `dict[str, T]` and `T | None` of these.

    Raises:
        ValueError: Naming the first value (`where` it stands) that is missing or wrong.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(value, dict):
        return _dataclass_from_json(kind, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(
            record_from_json(arguments[0], item, f"{where}[{index}]")
            for index, item in enumerate(value)
        )
    if origin is dict and isinstance(value, dict):
        return {
            key: record_from_json(arguments[1], item, f"{where}.{format_name(key)}")
            for key, item in value.items()
        }
    if origin is types.UnionType:
        return None if value is None else record_from_json(arguments[0], value, where)
    if _fits(kind, value):
        return value
    raise ValueError(f"{where} is {format_value(value)}")


def _dataclass_from_json(kind: Any, value: dict[str, object], where: str) -> Any:
    fields = {}
    for name, field_kind in get_type_hints(kind).items():
        place = name if where == "it" else f"{where}.{name}"
        if name not in value:
            raise ValueError(f"{place} is missing")
        fields[name] = record_from_json(field_kind, value[name], place)
    return kind(**fields)


def _fits(kind: Any, value: object) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    return type(value) is kind or (kind is float and type(value) is int)
