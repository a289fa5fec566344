"""The configuration's schema for other readers: JSON Schema for editors, tables for people.

Everything here is derived from `config.py`: types and ranges from the annotations, meanings from
the string under each field, defaults from the classes themselves.
"""

import ast
import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from textwrap import dedent
from typing import Any

from charrnn.config.checks import SECTIONS
from charrnn.config.fields import Kind, describe, json_schema_of, kinds_of
from charrnn.config.schema import Config


@dataclass(frozen=True)
class Setting:
    """One setting as the reference shows it."""

    name: str
    kinds: tuple[Kind, ...]
    default: Any
    meaning: str


def settings_in(section: str) -> list[Setting]:
    """The settings of a section in the schema's order."""
    kind = SECTIONS[section]
    meanings = _meanings(kind)
    defaults = asdict(Config())[section]
    return [
        Setting(name, kinds, defaults[name], meanings[name])
        for name, kinds in kinds_of(kind).items()
    ]


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 7, which editors know best) that accepts what `load_config` accepts.

    It cannot express conflicts between settings, nor what a machine has memory for.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "charrnn configuration",
        "description": "Settings of `charrnn train`; what is left out takes its default.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {section: _section_schema(section) for section in SECTIONS},
    }


def reference_tables() -> str:
    """A Markdown table for each section, under its heading."""
    return "\n".join(line for section in SECTIONS for line in _table(section)).strip() + "\n"


def _section_schema(section: str) -> dict[str, Any]:
    return {
        "description": _summary(section),
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            setting.name: {
                "description": setting.meaning,
                **json_schema_of(setting.kinds),
                "default": setting.default,
            }
            for setting in settings_in(section)
        },
    }


def _table(section: str) -> Iterator[str]:
    yield from (f"## {section}", "", _summary(section), "")
    yield "| Key | Takes | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    for setting in settings_in(section):
        default = json.dumps(setting.default).strip('"')
        cells = (f"`{setting.name}`", describe(setting.kinds), f"`{default}`", setting.meaning)
        yield f"| {' | '.join(_in_table(cell) for cell in cells)} |"
    yield ""


def _summary(section: str) -> str:
    return inspect.getdoc(SECTIONS[section]) or ""


def _in_table(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _meanings(settings: type) -> dict[str, str]:
    """The string that stands under each field, on one line; Python itself throws it away."""
    definition = ast.parse(dedent(inspect.getsource(settings))).body[0]
    assert isinstance(definition, ast.ClassDef)
    meanings = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                meanings[name] = " ".join(text.split())
    helps = {each.name: each.metadata.get("help") for each in fields(settings)}
    return meanings | {name: text for name, text in helps.items() if text}
