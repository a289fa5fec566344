"""No bytes whatever break a reader; `make fuzz` looks for them for longer, and looks closer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.edits import edited, safetensors_of, safetensors_parts
from tests.fuzz.exhaustive import FILES
from tests.fuzz.readers import READERS, Bench, examples

SLOW = {"last", "last_edited"}  # a training goes on in them


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


def spliced(whole: bytes) -> st.SearchStrategy[bytes]:
    """What is whole, with some of it replaced by something else."""
    return st.builds(
        lambda begin, length, between: whole[:begin] + between + whole[begin + length :],
        st.integers(0, len(whole)),
        st.integers(0, 20),
        st.binary(max_size=8) | st.sampled_from([b"[", b"{", b'"', b"-1", b"1e999", b"\x1b[2J"]),
    )


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused(name: str, bench: Bench) -> None:
    whole = examples(bench, [name])[name]

    @settings(
        max_examples=10 if name in SLOW else 100,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.binary(max_size=300) | st.one_of([spliced(each) for each in whole]))
    def read(content: bytes) -> None:
        READERS[name](bench, content)

    read()


@pytest.mark.parametrize("name", FILES)
def test_what_is_whole_is_read(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else nothing would have been tried at all."""

    class Refused(Exception):  # noqa: N818
        pass

    monkeypatch.setattr("tests.fuzz.readers.UserError", Refused)
    READERS[name](bench, examples(bench, [name])[name][0])


def test_no_edits_leave_a_safetensors_file_as_it_was(bench: Bench) -> None:
    content = bench.state.read_bytes()
    header, body = safetensors_parts(content)
    assert safetensors_parts(safetensors_of(edited(header, b""), body)) == (header, body)
    assert edited(header, b"\x05\x01\x07") != header
