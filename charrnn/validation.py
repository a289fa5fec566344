"""The one check of everything that is read: settings, and the JSON in and around our files.

A type's annotations say what is accepted (`Annotated[int, Meta(ge=1)]`, `Literal`, `str | None`);
msgspec checks a value against them. Nothing that was not declared gets through as something else:
true is not a number, "1" is not 1, and a whole number is accepted where a float is expected.
"""

import re
from typing import Any, TypeVar

import msgspec

from charrnn.errors import UserError
from charrnn.messages import one_line

T = TypeVar("T")


def record_from_json(kind: type[T], value: object, *, source: str, hint: str = "") -> T:
    """Build a dataclass from what `json.loads` returned; keys that it does not declare are ignored.

    Raises:
        UserError: `source` is damaged; names the first value that is missing or wrong.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise damaged(source, _explain(error), hint=hint) from error


def damaged(source: str, what: str, *, hint: str = "") -> UserError:
    """The error for a file whose content contradicts itself or what it must be."""
    return UserError(f"{source} is damaged: {what}", hint=hint)


def _explain(error: Any) -> str:
    """Turn "Expected `int`, got `str` - at `$.a[0]`" into "a[0]: expected int, got str"."""
    text, _, place = str(error).partition(" - at ")
    text = one_line(text.replace("`", ""))
    where = one_line(re.sub(r"^\$\.?", "", place.strip("`")))
    return f"{where}: {text[:1].lower()}{text[1:]}" if where else f"{text[:1].lower()}{text[1:]}"
