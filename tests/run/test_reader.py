"""A run directory from a stranger: whatever is wrong with it is refused by name."""

import json
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charrnn.run.reader
from charrnn.errors import UserError
from charrnn.run.paths import (
    CARD_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
)
from charrnn.run.reader import read_model
from charrnn.run.writer import RunWriter
from charrnn.text.vocabulary import Vocabulary
from tests.damage import cut_off_everywhere, with_each_byte_damaged
from tests.models import cut_off_between_renames, random_weights, write_run


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "whole", hidden_size=4, embedding_size=3)


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


def edit_card(run: Path, **changes: Any) -> None:
    card = json.loads((run / CARD_FILE).read_text())
    (run / CARD_FILE).write_text(json.dumps({**card, **changes}))


def test_what_was_written_is_read_back(run: Path) -> None:
    model = read_model(run)
    for name, weight in random_weights(model.card).items():
        np.testing.assert_array_equal(model.weights[name], weight)
        assert model.weights[name].dtype == np.float32


def test_a_copied_run_needs_nothing_of_where_it_came_from(run: Path, original: Path) -> None:
    assert str(original) not in "".join(
        file.read_bytes().decode("latin-1") for file in run.iterdir() if file.is_file()
    )


@pytest.mark.parametrize("name", [CARD_FILE, VOCABULARY_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(UserError, match=name):
        read_model(run)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A run so small that all that can happen to it can be tried."""
    return write_run(tmp_path / "small", characters="ab", hidden_size=1, embedding_size=1)


@pytest.mark.parametrize("name", [CARD_FILE, VOCABULARY_FILE, WEIGHTS_FILE])
def test_a_file_cut_off_at_any_length_is_refused_by_name(small: Path, name: str) -> None:
    content = (small / name).read_bytes()
    for damaged in cut_off_everywhere(content):
        if name != WEIGHTS_FILE and len(damaged) == len(content) - 1:
            continue  # only the line end is missing
        (small / name).write_bytes(damaged)
        with pytest.raises(UserError, match=name):
            read_model(small)


def test_no_flipped_bit_of_the_weights_goes_unnoticed(small: Path) -> None:
    for damaged in with_each_byte_damaged((small / WEIGHTS_FILE).read_bytes()):
        (small / WEIGHTS_FILE).write_bytes(damaged)
        with pytest.raises(UserError, match=WEIGHTS_FILE):
            read_model(small)


@pytest.mark.parametrize("name", [CARD_FILE, VOCABULARY_FILE])
def test_a_flipped_bit_of_a_json_file_is_an_error_or_harmless(small: Path, name: str) -> None:
    """A step count or a character that became another one cannot be told from the right one."""
    for damaged in with_each_byte_damaged((small / name).read_bytes()):
        (small / name).write_bytes(damaged)
        with suppress(UserError):
            model = read_model(small)
            assert len(model.vocabulary) == model.card.vocabulary_size
            assert model.card.shapes() == {key: w.shape for key, w in model.weights.items()}


@given(
    content=st.binary(max_size=300)
    | st.from_regex(r"[\[\]{}:,\"0-9.e\- a-z]{0,80}").map(str.encode)
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_a_json_file_are_refused(original: Path, content: bytes) -> None:
    for name in (CARD_FILE, VOCABULARY_FILE):
        with _changed(original, name, content) as changed, pytest.raises(UserError):
            read_model(changed)


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 2},
        {"format_version": "1"},
        {"format_version": True},
        {"cell": "transformer"},
        {"cell": ["lstm"]},
        {"cell": "gru"},
        {"hidden_size": 5},
        {"hidden_size": 0},
        {"hidden_size": -4},
        {"hidden_size": 10**30},
        {"hidden_size": 4.0},
        {"hidden_size": True},
        {"layers": 2},
        {"layers": 64, "hidden_size": 65536},
        {"vocabulary_size": 32},
        {"tie_weights": True},
        {"tie_weights": "no"},
        {"mode": "lines"},
        {"input": "onehot"},
        {"weights_sha256": "0" * 64},
        {"valid_loss_nats": "low"},
        {"step": None},
    ],
)
def test_a_card_that_contradicts_the_rest_is_refused(run: Path, changes: dict[str, Any]) -> None:
    edit_card(run, **changes)
    with pytest.raises(UserError):
        read_model(run)


def test_a_card_of_a_later_version_says_so(run: Path) -> None:
    edit_card(run, format_version=7)
    with pytest.raises(UserError, match="version 7") as refusal:
        read_model(run)
    assert "newer charrnn" in refusal.value.hint


def _replace_weights(run: Path, content: bytes) -> None:
    import hashlib

    (run / WEIGHTS_FILE).write_bytes(content)
    edit_card(run, weights_sha256=hashlib.sha256(content).hexdigest())


def _header(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _with_header(header: dict[str, Any], body: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + body


def _overlap(header: dict[str, Any]) -> None:
    first, second = sorted(header)[:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]


def _reshape(header: dict[str, Any]) -> None:
    header["output.weight"]["shape"].reverse()


def _retype(header: dict[str, Any]) -> None:
    header["output.bias"]["dtype"] = "I32"


def _rename(header: dict[str, Any]) -> None:
    header["../../etc/passwd"] = header.pop("output.bias")


def _stretch(header: dict[str, Any]) -> None:
    header["output.weight"]["shape"] = [1 << 40, 1 << 20]
    header["output.weight"]["data_offsets"][1] = 1 << 62


@pytest.mark.parametrize("twist", [_overlap, _reshape, _retype, _rename, _stretch])
def test_a_twisted_safetensors_header_is_refused_even_with_a_fitting_checksum(
    run: Path, twist: Callable[[dict[str, Any]], None]
) -> None:
    header, body = _header((run / WEIGHTS_FILE).read_bytes())
    twist(header)
    _replace_weights(run, _with_header(header, body))
    with pytest.raises(UserError, match=WEIGHTS_FILE):
        read_model(run)


@pytest.mark.parametrize("length", [0, 1, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_header_length_that_lies_is_refused(run: Path, length: int) -> None:
    content = (run / WEIGHTS_FILE).read_bytes()
    _replace_weights(run, struct.pack("<Q", length) + content[8:])
    with pytest.raises(UserError, match=WEIGHTS_FILE):
        read_model(run)


def test_a_file_of_terabytes_is_refused_without_reading_it(run: Path) -> None:
    with (run / WEIGHTS_FILE).open("r+b") as file:
        file.truncate(1 << 42)
    with pytest.raises(UserError, match="at most"):
        read_model(run)


@pytest.mark.parametrize("name", [CARD_FILE, VOCABULARY_FILE, WEIGHTS_FILE])
def test_a_link_out_of_the_folder_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    (run / name).rename(outside)
    (run / name).symlink_to(outside)
    with pytest.raises(UserError, match="link"):
        read_model(run)


@pytest.mark.parametrize("name", [CARD_FILE, VOCABULARY_FILE, WEIGHTS_FILE])
def test_a_folder_in_a_files_place_is_refused(run: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).mkdir()
    with pytest.raises(UserError, match="plain file"):
        read_model(run)


def test_nested_brackets_without_end_are_refused(run: Path) -> None:
    (run / CARD_FILE).write_text("[" * 100_000)
    with pytest.raises(UserError, match="damaged"):
        read_model(run)


def test_a_save_cut_off_between_its_renames_is_as_good(run: Path) -> None:
    """The card already names the next weights, which still carry their temporary name."""
    model = read_model(run)
    better = cut_off_between_renames(run, model)

    found = read_model(run)

    assert found.card.step == 2
    np.testing.assert_array_equal(found.weights["output.bias"], better["output.bias"])


class _changed:  # noqa: N801 - reads as a verb in a with statement
    """A copy of a run with one file replaced, for as long as it is looked at."""

    def __init__(self, original: Path, name: str, content: bytes) -> None:
        self.original, self.name, self.content = original, name, content

    def __enter__(self) -> Path:
        self.copy = self.original.parent / "changed"
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.original, self.copy)
        (self.copy / self.name).write_bytes(self.content)
        return self.copy

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.copy)


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = read_model(run)
    better = {name: weight + 1 for name, weight in model.weights.items()}
    read_vocabulary = charrnn.run.reader.read_vocabulary

    def replaced_meanwhile(path: Path) -> Vocabulary:
        monkeypatch.undo()
        with RunWriter.reopen(path) as writer:
            writer.save_best(better, replace(model.card, step=2))
        return read_vocabulary(path)

    monkeypatch.setattr("charrnn.run.reader.read_vocabulary", replaced_meanwhile)
    found = read_model(run)
    assert found.card.step == 2
    np.testing.assert_array_equal(found.weights["output.bias"], better["output.bias"])


def test_a_name_with_a_line_end_cannot_forge_a_line_of_a_message(tmp_path: Path) -> None:
    run = write_run(tmp_path / "x\n hint: do this", characters="ab")
    for name in (WEIGHTS_FILE, VOCABULARY_FILE, CARD_FILE):
        (run / name).unlink()
        with pytest.raises(UserError) as refusal:
            read_model(run)
        assert "\n" not in refusal.value.message + refusal.value.hint
