"""One check of all that is read: what gets through, and in which words the rest is refused."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from charrnn.config.schema import GenerateConfig
from charrnn.errors import UserError
from charrnn.validation import check_bounds, describe, record_from_json


@dataclass
class Options:
    count: Annotated[int, Meta(ge=1)] = 1
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    mode: Literal["a", "b"] | None = None
    words: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)] | None = None


def test_settings_within_their_bounds_pass() -> None:
    check_bounds(GenerateConfig())
    check_bounds(Options(count=3, top_p=1, mode="b", words=["x"]))


def test_settings_out_of_their_bounds_are_all_named() -> None:
    with pytest.raises(UserError) as caught:
        check_bounds(GenerateConfig(top_p=1.5, length=-1))
    assert caught.value.message.splitlines() == [
        "`length`: expected a whole number from 0 up to 1,000,000,000, got -1",
        "`top_p`: expected a number above 0 up to 1, got 1.5",
    ]


@pytest.mark.parametrize(
    "options",
    [
        Options(count=True),
        Options(count=0),
        Options(count=1.0),  # type: ignore[arg-type]
        Options(top_p=math.nan),
        Options(top_p=math.inf),
        Options(mode="c"),  # type: ignore[arg-type]
        Options(words=[]),
        Options(words=[""]),
    ],
)
def test_a_wrong_type_or_a_number_that_is_none_is_out_of_bounds(options: Options) -> None:
    with pytest.raises(UserError):
        check_bounds(options)


WHOLE = {"count": 3, "top_p": 1, "mode": "b", "words": ["x"]}


def test_a_record_is_what_its_json_says() -> None:
    assert record_from_json(Options, WHOLE, source="x.json") == Options(3, 1.0, "b", ["x"])
    newer = {**WHOLE, "from": "the future"}
    assert record_from_json(Options, newer, source="x.json") == Options(3, 1.0, "b", ["x"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": "3"}, "x.json is damaged: count: expected int, got str"),
        ({"count": True}, "x.json is damaged: count: expected int, got bool"),
        ({"count": 0}, "x.json is damaged: count: expected int >= 1"),
        ({"count": 3.0}, "x.json is damaged: count: expected int, got float"),
        ({"mode": "x" * 9999}, "x.json is damaged: mode: invalid enum value 'xxx"),
        ({"top_p": math.nan}, "x.json is damaged: top_p: expected float > 0.0"),
        ({"words": ["a", ""]}, "x.json is damaged: words[1]: expected str of length >= 1"),
        ({"mode": "\x1b[2J"}, r"x.json is damaged: mode: invalid enum value '\x1b[2J'"),
    ],
)
def test_a_record_that_is_damaged_is_refused_by_its_first_fault(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        record_from_json(Options, {**WHOLE, **changes}, source="x.json", hint="copy it again")
    assert caught.value.message.startswith(message)
    assert caught.value.hint == "copy it again"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("value", [None, 3, [], "text"])
def test_a_record_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(UserError, match=r"x\.json is damaged"):
        record_from_json(Options, value, source="x.json")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Meta(ge=1, le=1024)] | None, "a whole number from 1 up to 1,024 or null"),
        (Annotated[float, Meta(gt=0, lt=1)], "a number above 0 to below 1"),
        (Literal["z", "y"] | None, "z, y or null"),
        (str | list[Annotated[str, Meta(min_length=1)]], "text or a list of non-empty text"),
        (Annotated[str, Meta(title="64 digits")], "64 digits"),
    ],
)
def test_what_a_type_accepts_is_said_in_words(kind: Any, words: str) -> None:
    assert describe(kind) == words
