"""The Python API: what it computes, against `charrnn eval` and the network; its types."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charrnn
from charrnn.errors import UserError
from charrnn.evaluation.evaluate import score_stream
from charrnn.run.model_card import TextFormat
from tests.cli.process import succeed_json
from tests.models import LETTERS, write_run

TEXT = "the quick brown fox.\njumps over the lazy dog"
PROGRAM = """
from typing import assert_type

import numpy as np
import numpy.typing as npt

import charrnn

model = charrnn.load("run")
assert_type(model, charrnn.Model)
assert_type("".join(model.generate("the ", length=5, temperature=0.5, rng_seed=1)), str)
for text in model.generate_many(["a", "b"], samples=2, length=5):
    assert_type(text.text, str)
assert_type(model.score("the dog").bits_per_char, float)
assert_type(model.surprisal("the dog"), list[float | None])
states: npt.NDArray[np.float32] = model.states("the dog")
logits: npt.NDArray[np.float32] = model.logits("the dog")
"""


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> charrnn.Model:
    return charrnn.load(write_run(tmp_path_factory.mktemp("runs") / "run", layers=2))


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> charrnn.Model:
    folder = tmp_path_factory.mktemp("runs")
    return charrnn.load(write_run(folder / "run", cell="gru", lines=True))


@pytest.mark.parametrize("kind", ["stream", "lines"])
def test_a_text_is_scored_as_eval_scores_it(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model: charrnn.Model = request.getfixturevalue(kind)
    (tmp_path / "text").write_text(TEXT)
    expected = succeed_json("eval", "--run", model.trained.path, "text", cwd=tmp_path)
    score = model.score(TEXT)
    assert score.chars == expected["chars"]
    assert score.loss_nats == pytest.approx(expected["loss_nats"], rel=1e-6)


def test_a_text_is_normalised_as_the_models_own_was(tmp_path: Path) -> None:
    text = TextFormat(encoding="utf-8", normalize="nfc")
    model = charrnn.load(write_run(tmp_path / "run", characters=LETTERS + "\xe9", text=text))
    composed, in_parts = model.score("caf\xe9 caf\xe9"), model.score("cafe\u0301 cafe\u0301")
    assert in_parts == composed
    assert composed.unknown_chars == 0


def test_a_text_is_scored_in_windows(stream: charrnn.Model) -> None:
    starts = range(0, len(TEXT) - 1, 7)
    windows = [stream.score(TEXT[start : start + 8]) for start in starts]
    nats = sum(each.nats for each in windows)
    assert stream.score(TEXT, window=7).nats == pytest.approx(nats, rel=1e-6)


@pytest.mark.parametrize("kind", ["stream", "lines"])
def test_the_bits_of_all_characters_are_the_score(
    kind: str, request: pytest.FixtureRequest
) -> None:
    model: charrnn.Model = request.getfixturevalue(kind)
    text = f"{TEXT}\n"
    bits = model.surprisal(text)
    assert len(bits) == len(text)
    assert [at for at, each in enumerate(bits) if each is None] == ([0] if kind == "stream" else [])
    known = [each for each in bits if each is not None]
    assert np.mean(known) == pytest.approx(model.score(text).bits_per_char, rel=1e-6)


def test_a_model_that_has_learned_from_a_text_is_another_one(stream: charrnn.Model) -> None:
    text = "the sea " * 150
    before = stream.score(text).loss_nats
    adapted = stream.adapted(text, rate=0.02)
    assert adapted.score(text).loss_nats < 1 < before
    assert stream.score(text).loss_nats == before
    assert "".join(adapted.generate(length=16, temperature=0)) == "the sea the sea "
    with pytest.raises(UserError, match="none to predict"):
        stream.adapted("t")


def test_logits_and_states_are_the_networks(stream: charrnn.Model) -> None:
    ids = stream.vocabulary.encode(TEXT).astype(np.intp)[None]
    logits, state = stream.network.advance(ids, stream.network.initial_state(1))
    np.testing.assert_allclose(stream.logits(TEXT), logits[0], atol=1e-5)
    states = stream.states(TEXT)
    assert states.shape == (len(TEXT), 2, 2, 16)
    np.testing.assert_allclose(states[-1], state[:, :, 0], atol=1e-5)
    np.testing.assert_allclose(stream.states(TEXT[:9]), states[:9])


def test_a_line_is_read_from_its_beginning(lines: charrnn.Model) -> None:
    assert lines.logits("abc").shape == (4, len(lines.vocabulary))
    assert lines.states("").shape == (1, 1, 1, 16)
    np.testing.assert_allclose(lines.states("abc")[0], lines.states("")[0])


@pytest.mark.parametrize("between", ["\n\n", "%", ""])
def test_examples_are_divided_as_eval_divides_a_file(tmp_path: Path, between: str) -> None:
    model = charrnn.load(write_run(tmp_path / "run", lines=True, separator=between))
    examples = ["abc", "a b", "cab"] if between else ["abc%a b"]
    alone = [model.score(each) for each in examples]
    assert [each.chars for each in alone] == [len(each) + 1 for each in examples]
    together = model.score(between.join(examples) + "\n")
    assert together.nats == pytest.approx(sum(each.nats for each in alone), rel=1e-5)
    text = between.join([*examples, ""])
    bits = model.surprisal(text)
    assert len(bits) == len(text)
    known = [each for each in bits if each is not None]
    if between:
        assert sum(known) == pytest.approx(together.bits, rel=1e-5)


def test_the_numbers_of_a_view_are_those_of_the_command(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the sea is a sea of seas\n" * 20)
    run = write_run(tmp_path / "run")
    told = succeed_json("explain", "gates", text, "--run", run)
    model = charrnn.load(run)
    assert model.explain("gates", str(text)) == told
    with pytest.raises(UserError, match="no view"):
        model.explain("gate")


def test_nothing_has_nothing_to_predict(stream: charrnn.Model, lines: charrnn.Model) -> None:
    for model, text in [(stream, ""), (stream, "a"), (lines, ""), (lines, "\n\n")]:
        with pytest.raises(UserError, match="none to predict"):
            model.score(text)
    with pytest.raises(UserError, match="window"):
        stream.score(TEXT, window=0)
    with pytest.raises(UserError, match="window"):
        lines.score(TEXT, window=5)
    assert stream.surprisal("") == []
    assert stream.logits("").shape == (0, len(stream.vocabulary))


def test_an_unknown_character_counts_as_unknown(stream: charrnn.Model) -> None:
    score = stream.score("a~b")
    assert (score.chars, score.unknown_chars) == (2, 1)
    reference = score_stream(
        stream.network, stream.vocabulary.encode("a~b"), unknown_id=stream.vocabulary.unk_id
    )
    assert score.nats == reference.nats


def test_a_program_is_type_checked_from_outside_and_runs(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    write_run(tmp_path / "run")
    (tmp_path / "program.py").write_text(PROGRAM)
    root = str(Path(charrnn.__file__).parent.parent)
    environment = {"MYPYPATH": root, "PYTHONPATH": root, "PATH": ""}
    for module in (["mypy", "--strict", "--follow-imports=silent"], []):
        command = [sys.executable, *(["-m", *module] if module else []), "program.py"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_all_that_is_public_is_there() -> None:
    assert charrnn.__all__ == sorted(charrnn.__all__)
    for name in charrnn.__all__:
        assert getattr(charrnn, name)
    with pytest.raises(AttributeError):
        getattr(charrnn, "train")  # noqa: B009 - mypy would refuse it
