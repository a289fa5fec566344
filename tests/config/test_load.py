"""Configurations: what is accepted, what is refused and in which words, and what comes back."""

import dataclasses
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config.load import (
    RETIRED,
    apply_overrides,
    dump_config,
    load_for_training,
    parse_config,
    read_run_config,
)
from charrnn.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    TrainConfig,
)
from charrnn.config.yaml_reader import parse_yaml
from charrnn.console import escape_controls
from charrnn.errors import UserError
from charrnn.validation import MOST_PROBLEMS, is_valid, types_of
from scripts.write_reference import SECTIONS, json_schema

ROOT = Path(__file__).parents[2]
SETTINGS = [(section, name) for section, kind in SECTIONS.items() for name in types_of(kind)]
SCHEMA = jsonschema.Draft7Validator(json_schema())


def config_of(text: str) -> Config:
    return parse_config(parse_yaml(text, source="x.yaml"), source="x.yaml")


def error_of(text: str) -> UserError:
    with pytest.raises(UserError) as caught:
        config_of(text)
    return caught.value


# --- What is accepted ---------------------------------------------------------------------------


def numbers_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if schema["type"] == "integer":
        return st.integers(low, high)
    return st.floats(
        low, high,
        exclude_min="exclusiveMinimum" in schema, exclude_max="exclusiveMaximum" in schema,
    )  # fmt: skip


def texts_of(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].replace("$", r"\Z"))
    if "minLength" in schema:
        return st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
    return st.sampled_from(["utf-8", "latin-1", "cp1252"])  # data.encoding: the only free text


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a setting accepts, made from its JSON Schema."""
    if "anyOf" in schema:
        return st.one_of([values_of(each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
        "integer": lambda: numbers_of(schema),
        "number": lambda: numbers_of(schema),
        "string": lambda: texts_of(schema),
        "boolean": st.booleans,
        "null": st.none,
        "array": lambda: st.lists(values_of(schema["items"]), min_size=1, max_size=3),
    }
    return kinds[schema["type"]]()


@functools.cache
def sections_of(section: str) -> st.SearchStrategy[dict[str, Any]]:
    settings = json_schema()["properties"][section]["properties"]
    return st.fixed_dictionaries(
        {}, optional={name: values_of(schema) for name, schema in settings.items()}
    )


WIDEST_OF_SOME = 65_536 // 64
"""Units of a network, of which an ensemble may have any number."""


@st.composite
def configs(draw: st.DrawFn) -> Config:
    sections = {name: draw(sections_of(name)) for name in SECTIONS}
    data = sections["data"]
    mode = data.get("mode", "stream")
    if mode == "stream":
        data.pop("shuffle", None)
    if mode != "examples":
        data.pop("separator", None)
    if mode != "stream" or data.get("valid_source"):
        data.pop("split", None)
    if data.get("max_length", 1) is None:
        data.pop("truncate", None)
    if data.get("unit") == "byte":
        for about_characters in ("encoding", "errors", "normalize", "min_count"):
            data.pop(about_characters, None)
    if (
        any(name in data for name in ("valid_source", "valid_fraction", "split"))
        or mode != "stream"
    ):
        data.pop("valid_chars", None)
    model = sections["model"]
    model.pop("tie_weights", None)
    if max(model.get("hidden_size", 1), model.get("embedding_size", 1)) > WIDEST_OF_SOME:
        model.pop("ensemble_size", None)
    return parse_config(sections, source="made up")


def test_nothing_at_all_is_the_default_configuration() -> None:
    assert config_of("") == Config()
    assert config_of("data:\nmodel: {}\ntrain: null\n") == Config()
    assert load_for_training(None).config == Config()


@given(configs())
def test_what_is_written_means_the_same_to_us_to_yaml_1_1_and_to_the_json_schema(
    config: Config,
) -> None:
    written = dump_config(config)
    assert config_of(written) == config
    assert yaml.safe_load(written) == dataclasses.asdict(config)
    SCHEMA.validate(dataclasses.asdict(config))


def test_every_setting_is_written_out_in_the_order_of_the_schema() -> None:
    written = yaml.safe_load(dump_config(Config()))
    assert [(section, name) for section in written for name in written[section]] == SETTINGS


@given(
    st.sampled_from(SETTINGS),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.text()
    | st.sampled_from(["lstm", "lines", "auto", "LSTM", "f" * 64])
    | st.lists(st.text() | st.integers(), max_size=3)
    | st.dictionaries(st.text(), st.integers(), max_size=2),
)
def test_the_json_schema_and_charrnn_agree_about_any_value(setting: Any, value: Any) -> None:
    section, name = setting
    is_accepted = is_valid(types_of(SECTIONS[section])[name], value)
    assert SCHEMA.is_valid({section: {name: value}}) == is_accepted


def test_a_whole_number_is_a_fine_float_and_becomes_one() -> None:
    temperature = config_of("generate: {temperature: 1}").generate.temperature
    assert isinstance(temperature, float)
    assert config_of("train: {learning_rate: 1e-3}").train.learning_rate == 0.001


# --- What is refused, and in which words --------------------------------------------------------

REFUSALS = [
    ("model: {hiden_size: 1}", "model.hiden_size: unknown key; did you mean hidden_size?"),
    ("model: {Hidden-Size: 1}", "model.Hidden-Size: unknown key; did you mean hidden_size?"),
    ("train: {lr: 1}", "train.lr: unknown key; did you mean learning_rate?"),
    ("train: {hidden_size: 1}", "train.hidden_size: unknown key; did you mean model.hidden_size?"),
    ("hidden_size: 1", "hidden_size: unknown key; did you mean model.hidden_size?"),
    ("modle: {}", "modle: unknown key; did you mean model?"),
    ("xyz: 1", "xyz: unknown key; expected data, model, train or generate"),
    ("model.layers: 2", "model.layers: a setting stands under its section, indented"),
    ("model: {qqq: 1}", "model.qqq: unknown key; expected cell, input, embedding_size, "),
    ("no: 1", "no: unknown key; "),
    ("model: 3", "model: expected a section of settings, got 3"),
    ("train: [1, 2]", "train: expected a section of settings, got the list [1, 2]"),
    (
        "model: {cell: lstmm}",
        'model.cell: expected lstm, gru or rnn, got the text "lstmm"; did you mean lstm?',
    ),
    (
        "train: {batch_size: 0}",
        "train.batch_size: expected a whole number from 1 up to 65,536, got 0",
    ),
    ("train: {batch_size: true}", "up to 65,536, got true"),
    ("train: {batch_size: '16'}", 'up to 65,536, got the text "16"'),
    ("train: {batch_size: 010}", 'up to 65,536, got the text "010"'),
    ("train: {batch_size: 1.5}", "up to 65,536, got 1.5"),
    ("train: {batch_size: }", "up to 65,536, got null"),
    ("train: {steps: 1" + "0" * 30 + "}", "got 1000000000000000000000000000000"),
    ("train: {steps: 10**30}", 'got the text "10**30"'),
    ("train: {learning_rate: 0}", "train.learning_rate: expected a number above 0 up to 10, got 0"),
    ("train: {learning_rate: false}", "expected a number above 0 up to 10, got false"),
    ("model: {dropout: 1}", "model.dropout: expected a number from 0 to below 1, got 1"),
    ("train: {seed: -1}", "train.seed: expected a whole number from 0 up to 2^63 - 1, got -1"),
    ("train: {patience: 0}", "expected a whole number from 1 up to 1,000,000,000 or null, got 0"),
    ("data: {shuffle: yes}", 'data.shuffle: expected true or false, got the text "yes"'),
    ("data: {shuffle: 1}", "data.shuffle: expected true or false, got 1"),
    ("data: {sha256: 123}", "data.sha256: expected 64 hexadecimal digits or null, got 123"),
    ("data: {sha256: " + "g" * 64 + "}", "expected 64 hexadecimal digits or null, got "),
    ("data: {source: []}", "or a list of non-empty text, got the list []"),
    ("data: {source: ['']}", 'or a list of non-empty text, got the list [""]'),
    ("data: {source: [a, 1]}", 'or a list of non-empty text, got the list ["a", 1]'),
    ("data: {source: {a: 1}}", "or a list of non-empty text, got a mapping"),
    ('data: {source: "a\\0b"}', r'got the text "a\u0000b"'),
    ("data: {encoding: utf-99}", 'data.encoding: Python has no text encoding "utf-99"'),
    ("data: {encoding: rot13}", 'data.encoding: Python has no text encoding "rot13"'),
    ("data: {encoding: ''}", 'data.encoding: Python has no text encoding ""'),
    (
        "data: {shuffle: true}",
        "data.shuffle: only lines and examples can be shuffled: set data.mode to lines",
    ),
    ("data: {separator: file}", "data.separator: divides examples: set data.mode to examples"),
    (
        "data: {truncate: true, max_length: null}",
        "data.truncate: needs a data.max_length to cut at",
    ),
    (
        "data: {split: files, mode: lines}",
        "data.split: is for mode stream; data.shuffle spreads validation over lines and examples",
    ),
    (
        "data: {split: blocks, valid_source: a}",
        "data.split: nothing is held out: data.valid_source is for validation",
    ),
    (
        "model: {tie_weights: true}",
        "model.embedding_size (64) equal to model.hidden_size (384)",
    ),
    (
        "model: {tie_weights: true, input: onehot}",
        "model.tie_weights: needs model.input embedding (it is onehot)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_a_mistake_is_named_with_its_key_and_what_was_expected(text: str, message: str) -> None:
    found = error_of(text).message
    assert found.startswith("x.yaml: ")
    assert message in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("train: {steps: 3e3}", "a whole number is written without point or exponent: 3000"),
        ("train: {steps: 1_000}", "no quotation marks, leading zeros, unit or separators"),
        ("data: {shuffle: no}", "only true and false are truth values"),
        ("data: {encoding: utf-99}", "common ones are utf-8"),
        ("model: {hiden_size: 1}", "`charrnn train --print-config` shows every setting"),
    ],
)
def test_a_hint_says_what_to_do_next(text: str, hint: str) -> None:
    assert hint in error_of(text).hint


def test_every_mistake_of_a_file_is_reported_at_once_a_line_each() -> None:
    message = error_of("model: {hiden_size: 128, cell: lstmm}\ntrain: {batch_size: 0}").message
    assert message.splitlines() == [
        "x.yaml: model.hiden_size: unknown key; did you mean hidden_size?",
        'x.yaml: model.cell: expected lstm, gru or rnn, got the text "lstmm"; did you mean lstm?',
        "x.yaml: train.batch_size: expected a whole number from 1 up to 65,536, got 0",
    ]


def test_of_thousands_of_mistakes_the_first_are_listed() -> None:
    error = error_of("\n".join(f"key{n}: {n}" for n in range(5000)))
    assert len(error.message.splitlines()) == MOST_PROBLEMS + 1
    assert error.message.endswith("... and more")


@given(
    st.dictionaries(
        st.text() | st.sampled_from(list(SECTIONS)),
        st.text() | st.dictionaries(st.text(), st.text() | st.integers() | st.floats(), max_size=3),
        max_size=4,
    )
)
def test_no_content_can_break_a_message_or_send_codes_to_a_terminal(content: Any) -> None:
    try:
        parse_config(content, source="x.yaml")
    except UserError as caught:
        error = caught
    else:
        return
    for line in [*error.message.split("\n"), error.hint]:
        assert escape_controls(line, keep=frozenset()) == line
        assert len(line) < 600


def test_a_hostile_value_is_shortened_and_made_harmless() -> None:
    message = error_of('model: {"\\e[2J": 1, cell: "\\e]0;owned\\a' + "x" * 10_000 + '"}').message
    assert r'model."\u001b[2J": unknown key' in message
    assert r'got the text "\u001b]0;owned\u0007xxx' in message
    assert len(message) < 600


# --- Files and the command line -----------------------------------------------------------------


def test_the_later_source_wins(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("train: {steps: 10, batch_size: 4}\n")
    overrides = ["train.steps=20", "train.steps=30", "model.cell=gru"]
    config = load_for_training(path, overrides).config
    assert config.train == TrainConfig(steps=30, batch_size=4)
    assert config.model == ModelConfig(cell="gru")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.learning_rate=1e-3", Config(train=TrainConfig(learning_rate=0.001))),
        ("train.patience=", Config(train=TrainConfig(patience=None))),
        ("train.patience=null", Config(train=TrainConfig(patience=None))),
        ("data.source=[a,b]", Config(data=DataConfig(source=["a", "b"]))),
        ("data.source=a=b: c #d", Config(data=DataConfig(source="a=b: c #d"))),
        ("data.source=-", Config(data=DataConfig(source="-"))),
        (" model.layers = 2 ", Config(model=ModelConfig(layers=2))),
    ],
)
def test_set_changes_one_setting(override: str, expected: Config) -> None:
    assert load_for_training(None, [override]).config == expected
    assert apply_overrides(Config(), [override]) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lerning_rate=1", "--set train.lerning_rate: unknown key; did you mean "),
        ("trian.steps=1", "--set trian: unknown key; did you mean train?"),
        ("steps=1", "--set steps: unknown key; did you mean train.steps?"),
        ("model=lstm", '--set model: expected a section of settings, got the text "lstm"'),
        ("train.steps", "--set train.steps: a value is missing"),
        ("train.steps=many", "--set train.steps: expected a whole number from 1 up to "),
        ("data.shuffle=on", '--set data.shuffle: expected true or false, got the text "on"'),
        ("data.shuffle=true", "--set data.shuffle: only lines and examples can be shuffled"),
        ("train.learning_rate=.inf", "--set train.learning_rate: expected a number above 0"),
        ("train.learning_rate=1e999", "--set train.learning_rate: expected a number above 0"),
        ("data.source=caf\udce9", "--set data.source: expected names without U+0000 or surrogates"),
        ("data.source=[a", "--set data.source:2:1: did not find expected"),
        ("data.source={a: 1}", "--set data.source: expected non-empty text or a list"),
        ("", '--set "": a value is missing'),
    ],
)  # fmt: skip
def test_a_wrong_set_is_refused_by_its_key(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        apply_overrides(Config(), [override])
    assert caught.value.message.startswith(message)
    with pytest.raises(UserError) as caught:
        load_for_training(None, [override])
    assert caught.value.message.startswith(message)


def test_mistakes_in_the_file_and_in_sets_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("train: {steps: 0}\n")
    with pytest.raises(UserError) as caught:
        load_for_training(path, ["train.seed=-1", "model.layers=x"])
    assert [line.partition(": expected")[0] for line in caught.value.message.splitlines()] == [
        f"{path}: train.steps",
        "--set train.seed",
        "--set model.layers",
    ]


def test_a_setting_that_is_gone_is_ignored_with_one_note(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("train: {workers: 4, steps: 20}\n")
    loaded = load_for_training(path, ["train.workers=2"])
    assert loaded.config == Config(train=TrainConfig(steps=20))
    assert loaded.explicit == {"train.steps"}
    assert loaded.notes == [f"train.workers is ignored: {RETIRED['train.workers']}"]
    assert read_run_config(path) == loaded.config
    assert apply_overrides(Config(), ["train.workers=2"]) == Config()


def test_one_source_is_a_list_of_one() -> None:
    assert DataConfig(source="a").sources == ["a"]
    assert DataConfig(source=["a", "b"]).sources == ["a", "b"]


def test_a_runs_configuration_cannot_be_a_link_out_of_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret.yaml").write_text("generate: {length: 3}\n")
    (run / "config.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(UserError, match="link that leaves its folder"):
        read_run_config(run / "config.yaml")
    with pytest.raises(UserError, match="No such file"):
        read_run_config(run / "missing.yaml")


def test_reading_a_runs_configuration_loads_neither_torch_nor_a_validator(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(Config()))
    program = (
        "import sys; from pathlib import Path; "
        "from charrnn.config.load import read_run_config; "
        "read_run_config(Path('config.yaml')); "
        "print(sorted({'torch', 'pydantic', 'rich', 'typer'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


@given(
    st.text(
        st.sampled_from("\x1b\u202e\u2066\ufeff\x9b\u2028\ue000\U000e0001a: #'\"\\"), min_size=1
    )
)
def test_a_configuration_that_is_printed_cannot_act_on_a_terminal(name: str) -> None:
    config = Config(data=DataConfig(source=name))
    printed = dump_config(config)
    assert escape_controls(printed) == printed
    assert config_of(printed) == config
