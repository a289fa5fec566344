"""YAML as a configuration needs it: plain values with one meaning each, nothing that surprises.

PyYAML's own values follow YAML 1.1: there `no` is false, `010` is 8, `12:30:00` is 45000, `1e-3`
is text, and a key that stands twice wins silently. Here its parser alone is used and the values are
ours: numbers are those of YAML 1.2, text stays text, and tags, anchors, aliases, deep nesting and
large files are refused before they cost anything.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from charrnn.errors import UserError
from charrnn.messages import format_name, format_path, nearest, reason

Scalar = str | int | float | bool | None
Value = Scalar | list["Value"] | dict[str, "Value"]

STDIN = Path("-")
MOST_BYTES = 1_000_000
DEEPEST_NESTING = 20

CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})")
FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
QUOTE_HINT = "text that begins with *, & or ! needs quotation marks"
HINTS = {
    "expected alphabetic or numeric character": QUOTE_HINT,
    "mapping values are not allowed": "text that holds a colon and a space needs quotation marks; "
    "the keys of a section stand in one column",
    "block sequence entries": 'a lone - needs quotation marks: source: "-"',
    "cannot start any token": "YAML is indented with spaces, not tabs; "
    "text that begins with @, ` or % needs quotation marks",
    "could not find expected ':'": "each line of a section reads `key: value`",
}


def read_yaml(path: Path) -> dict[str, Value]:
    """Read a file, or stdin for `-`, that holds one YAML mapping; an empty one is `{}`.

    Raises:
        UserError: It cannot be read, is not UTF-8, or is not such YAML; with line and column.
    """
    source = source_name(path)
    content = _read_stdin() if path == STDIN else _read_file(path)
    if len(content) > MOST_BYTES:
        raise UserError(
            f"{source}: too large for a configuration, which has at most {MOST_BYTES:,} bytes",
            hint="a text to learn from is named in the configuration, as data.source",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{source}:{line}: a byte is not UTF-8", hint="save it as UTF-8") from error
    return parse_yaml(text, source=source)


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
        UserError: The brackets or quotation marks do not fit.
    """
    text = text.strip()
    return _document(text, source) if text.startswith(("[", "{", '"', "'")) else plain_scalar(text)


def plain_scalar(text: str) -> Scalar:
    """What an unquoted word means: YAML 1.2's core schema, less octal and hexadecimal numbers.

    A number with leading zeros stays text, because YAML 1.1 and 1.2 do not agree on it. So does a
    whole number of more than 100 digits, which no setting can have.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UserError("stdin is closed, so there is no configuration to read")
    return sys.stdin.buffer.read(MOST_BYTES + 1)


def _read_file(path: Path) -> bytes:
    source = format_path(path)
    try:
        if path.exists() and not path.is_file():
            hint = "a configuration that comes through a pipe is named -"
            raise UserError(f"{source}: not a plain file", hint=hint)
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        meant = nearest(path.stem, [each.stem for each in path.parent.glob("*.yaml")])
        hint = f"did you mean {format_path(path.with_name(f'{meant}.yaml'))}?" if meant else ""
        raise UserError(f"{source}: no such file", hint=hint) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise UserError(f"{source}: {reason(error)}") from error


def _document(text: str, source: str) -> Value:
    """The value of the only document; None when there is none."""
    try:
        return _DocumentReader(text, source).read()
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "this is not YAML"
        hint = next((HINTS[known] for known in HINTS if known in problem), "")
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{_where(source, mark)}: {problem}", hint=hint) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a character YAML cannot have
        raise UserError(f"{source}: this is not YAML: {reason(error)}") from error


class _DocumentReader:
    """Builds plain values while the parser reads, so that what is refused is never built."""

    def __init__(self, text: str, source: str) -> None:
        self._events = yaml.parse(text, Loader=LOADER)
        self._source = source

    def read(self) -> Value:
        """The value of the only document; None when there is none."""
        value: Value = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document begins here; a configuration is one")
                value = self._value(next(self._events), depth=1)
        return value

    def _value(self, event: yaml.Event, depth: int) -> Value:
        """The value that begins with an event; recurses no deeper than the nesting may be."""
        self._check_plain(event)
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value) if event.style else plain_scalar(event.value)
        if depth > DEEPEST_NESTING:
            self._refuse(event, f"nested more than {DEEPEST_NESTING} deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        return self._mapping(depth)

    def _mapping(self, depth: int) -> dict[str, Value]:
        """A mapping's keys are the text that stands there, whatever it would mean as a value."""
        values: dict[str, Value] = {}
        for key in self._until(yaml.MappingEndEvent):
            self._check_plain(key)
            if not isinstance(key, yaml.ScalarEvent):
                self._refuse(key, "a key must be a single word")
            name = str(key.value)
            if name in values:
                self._refuse(key, f"duplicate key {format_name(name)}")
            values[name] = self._value(next(self._events), depth + 1)
        return values

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        """The first event of every part of a collection."""
        while not isinstance(event := next(self._events), end):
            yield event

    def _check_plain(self, event: yaml.Event) -> None:
        """Refuse anchors, aliases and tags."""
        if isinstance(event, yaml.AliasEvent):
            what = f"alias {format_name(f'*{event.anchor}')}"
        elif anchor := getattr(event, "anchor", None):
            what = f"anchor {format_name(f'&{anchor}')}"
        elif tag := getattr(event, "tag", None):
            what = f"tag {format_name(tag)}"
        else:
            return
        self._refuse(event, f"the {what} is not allowed", hint=QUOTE_HINT)

    def _refuse(self, event: yaml.Event, problem: str, *, hint: str = "") -> NoReturn:
        raise UserError(f"{_where(self._source, event.start_mark)}: {problem}", hint=hint)


def _where(source: str, mark: Any) -> str:
    return source if mark is None else f"{source}:{mark.line + 1}:{mark.column + 1}"
