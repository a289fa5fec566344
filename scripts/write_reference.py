"""Write what is made from the configuration's schema and from `--help`: `make docs`.

`docs/config.schema.json` is the JSON Schema that the shipped configurations name, and
`docs/configuration.md` has its tables between two marks, prose around them. Types and ranges are
those of the annotations in `charrnn/config/schema.py`, meanings the string under each field,
defaults those of the classes. `docs/cli.md` is made by `cli_reference.py`. With --check nothing is
written; what is out of date is named, and
the exit status is 1.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec

from charrnn.config.schema import Config
from charrnn.validation import describe, types_of
from scripts.cli_reference import cli_reference

SECTIONS: dict[str, type] = dict(types_of(Config))
DOCS = Path(__file__).parent.parent / "docs"
SCHEMA = DOCS / "config.schema.json"
CLI = DOCS / "cli.md"
REFERENCE = DOCS / "configuration.md"
BEGIN = "<!-- The tables are made by `make docs` from charrnn/config/schema.py. -->\n"
END = "<!-- End of the tables. -->\n"


@dataclass(frozen=True)
class Setting:
    """One setting as the reference shows it."""

    name: str
    kind: Any
    default: Any
    meaning: str


def settings_in(section: str) -> list[Setting]:
    """The settings of a section in the schema's order."""
    meanings = _meanings(SECTIONS[section])
    defaults = asdict(Config())[section]
    return [
        Setting(name, kind, defaults[name], meanings[name])
        for name, kind in types_of(SECTIONS[section]).items()
    ]


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 7, which editors know best) of the configurations that are accepted.

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
                **msgspec.json.schema(setting.kind),
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
        cells = (f"`{setting.name}`", describe(setting.kind), f"`{default}`", setting.meaning)
        yield f"| {' | '.join(_in_table(cell) for cell in cells)} |"
    yield ""


def _summary(section: str) -> str:
    return inspect.getdoc(SECTIONS[section]) or ""


def _in_table(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _meanings(settings: type) -> dict[str, str]:
    """A field's `help`, or the string that stands under it, which Python itself throws away."""
    definition = ast.parse(dedent(inspect.getsource(settings))).body[0]
    assert isinstance(definition, ast.ClassDef)
    meanings = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                meanings[name] = " ".join(text.split())
    helps = {field.name: field.metadata.get("help") for field in fields(settings)}
    return meanings | {name: text for name, text in helps.items() if text}


def contents() -> dict[Path, str]:
    """What each file should hold."""
    return {
        SCHEMA: json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
        CLI: cli_reference(),
        REFERENCE: with_tables(REFERENCE.read_text(encoding="utf-8")),
    }


def with_tables(reference: str) -> str:
    """The reference with the tables between its marks made anew."""
    before, _, rest = reference.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{reference_tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write or check every file; returns the exit status."""
    stale = [path for path, text in contents().items() if not _holds(path, text)]
    for path in stale:
        if "--check" not in arguments:
            path.write_text(contents()[path], encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(DOCS.parent)}\n")
    return 1 if stale and "--check" in arguments else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
