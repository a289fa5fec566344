"""The saves of a training: whole, in order, and told apart from damage."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.run.checkpoint_files import Checkpoint, CheckpointFiles
from charrnn.tensors import dump_tensors, parse_metadata, parse_tensors


def state_of(step: int) -> Checkpoint:
    tensors = {"a": np.arange(6, dtype=np.float32) + step, "b": np.array(step, np.float32)}
    return Checkpoint(tensors, {"step": step})


def saves_of(folder: Path, steps: list[int], keep: int) -> CheckpointFiles:
    saves = CheckpointFiles(folder)
    for step in steps:
        saves.save(state_of(step), step=step, keep=keep)
    return saves


def step_found(saves: CheckpointFiles) -> int:
    state = saves.load()
    assert state is not None
    assert float(state.tensors["b"]) == state.description["step"]
    np.testing.assert_array_equal(
        state.tensors["a"], state_of(int(state.tensors["b"])).tensors["a"]
    )
    return int(state.description["step"])


def test_the_last_save_is_loaded_and_none_is_none(tmp_path: Path) -> None:
    assert CheckpointFiles(tmp_path).load() is None
    assert step_found(saves_of(tmp_path, [0, 5, 10], keep=0)) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_as_many_older_saves_are_kept_as_are_asked_for(tmp_path: Path) -> None:
    saves = saves_of(tmp_path, [0, 5, 10, 15, 15], keep=2)
    assert saves.kept_steps() == [5, 10, 15]
    saves.go_back(5)
    assert step_found(saves) == 5
    saves.save(state_of(7), step=7, keep=2)
    assert saves.kept_steps() == [5, 7], "steps that were taken back are gone"
    saves.save(state_of(9), step=9, keep=0)
    assert saves.kept_steps() == []


def test_a_step_that_was_not_kept_is_refused_with_those_that_were(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keeps no save of step 6") as refusal:
        saves_of(tmp_path, [0, 5, 10], keep=1).go_back(6)
    assert "5 or 10" in refusal.value.hint
    with pytest.raises(UserError) as refusal:
        CheckpointFiles(tmp_path / "none").go_back(6)
    assert "train.keep" in refusal.value.hint


@given(data=st.data())
def test_no_flipped_bit_and_no_cut_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever happens to a save, it is refused, or is what it was."""
    saves = saves_of(tmp_path_factory.mktemp("saves"), [3], keep=0)
    content = bytearray(saves.file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    saves.file.write_bytes(content)
    with suppress(UserError):
        assert step_found(saves) == 3


def test_damage_names_the_save_that_can_be_gone_back_to(tmp_path: Path) -> None:
    saves = saves_of(tmp_path, [0, 5, 10], keep=2)
    saves.file.write_bytes(b"nothing")
    with pytest.raises(UserError) as refusal:
        saves.load()
    assert "--from-step 10" in refusal.value.hint
    saves.go_back(10)
    assert step_found(saves) == 10


@pytest.mark.parametrize("digest", [None, "", "0" * 64])
def test_a_save_without_its_digest_is_refused(tmp_path: Path, digest: str | None) -> None:
    saves = saves_of(tmp_path, [3], keep=0)
    content = saves.file.read_bytes()
    metadata = {**parse_metadata(content), "sha256": digest}
    known = {name: text for name, text in metadata.items() if text is not None}
    saves.file.write_bytes(dump_tensors(parse_tensors(content), known))
    with pytest.raises(UserError, match="is damaged"):
        saves.load()
