"""Arrays on disk: what is written is NumPy's own format, what is read was checked."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.text.array_file import load_array, write_array

VALUES = np.arange(1000, dtype=np.uint16)


def write(path: Path, *parts: npt.NDArray[np.uint16]) -> Path:
    write_array(path, np.uint16, sum(map(len, parts)), parts)
    return path


@given(st.lists(st.integers(0, 1000), max_size=4))
def test_numpy_reads_what_was_written_in_parts(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "array.npy"
    write(path, *np.split(VALUES, sorted(cuts)))
    assert np.array_equal(np.load(path), VALUES)
    assert np.load(path).dtype == np.uint16


@pytest.mark.parametrize("length", [0, 1, 1000])
def test_a_mapped_array_is_what_was_written_and_cannot_be_changed(
    tmp_path: Path, length: int
) -> None:
    mapped = load_array(write(tmp_path / "a.npy", VALUES[:length]), np.uint16, length)
    assert np.array_equal(mapped, VALUES[:length])
    if length:
        with pytest.raises(ValueError, match="read-only"):
            mapped[0] = 1


def test_an_array_whose_writer_failed_is_not_taken_for_whole(tmp_path: Path) -> None:
    def parts() -> Iterator[npt.NDArray[np.uint16]]:
        yield VALUES[:500]
        raise KeyError

    with pytest.raises(KeyError):
        write_array(tmp_path / "a.npy", np.uint16, len(VALUES), parts())
    with pytest.raises(UserError):
        load_array(tmp_path / "a.npy", np.uint16, len(VALUES))


@pytest.mark.parametrize("kept", [0, 1, 6, 20, 100, 127, 128, 129, 2127])
def test_a_truncated_file_is_refused_before_it_is_mapped(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "a.npy", VALUES)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a\.npy"):
        load_array(path, np.uint16, 1000)


@pytest.mark.parametrize(("dtype", "length"), [("uint8", 1000), ("int16", 1000), ("uint16", 999)])
def test_another_type_or_length_than_expected_is_refused(
    tmp_path: Path, dtype: str, length: int
) -> None:
    path = write(tmp_path / "a.npy", VALUES)
    with pytest.raises(UserError, match=f"does not hold {length:,} values of type {dtype}"):
        load_array(path, dtype, length)


def test_a_file_that_goes_on_after_its_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npy", VALUES)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match="does not hold 1,000 values"):
        load_array(path, np.uint16, 1000)


def test_objects_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="does not hold 1 values"):
        load_array(tmp_path / "a.npy", np.uint16, 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.npy: No such file"):
        load_array(tmp_path / "a.npy", np.uint16, 1)


@given(content=st.binary(max_size=200))
def test_no_content_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npy"
    for prefix in (b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\x76\x00{'descr':"):
        path.write_bytes(prefix + content)
        with pytest.raises(UserError):
            load_array(path, np.uint16, 1)


def test_a_full_disk_is_an_error_and_no_signal() -> None:
    full, reason = Path("/dev/full"), os.strerror(errno.ENOSPC)
    with pytest.raises(OSError, match=reason):
        write_array(full, np.uint16, 10, [np.zeros(1_000_000, np.uint16)])
