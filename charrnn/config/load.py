"""Configurations, read and written: YAML in, one checked `Config` out, and back.

Later sources win: the schema's defaults, the file, then `--set` on the command line. Whatever is
wrong with any of them is reported together, a line each.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import yaml

from charrnn.config.memory import check_memory
from charrnn.config.schema import WIDEST, Config, DataConfig
from charrnn.config.yaml_reader import FLOAT, MOST_BYTES, parse_value, read_yaml, source_name
from charrnn.console import escape_controls
from charrnn.errors import UserError
from charrnn.files import checked_size
from charrnn.messages import format_name, format_value, join_words, nearest, quote
from charrnn.shipped import find_config
from charrnn.validation import Problem, invalid_value, is_valid, raise_problems, types_of

SECTIONS = {section: types_of(settings) for section, settings in types_of(Config).items()}
"""For each section its settings, with what their annotations accept."""
DOTTED = {name: f"{section}.{name}" for section, names in SECTIONS.items() for name in names}
"""The dotted name of every setting; no two sections have one of the same name."""
RETIRED = {"train.workers": "batches are cut from the text in memory, which needs no process"}
"""Settings of earlier versions that are ignored, and why they are gone."""
HABITS = {  # names that other tools use
    "batch": "batch_size",
    "block_size": "sequence_length",
    "bptt": "sequence_length",
    "epochs": "steps",
    "lr": "learning_rate",
    "max_iters": "steps",
    "rnn_size": "hidden_size",
    "top_n": "top_k",
}
NO_NAME = re.compile("[\0\ud800-\udfff]")
COMMON_ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252", "shift_jis", "gb18030")
HINT = "`charrnn train --print-config` shows every setting and its default"
SET_LEAD = "--set "


class Given(NamedTuple):
    """A setting as it was given, or a whole section that is not as it must be."""

    lead: str
    """What messages about it begin with: `x.yaml: ` or `--set `."""
    section: str
    setting: str | None
    value: Any

    @property
    def key(self) -> str:
        """Its dotted name, such as `model.hidden_size`."""
        return f"{self.section}.{self.setting}"


class LoadedConfig(NamedTuple):
    """What a user asks to train with."""

    config: Config
    explicit: frozenset[str]
    """Dotted names of the settings that were given, such as `model.hidden_size`; all others have
    their defaults."""
    notes: list[str]
    """What was ignored, and why."""


def load_for_training(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    model: Mapping[str, Any] = MappingProxyType({}),
) -> LoadedConfig:
    """Load a configuration to train with: a file (`-` is stdin) or a shipped one, then `--set`s.

    `model` gives settings of that section which file and `--set`s may still change.

    Raises:
        UserError: Anything is wrong with it, or it needs more memory than this machine has.
    """
    path = path and find_config(path)
    lead = SET_LEAD if path is None else f"{source_name(path)}: "
    given = [
        *_given_in({"model": model}, lead),
        *_given_in({} if path is None else read_yaml(path), lead),
        *map(_read_override, overrides),
    ]
    config = _resolve(given, lead)
    check_memory(config, lead="" if path is None else lead)
    keys = frozenset(each.key for each in given)
    return LoadedConfig(config, keys - RETIRED.keys(), retired_notes(keys))


def retired_notes(keys: Iterable[str]) -> list[str]:
    """A note for each of these settings that is ignored: `train.workers is ignored: ...`."""
    retired = {key.strip() for key in keys} & RETIRED.keys()
    return [f"{key} is ignored: {RETIRED[key]}" for key in sorted(retired)]


def read_run_config(path: Path) -> Config:
    """Read the `config.yaml` of a run, which may have been trained on a larger machine.

    What an earlier version did not have yet is as it was then: examples had no longest length.

    Raises:
        UserError: It is missing, damaged, or a link out of its folder.
    """
    checked_size(path, path.parent, limit=MOST_BYTES)
    sections = read_yaml(path)
    if isinstance(data := sections.get("data"), dict):
        data.setdefault("max_length", None)
    return parse_config(sections, source=source_name(path))


def parse_config(sections: Mapping[str, Any], *, source: str) -> Config:
    """Turn what YAML or JSON held into a configuration; `source` is what messages call it.

    Raises:
        UserError: Keys are unknown, or values are wrong or at odds; all of them are named.
    """
    lead = f"{source}: "
    return _resolve(list(_given_in(sections, lead)), lead)


def apply_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """Change a configuration by `section.setting=value` texts, as `--set` takes them.

    Raises:
        UserError: An override is malformed, names no setting, or does not fit.
    """
    given = [*_given_in(asdict(config), ""), *map(_read_override, overrides)]
    return _resolve(given, SET_LEAD)


def dump_config(config: Config) -> str:
    """Write a configuration as YAML, every default written out; it reads back as the same one.

    What could act on a terminal stands in quotation marks, where YAML's escapes are ours.
    """
    text = yaml.dump(asdict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return escape_controls(text)


def _given_in(sections: Mapping[str, Any], lead: str) -> Iterator[Given]:
    for section, settings in sections.items():
        if section in SECTIONS and isinstance(settings, Mapping):
            for name, value in settings.items():
                yield Given(lead, section, name, value)
        elif section not in SECTIONS or settings is not None:
            yield Given(lead, section, None, settings)


def _read_override(override: str) -> Given:
    key, equals, text = override.partition("=")
    source = SET_LEAD + format_name(key)
    if not equals:
        hint = "for example: --set train.learning_rate=0.002"
        raise UserError(f"{source}: a value is missing", hint=hint)
    section, dot, setting = key.strip().partition(".")
    return Given(SET_LEAD, section, setting if dot else None, parse_value(text, source=source))


def _resolve(given: Sequence[Given], lead: str) -> Config:
    """Build a configuration, the later setting before the earlier; `lead` is for what is at odds.

    Raises:
        UserError: Something is wrong; all of it is named.
    """
    problems = (problem for each in given if (problem := _problem_with(each)))
    raise_problems(problems, hint=HINT)
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for each in given:
        if each.setting is not None and each.key not in RETIRED:
            sections[each.section][each.setting] = each.value
    config = msgspec.convert(sections, Config)
    raise_problems(each._replace(key=lead + each.key) for each in _conflicts(config))
    return config


def _problem_with(given: Given) -> Problem | None:
    """What is unknown or of the wrong type."""
    lead, section, setting, value = given
    if section not in SECTIONS:
        return Problem(lead + format_name(section), _advice(section, SECTIONS))
    if setting is None:
        got = format_value(value)
        return Problem(lead + section, f"expected a section of settings, got {got}")
    if given.key in RETIRED:
        return None
    if setting not in SECTIONS[section]:
        key = f"{lead}{section}.{format_name(setting)}"
        return Problem(key, _advice(setting, SECTIONS[section]))
    kind = SECTIONS[section][setting]
    return None if is_valid(kind, value) else invalid_value(lead + given.key, kind, value)


def _advice(unknown: str, known: Iterable[str]) -> str:
    """Say which of the known names, or which setting anywhere, an unknown one probably means."""
    if unknown in DOTTED.values():
        return "a setting stands under its section, indented"
    name = HABITS.get(unknown, unknown)
    meant = nearest(name, known) or DOTTED.get(nearest(name, DOTTED) or "")
    return f"unknown key; {f'did you mean {meant}?' if meant else f'expected {join_words(known)}'}"


def _conflicts(config: Config) -> Iterator[Problem]:
    """What is at odds although each value is fine by itself."""
    data, model = config.data, config.model
    for key, names in (("source", data.sources), ("valid_source", data.valid_sources)):
        if any(NO_NAME.search(name) for name in names):
            found = format_value(getattr(data, key))
            expected = "expected names without U+0000 or surrogates"
            yield Problem(f"data.{key}", f"{expected}, got {found}")
    yield from _conflicts_of_examples(data)
    yield from _conflicts_of_bytes(data)
    if not _is_text_encoding(data.encoding):
        yield Problem(
            "data.encoding",
            f"Python has no text encoding {quote(data.encoding)}",
            hint=f"common ones are {join_words(COMMON_ENCODINGS, 'and')}",
        )
    is_square = model.input == "embedding" and model.embedding_size == model.hidden_size
    if model.tie_weights and not is_square:
        yield Problem(
            "model.tie_weights",
            f"needs model.input embedding (it is {model.input}), and model.embedding_size "
            f"({model.embedding_size:,}) equal to model.hidden_size ({model.hidden_size:,})",
        )
    if model.tie_weights and model.ensemble_size > 1:
        yield Problem("model.tie_weights", "needs model.ensemble_size 1")
    embedding_size = model.embedding_size if model.input == "embedding" else 1
    for name, size in (("hidden_size", model.hidden_size), ("embedding_size", embedding_size)):
        if model.ensemble_size * size > WIDEST:
            yield Problem(
                "model.ensemble_size",
                f"times model.{name} ({size:,}) is {model.ensemble_size * size:,}; "
                f"at most {WIDEST:,} works",
            )


def _conflicts_of_examples(data: DataConfig) -> Iterator[Problem]:
    """Settings of the division into examples or splits that the mode or another one rules out."""
    if data.shuffle and data.mode == "stream":
        told = "only lines and examples can be shuffled: set data.mode to lines"
        yield Problem("data.shuffle", told)
    if data.separator != DataConfig().separator and data.mode != "examples":
        yield Problem("data.separator", "divides examples: set data.mode to examples")
    if data.truncate and data.max_length is None:
        yield Problem("data.truncate", "needs a data.max_length to cut at")
    if data.split != "end" and data.mode != "stream":
        told = "is for mode stream; data.shuffle spreads validation over lines and examples"
        yield Problem("data.split", told)
    if data.split != "end" and data.valid_source is not None:
        yield Problem("data.split", "nothing is held out: data.valid_source is for validation")
    if data.valid_chars is not None:
        yield from _conflicts_of_valid_chars(data)


def _conflicts_of_valid_chars(data: DataConfig) -> Iterator[Problem]:
    key = "data.valid_chars"
    if data.mode != "stream":
        yield Problem(key, f"is for mode stream, and data.mode is {data.mode}")
    if data.split != "end":
        yield Problem(key, f"holds out the end of the text, and data.split is {data.split}")
    if data.valid_source is not None:
        yield Problem(key, "nothing is held out: data.valid_source is for validation")
    if data.valid_fraction != DataConfig().valid_fraction:
        yield Problem(
            key, "data.valid_fraction says how much is held out, too: give one of the two"
        )


def _conflicts_of_bytes(data: DataConfig) -> Iterator[Problem]:
    """Settings that say which characters bytes become, where bytes are what is read."""
    if data.unit != "byte":
        return
    for name in ("encoding", "errors", "normalize", "min_count"):
        if getattr(data, name) != getattr(DataConfig(), name):
            told = "is about characters, and data.unit is byte: every byte is taken as it is"
            yield Problem(f"data.{name}", told)


def _is_text_encoding(name: str) -> bool:
    try:
        b"a".decode(name, "replace")
    except (LookupError, ValueError):
        return False
    return True


class _Dumper(yaml.SafeDumper):
    """Writes text so that every reader, of YAML 1.1 or 1.2, takes it for the same text."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'  # other styles fold or drop odd line ends
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
