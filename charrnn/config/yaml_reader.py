"""YAML as a configuration needs it: plain values with one meaning each, nothing that surprises.

The parser's event stream is turned into values here, because PyYAML's own loading follows
YAML 1.1: there `no` is false, `010` is 8, `12:30:00` is 45000, `1e-3` is text, and a key that
stands twice wins silently. Here numbers are those of YAML 1.2, text stays text, and tags,
anchors, aliases, deep nesting and large files are refused before they cost anything.
"""

import math
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

import yaml

from charrnn.errors import UserError
from charrnn.messages import format_name, format_path, nearest, quote

Scalar = str | int | float | bool | None
Value = Scalar | list["Value"] | dict[str, "Value"]

STDIN = Path("-")
MOST_BYTES = 1_000_000
DEEPEST_NESTING = 20
LONGEST_NUMBER = 100

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
TRUES = frozenset({"true", "True", "TRUE"})
FALSES = frozenset({"false", "False", "FALSE"})
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
HINTS = {
    "mapping values are not allowed": "text that holds a colon and a space needs quotation marks; "
    "the keys of a section stand in one column",
    "block sequence entries": 'a lone - needs quotation marks: source: "-"',
    "cannot start any token": "YAML is indented with spaces, not tabs; "
    "text that begins with @, ` or % needs quotation marks",
    "could not find expected ':'": "each line of a section reads `key: value`",
}
QUOTE_HINT = "text that begins with *, & or ! needs quotation marks"


def read_yaml(path: Path) -> dict[str, Value]:
    """Read a file, or stdin for `-`, that holds one YAML mapping; an empty one is `{}`.

    Raises:
        UserError: It cannot be read, is not UTF-8, or is not such YAML; with line and column.
    """
    source = source_name(path)
    content = _read_stdin() if path == STDIN else _read_file(path)
    return parse_yaml(_decoded(content, source), source=source)


def source_name(path: Path) -> str:
    """What messages call a configuration's file."""
    return "stdin" if path == STDIN else format_path(path)


def parse_yaml(text: str, *, source: str) -> dict[str, Value]:
    """Turn YAML text into a mapping; `source` is what messages call the text.

    Raises:
        UserError: It is not one mapping of plain values; with line and column.
    """
    value = _document(text, source)
    if value is None:
        return {}
    if not isinstance(value, dict):
        found = "a list" if isinstance(value, list) else "a single value"
        raise UserError(
            f"{source}: expected sections of settings, found {found}",
            hint="a section reads `train:`, its settings stand indented on the lines below",
        )
    return value


def parse_value(text: str, *, source: str) -> Value:
    """Turn the value of a `--set KEY=VALUE` into what the same text means in a file.

    Text needs no quotation marks here, whatever it holds: only what begins with `[`, `{` or a
    quotation mark is read as more than a plain word.

    Raises:
        UserError: The brackets or quotation marks do not fit, or a character may not stand there.
    """
    text = text.strip()
    if text.startswith(("[", "{", '"', "'")):
        return _document(text, source)
    _refuse_unprintable(text, source)
    try:
        return plain_scalar(text)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from error


def plain_scalar(text: str) -> Scalar:
    """What an unquoted word means: YAML 1.2's core schema, less octal and hexadecimal numbers.

    A number with leading zeros stays text, because YAML 1.1 and 1.2 do not agree on it.

    Raises:
        ValueError: It is a number that no setting can have.
    """
    if text in NULLS:
        return None
    if text in TRUES or text in FALSES:
        return text in TRUES
    if NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a number that a setting can have")
    if not FLOAT.fullmatch(text):
        return text
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text):,} characters is too long")
    if INTEGER.fullmatch(text):
        return int(text)
    if math.isinf(number := float(text)):
        raise ValueError(f"{text} is too large for a number")
    return number


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UserError("stdin is closed, so there is no configuration to read")
    return _limited(sys.stdin.buffer, "stdin")


def _read_file(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            _refuse_special(path)
        with path.open("rb") as file:
            return _limited(file, format_path(path))
    except FileNotFoundError as error:
        raise UserError(f"{format_path(path)}: no such file", hint=_neighbour(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{format_path(path)}: {reason}") from error


def _limited(file: IO[bytes], source: str) -> bytes:
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UserError(
            f"{source}: too large for a configuration, which has at most {MOST_BYTES:,} bytes",
            hint="a text to learn from is named in the configuration, as data.source",
        )
    return content


def _refuse_special(path: Path) -> NoReturn:
    if path.is_dir():
        raise UserError(f"{format_path(path)}: a directory, not a file")
    raise UserError(
        f"{format_path(path)}: not a plain file",
        hint="a configuration that comes through a pipe is named -",
    )


def _neighbour(path: Path) -> str:
    meant = nearest(path.stem, [each.stem for each in path.parent.glob("*.yaml")])
    return f"did you mean {format_path(path.with_name(f'{meant}.yaml'))}?" if meant else ""


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise UserError(
            f"{source}:{line}:{column}: this byte is not UTF-8", hint="save the file as UTF-8"
        ) from error


def _refuse_unprintable(text: str, source: str) -> None:
    if found := UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise UserError(
            f"{source}:{line}:{column}: "
            f"the character U+{ord(found.group()):04X} may not stand in YAML"
        )


def _document(text: str, source: str) -> Value:
    _refuse_unprintable(text, source)
    return _Builder(_events(text, source), source).document()


def _events(text: str, source: str) -> Iterator[yaml.Event]:
    """The parser's events one by one: nothing is built yet, so nothing can be made to explode."""
    try:
        yield from yaml.parse(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "this is not YAML"
        hint = next((HINTS[known] for known in HINTS if known in problem), "")
        mark = error.problem_mark or error.context_mark
        where = source if mark is None else f"{source}:{mark.line + 1}:{mark.column + 1}"
        raise UserError(f"{where}: {problem}", hint=hint) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # an odd escape, without libyaml
        raise UserError(f"{source}: this is not YAML: {quote(str(error))}") from error


class _Builder:
    """Builds values from events; it recurses as deep as the nesting, which is bounded."""

    def __init__(self, events: Iterator[yaml.Event], source: str) -> None:
        self.events = events
        self.source = source

    def document(self) -> Value:
        """The value of the only document; None when there is none."""
        self._skip(yaml.StreamStartEvent)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self.events), depth=1)
        self._skip(yaml.DocumentEndEvent)
        following = next(self.events)
        if not isinstance(following, yaml.StreamEndEvent):
            self._refuse(following, "a second document begins here; a configuration is one")
        return value

    def _skip(self, expected: type[yaml.Event]) -> None:
        event = next(self.events)
        assert isinstance(event, expected), event

    def _value(self, event: yaml.Event, depth: int) -> Value:
        self._refuse_extras(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if depth > DEEPEST_NESTING:
            self._refuse(event, f"nested more than {DEEPEST_NESTING} deep")
        is_list = isinstance(event, yaml.SequenceStartEvent)
        return self._sequence(depth) if is_list else self._mapping(depth)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        is_plain = event.implicit[0]
        try:
            return plain_scalar(event.value) if is_plain else str(event.value)
        except ValueError as error:
            self._refuse(event, str(error))

    def _sequence(self, depth: int) -> list[Value]:
        values = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, depth: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        keys: dict[str, yaml.Event] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event)
            if first := keys.get(key):
                already = f"first at {self._where(first)}"
                self._refuse(event, f"duplicate key {format_name(key)}, {already}")
            keys[key] = event
            values[key] = self._value(next(self.events), depth + 1)
        return values

    def _key(self, event: yaml.Event) -> str:
        """A key is the text that stands there, whatever it would mean as a value."""
        self._refuse_extras(event)
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, "a key must be a single word")
        return str(event.value)

    def _refuse_extras(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(
                event,
                f"the alias {format_name(f'*{event.anchor}')} is not allowed",
                hint=QUOTE_HINT,
            )
        if anchor := getattr(event, "anchor", None):
            self._refuse(
                event, f"the anchor {format_name(f'&{anchor}')} is not allowed", hint=QUOTE_HINT
            )
        if tag := getattr(event, "tag", None):
            self._refuse(event, f"the tag {format_name(tag)} is not allowed", hint=QUOTE_HINT)

    def _where(self, event: yaml.Event) -> str:
        mark = event.start_mark
        assert mark is not None, "events that were parsed know where they stood"
        return f"{self.source}:{mark.line + 1}:{mark.column + 1}"

    def _refuse(self, event: yaml.Event, problem: str, *, hint: str = "") -> NoReturn:
        raise UserError(f"{self._where(event)}: {problem}", hint=hint)
