"""Configurations, read and written: YAML in, one checked `Config` out, and back.

Later sources win: the schema's defaults, the file, then `--set` on the command line. Whatever is
wrong with any of them is reported together, a line each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from charrnn.config.checks import (
    SECTIONS,
    Problem,
    conflicts,
    misfit,
    problems_in,
    problems_in_section,
    refuse,
    setting_like,
    unknown_section,
)
from charrnn.config.fields import accepts, kinds_of
from charrnn.config.memory import check_memory
from charrnn.config.schema import Config, GenerateConfig
from charrnn.config.yaml_reader import FLOAT, MOST_BYTES, parse_value, read_yaml, source_name
from charrnn.console import escape_controls
from charrnn.errors import UserError
from charrnn.files import checked_size
from charrnn.messages import format_name

Sections = Mapping[str, Any]

SET_LEAD = "--set "
SET_HINT = "for example: --set train.learning_rate=0.002"


class Wanted(NamedTuple):
    """What somebody asks to train with, and which settings they named to say so."""

    config: Config
    named: frozenset[str]
    """Dotted names, such as `model.hidden_size`; all others have their defaults."""


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The configuration that somebody asks to train with: a file (`-` is stdin), then `--set`s.

    Raises:
        UserError: Anything is wrong with it, or it needs more memory than this machine has.
    """
    return load_wanted(path, overrides).config


def load_wanted(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    model: Mapping[str, Any] = MappingProxyType({}),
) -> Wanted:
    """The same, with the names of the settings that are given.

    `model` gives settings of that section which file and `--set`s may still change.

    Raises:
        UserError: Anything is wrong with it, or it needs more memory than this machine has.
    """
    sections: Sections = {} if path is None else read_yaml(path)
    lead = SET_LEAD if path is None else f"{source_name(path)}: "
    changes = [_read_override(override) for override in overrides]
    refuse(chain(_led(lead, problems_in(sections)), _override_problems(changes)))
    changed = _changed(sections, changes)
    if model:
        changed = {**changed, "model": {**model, **changed.get("model", {})}}
    config = _checked(changed, lead)
    check_memory(config, lead="" if path is None else lead)
    return Wanted(config, _names_in(changed))


def read_run_config(path: Path) -> Config:
    """The `config.yaml` of a run, which somebody may have trained on a larger machine.

    Raises:
        UserError: It is missing, damaged, or a link out of its folder.
    """
    checked_size(path, path.parent, limit=MOST_BYTES)
    return parse_config(read_yaml(path), source=source_name(path))


def read_generate_config(path: Path) -> GenerateConfig:
    """The `generate` section alone of a run's `config.yaml`: the defaults of its generation.

    Raises:
        UserError: The file is missing or damaged, or something in this section is wrong.
    """
    checked_size(path, path.parent, limit=MOST_BYTES)
    section = {"generate": read_yaml(path).get("generate")}
    return parse_config(section, source=source_name(path)).generate


def parse_config(sections: Sections, *, source: str) -> Config:
    """Turn what YAML or JSON held into a configuration; `source` is what messages call it.

    Raises:
        UserError: Keys are unknown, or values are wrong or at odds; all of them are named.
    """
    refuse(_led(f"{source}: ", problems_in(sections)))
    return _checked(sections, f"{source}: ")


def apply_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """A configuration changed by `section.setting=value` texts, as `--set` takes them.

    Raises:
        UserError: An override is malformed, names no setting, or does not fit.
    """
    changes = [_read_override(override) for override in overrides]
    refuse(_override_problems(changes))
    return _checked(_changed(asdict(config), changes), SET_LEAD)


def dump_config(config: Config) -> str:
    """The configuration as YAML, every default written out; it reads back as the same one.

    What could act on a terminal stands in quotation marks, where YAML's escapes are ours.
    """
    text = yaml.dump(asdict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return escape_controls(text)


def check_bounds(settings: object, *, naming: Callable[[str], str] = str) -> None:
    """Check every field of a dataclass of settings against its annotation.

    For settings that a program puts together: options, library calls. `naming` turns a field's
    name into what the user wrote, such as `option_name`.

    Raises:
        UserError: A value is of the wrong type or out of its range; all of them are named.
    """
    kind: type = type(settings)
    problems = (
        misfit(naming(name), kinds, getattr(settings, name))
        for name, kinds in kinds_of(kind).items()
        if not accepts(kinds, getattr(settings, name))
    )
    refuse(_led("", problems), hint="")


def option_name(setting: str) -> str:
    """The command-line option of a setting: `top_p` is `--top-p`."""
    return "--" + setting.replace("_", "-")


def _names_in(sections: Sections) -> frozenset[str]:
    return frozenset(
        f"{section}.{setting}"
        for section, settings in sections.items()
        for setting in settings or {}
    )


class _Change(NamedTuple):
    """What one `--set` asks for."""

    section: str
    setting: str
    value: Any


def _read_override(override: str) -> _Change:
    key, equals, text = override.partition("=")
    section, dot, setting = key.strip().partition(".")
    if not equals:
        raise UserError(f"--set {format_name(key)}: a value is missing", hint=SET_HINT)
    if not dot:
        meant = None if section in SECTIONS else setting_like(section)
        advice = f"did you mean {meant}?" if meant else "expected section.setting"
        raise UserError(f"--set {format_name(key)}: unknown key; {advice}", hint=SET_HINT)
    return _Change(section, setting, parse_value(text, source=f"--set {format_name(key)}"))


def _override_problems(changes: Iterable[_Change]) -> Iterator[tuple[str, Problem]]:
    for section, setting, value in changes:
        if section in SECTIONS:
            yield from _led(SET_LEAD, problems_in_section(section, {setting: value}))
        else:
            yield SET_LEAD, unknown_section(section)


def _led(lead: str, problems: Iterable[Problem]) -> Iterator[tuple[str, Problem]]:
    return ((lead, problem) for problem in problems)


def _changed(sections: Sections, changes: Iterable[_Change]) -> Sections:
    changed = {name: dict(settings or {}) for name, settings in sections.items()}
    for section, setting, value in changes:
        changed.setdefault(section, {})[setting] = value
    return changed


def _checked(sections: Sections, lead: str) -> Config:
    """Build a configuration from sections without problems, and look for what is at odds."""
    config = Config(
        **{name: _section(SECTIONS[name], settings or {}) for name, settings in sections.items()}
    )
    refuse(_led(lead, conflicts(config)))
    return config


def _section(kind: type, settings: Mapping[str, Any]) -> Any:
    return kind(**{name: _as_float(kind, name, value) for name, value in settings.items()})


def _as_float(kind: type, name: str, value: Any) -> Any:
    """A whole number given for a setting that takes any number is that number."""
    wants_float = any(each.type is float for each in kinds_of(kind)[name])
    return float(value) if wants_float and type(value) is int else value


class _Dumper(yaml.SafeDumper):
    """Writes text so that every reader, of YAML 1.1 or 1.2, takes it for the same text."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'  # other styles fold or drop odd line ends
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
