"""Reading YAML: each word means one thing, and nothing hostile costs more than a message."""

import io
import os
import sys
import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config.yaml_reader import (
    DEEPEST_NESTING,
    FLOAT,
    MOST_BYTES,
    STDIN,
    Value,
    parse_value,
    parse_yaml,
    read_yaml,
)
from charrnn.errors import UserError

PLAIN_VALUES = [
    ("1e-3", 0.001),
    ("1.0e-3", 0.001),
    ("1E3", 1000.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1.", 1.0),
    ("+3", 3),
    ("-0", 0),
    ("0", 0),
    ("12345678901234567890", 12345678901234567890),
    ("9" * 5000, float("inf")),
    ("1e999", float("inf")),
    ("true", True),
    ("False", False),
    ("null", None),
    ("~", None),
    ("", None),
]
TEXT_VALUES = [
    "no", "yes", "on", "off", "y", "n", "tRUE",
    "010", "007.5", "1_000", "1,000", "0x10", "0o17", "0b11",
    "12:30:00", "2026-01-31", "2026-01-31T10:00:00Z",
    "nan", "inf", ".nan", "-.INF", "10**30", "1e", "e3", ".", "-", "1.2.3", "=", "<<",
]  # fmt: skip


def error_of(text: str) -> UserError:
    with pytest.raises(UserError) as caught:
        parse_yaml(text, source="x.yaml")
    return caught.value


@pytest.mark.parametrize(("text", "value"), PLAIN_VALUES)
def test_a_plain_word_means_what_yaml_1_2_says(text: str, value: Value) -> None:
    read = parse_yaml(f"key: {text}", source="x.yaml")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", [text for text in TEXT_VALUES if text != "-"])
def test_what_only_yaml_1_1_takes_for_something_else_stays_text(text: str) -> None:
    assert parse_yaml(f"key: {text}", source="x.yaml") == {"key": text}


@pytest.mark.parametrize("text", TEXT_VALUES + [text for text, _ in PLAIN_VALUES])
def test_quotation_marks_make_text_of_anything(text: str) -> None:
    assert parse_yaml(f"key: '{text}'", source="x.yaml") == {"key": text}


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**98), 10**98))
def test_every_number_that_python_writes_is_read_back(number: float) -> None:
    assert parse_yaml(f"key: {number}", source="x.yaml") == {"key": number}


def is_no_number(text: str) -> bool:
    """PyYAML leaves 1e3 without quotation marks, because for YAML 1.1 it is text anyway."""
    return FLOAT.fullmatch(text) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text().filter(is_no_number),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_pyyaml_writes_is_read_as_the_same_value(value: Value) -> None:
    text = yaml.safe_dump({"key": value}, default_flow_style=None)
    assert parse_yaml(text, source="x.yaml") == {"key": value}


@given(st.text(max_size=200) | st.text("{}[]:,-&*!|>'\"%@# \n\tab?<", max_size=60))
def test_any_text_at_all_gives_a_mapping_or_a_user_error(text: str) -> None:
    try:
        assert isinstance(parse_yaml(text, source="x.yaml"), dict)
    except UserError as error:
        assert error.message.startswith("x.yaml")  # noqa: PT017 - an error is one of two outcomes


@given(st.binary(max_size=200))
def test_any_bytes_at_all_give_a_mapping_or_a_user_error(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    try:
        assert isinstance(parse_yaml(text, source="x.yaml"), dict)
    except UserError as error:
        assert error.message.startswith("x.yaml")  # noqa: PT017 - an error is one of two outcomes


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment", "---\n", "---\n...\n", "\ufeff"])
def test_a_document_without_content_is_an_empty_mapping(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    assert read_yaml(tmp_path / "x.yaml") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: duplicate key a"),
        ("s:\n  k: 1\n  'k': 2\n", "x.yaml:3:3: duplicate key k"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document begins here; a configuration is one"),
        (
            "a: !!python/object/apply:os.system ['true']",
            "x.yaml:1:4: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
        ),
        ("a: !!int '3'", "x.yaml:1:4: the tag tag:yaml.org,2002:int is not allowed"),
        ("a: !local 3", "x.yaml:1:4: the tag !local is not allowed"),
        ("a: &x 1\nb: *x\n", "x.yaml:1:4: the anchor &x is not allowed"),
        ("a: 1\nb: *x\n", "x.yaml:2:4: the alias *x is not allowed"),
        ("? [a, b]\n: 1", "x.yaml:1:3: a key must be a single word"),
        ("- a\n- b\n", "x.yaml: expected sections of settings, found a list"),
        ("just words", "x.yaml: expected sections of settings, found a single value"),
        (
            "a: '\x1b[31m'",
            'x.yaml: this is not YAML: unacceptable character #x001b: control characters are not allowed in "<unicode string>", position 4',  # noqa: E501
        ),
    ],
)
def test_an_error_names_the_file_line_and_column(text: str, message: str) -> None:
    assert error_of(text).message == message


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("a:\n\tb: 1", "x.yaml:2:1: ", "spaces, not tabs"),
        ("a: b: c", "x.yaml:1:5: ", "quotation marks"),
        ("a: -", "x.yaml:1:4: ", 'source: "-"'),
        ("a: [1, 2", "x.yaml:2:1: ", ""),
    ],
)
def test_broken_yaml_is_located_and_explained(text: str, where: str, hint: str) -> None:
    error = error_of(text)
    assert error.message.startswith(where)
    assert hint in error.hint


def test_nesting_is_allowed_to_its_limit_and_refused_beyond() -> None:
    lists = DEEPEST_NESTING - 1  # the mapping around them is the first level
    parse_yaml(f"key: {'[' * lists}{']' * lists}", source="x.yaml")
    assert "nested more than 20 deep" in error_of(f"key: {'[' * lists}[]{']' * lists}").message


def bombs() -> dict[str, str]:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    return {
        "a billion laughs": "\n".join(laughs),
        "lists 10,000 deep": "[" * 10_000,
        "mappings 10,000 deep": "{a: " * 10_000,
        "block mappings 1,000 deep": "\n".join(" " * n + "a:" for n in range(1000)),
        "nothing but tags": "!" * MOST_BYTES,
        "nothing but anchors": "&a " * (MOST_BYTES // 3),
        "a bad line that is long": "a: [" + "x" * (MOST_BYTES - 4),
        "a key that is long, twice": f"{'k' * 400_000}: 1\n" * 2,
        "a tag that is long": "a: !" + "x" * 900_000,
    }


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_refused_in_little_memory_with_a_short_message(name: str) -> None:
    bomb = bombs()[name]
    tracemalloc.start()
    try:
        error = error_of(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(error.message) < 300
    assert peak < 20 * 1024 * 1024


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_the_pure_python_parser_gives_the_same_values_and_places(
    loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.config.yaml_reader.LOADER", getattr(yaml, loader))
    assert parse_yaml("a: {b: [1e-3, no, 'x']}\nc: |\n  text\n", source="x.yaml") == {
        "a": {"b": [0.001, "no", "x"]},
        "c": "text\n",
    }
    assert error_of("a: 1\na: 2").message == "x.yaml:2:1: duplicate key a"
    assert error_of("a: " + "[" * 10_000).message == "x.yaml:1:23: nested more than 20 deep"
    assert error_of(r'a: "\UFFFFFFFF"').message.startswith("x.yaml")


def test_a_file_in_utf_8_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + "key: Ärger 😀\r\n".encode())
        assert read_yaml(path) == {"key": "Ärger 😀"}


def test_a_file_that_is_not_utf_8_is_refused_at_its_first_wrong_byte(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert caught.value.message == f"{path}:2: a byte is not UTF-8"


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="at most 1,000,000 bytes"):
            read_yaml(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * 1024 * 1024


def test_a_file_that_is_missing_gets_its_neighbour_proposed(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").touch()
    with pytest.raises(UserError) as caught:
        read_yaml(tmp_path / "quikstart.yaml")
    assert caught.value.message == f"{tmp_path}/quikstart.yaml: no such file"
    assert caught.value.hint == f"did you mean {tmp_path}/quickstart.yaml?"


def test_a_directory_and_a_pipe_are_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a plain file"):
        read_yaml(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UserError, match="not a plain file"):
        read_yaml(tmp_path / "pipe.yaml")


def test_a_file_without_permission_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    (tmp_path / "x.yaml").touch()
    with pytest.raises(UserError, match=r"x\.yaml: Permission denied"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 300, "\x1b[31m.yaml"])
def test_an_impossible_name_is_an_error_that_cannot_harm_a_terminal(name: str) -> None:
    with pytest.raises(UserError) as caught:
        read_yaml(Path(name))
    assert caught.value.message.isprintable()


def test_a_hyphen_reads_stdin_and_as_little_of_it_as_of_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a: 1")))
    assert read_yaml(STDIN) == {"a": 1}
    endless = io.BytesIO(b"#" * (3 * MOST_BYTES))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(endless))
    with pytest.raises(UserError, match="stdin: too large"):
        read_yaml(STDIN)
    assert endless.tell() < 2 * MOST_BYTES
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="stdin is closed"):
        read_yaml(STDIN)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *PLAIN_VALUES,
        *((text, text) for text in TEXT_VALUES),
        ("poems: all #1.txt", "poems: all #1.txt"),
        ("*.txt", "*.txt"),
        ("'3'", "3"),
        ('"a\\tb"', "a\tb"),
        ("[a, 'b c', 3]", ["a", "b c", 3]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_a_value_on_the_command_line_needs_no_quotation_marks(text: str, value: Value) -> None:
    assert parse_value(text, source="--set a.b") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "--set a.b:2:1: did not find expected ',' or ']'"),
        ("[&a x, *a]", "--set a.b:1:2: the anchor &a is not allowed"),
    ],
)
def test_a_wrong_value_on_the_command_line_is_refused_by_key(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_value(text, source="--set a.b")
    assert caught.value.message == message
