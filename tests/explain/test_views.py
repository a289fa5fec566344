"""The numbers of each view are those of its definition, counted a second time from outside."""

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.errors import UserError
from charrnn.evaluation.evaluate import score_text
from charrnn.explain import baselines, units
from charrnn.explain.cells import TracedNetwork
from charrnn.explain.gradient import half_life
from charrnn.explain.picture import whole_characters
from charrnn.explain.reading import Reading
from charrnn.inference.network import NumpyNetwork
from charrnn.run.reader import TrainedModel
from charrnn.text.reading import Part
from tests.explain.runs import TEXT, lines_run, numbers, stream_run
from tests.models import random_weights


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["stream", "lines"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> TrainedModel:
    return (stream_run if request.param == "stream" else lines_run)(tmp_path, layers=2)


def evaluated(model: TrainedModel) -> float:
    """Bits per character of the validation split, as `charrnn eval` scores it."""
    text = Reading.of(model, None).text
    score = score_text(NumpyNetwork.of(model), text.ids, text.starts, model.vocabulary)
    return score.bits_per_char


def test_of_an_endless_text_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def endless(_name: str, model: TrainedModel, *_arguments: object) -> Iterator[Part]:
        nonlocal asked
        line, lines = "The end of It.", 10_000
        while True:
            asked += 1
            if model.vocabulary.has_lines:
                yield Part(0, line * lines, np.full(lines, len(line)))
            else:
                yield Part(0, f"{line}\n" * lines, None)

    monkeypatch.setattr("charrnn.explain.reading.parts_of_text", endless)
    for model in (stream_run(tmp_path), lines_run(tmp_path)):
        asked = 0
        reading = Reading.of(model, "endless")
        text = reading.text
        assert reading.source == f"the first {len(text.ids):,} characters of endless"
        assert len(text.characters) == len(text.ids)
        assert 999_900 < len(text.ids) <= 1_000_000
        assert asked <= 8


# --- surprisal -----------------------------------------------------------------------------------


def test_the_surprisal_of_all_characters_is_the_loss(model: TrainedModel) -> None:
    found = numbers("surprisal", model)
    bits = [each for each in found["bits"] if each is not None]
    assert len(found["characters"]) == len(found["bits"])
    assert found["bits"].count(None) == (model.card.mode == "stream")
    assert sum(bits) / len(bits) == pytest.approx(found["bits_per_char"])
    assert found["bits_per_char"] == pytest.approx(evaluated(model), rel=1e-6)
    assert TEXT.endswith("".join(found["characters"])[1:])


def test_bytes_are_joined_to_the_characters_that_they_spell() -> None:
    units = ["a", "\\xc3", "\\xa9", "\\xff", "\\xe2", "\\x82", "\n"]
    characters, begins = whole_characters(units)
    assert characters == ["a", "é", "\\xff", "\\xe2", "\\x82", "\n"]
    assert begins == [0, 1, 3, 4, 5, 6, 7]


def test_the_likeliest_characters_have_the_probabilities_that_the_bits_say(
    model: TrainedModel,
) -> None:
    found = numbers("surprisal", model, show=60)
    assert len(found["likeliest"]) == 60
    hits = 0
    for char, bits, likeliest in zip(
        found["characters"], found["bits"], found["likeliest"], strict=False
    ):
        if likeliest is not None:
            shares = [share for _, share in likeliest]
            assert shares == sorted(shares, reverse=True)
            assert len(shares) == 5
            if char in dict(likeliest):
                hits += 1
                assert dict(likeliest)[char] == pytest.approx(2**-bits, rel=1e-3)
    assert hits


# --- units ---------------------------------------------------------------------------------------


def test_features_are_what_a_reader_sees_in_the_text() -> None:
    text = 'Ab.\n  c "d" (e)'
    found = dict(zip(units.FEATURES, units.features_of(list(text)).T.tolist(), strict=True))
    assert found["position in line"] == [1, 2, 3, 0, *range(1, 12)]
    assert found["indentation"] == [0, 0, 0, 0, 1, *[2] * 10]
    assert found["capitals"] == [1, *[0] * 14]
    assert found["inside quotes"] == [*[0] * 8, 1, 1, 0, 0, 0, 0, 0]
    assert found["inside brackets"] == [*[0] * 12, 1, 1, 0]
    assert found["position in word"] == [1, 2, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0]
    assert found["position in sentence"] == [1, 2, 3, 0, *range(1, 12)]


def test_an_apostrophe_opens_no_quote_and_an_empty_line_closes_one() -> None:
    (quotes,) = [at for at, name in enumerate(units.FEATURES) if name == "inside quotes"]
    inside = units.features_of(list("don't 'x' \"y\n\nz"))[:, quotes].tolist()
    assert inside == [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0]


def test_a_unit_that_was_made_to_follow_capitals_is_found(tmp_path: Path) -> None:
    small: dict[str, Any] = {"cell": "rnn", "input": "onehot", "hidden_size": 4}
    model = stream_run(tmp_path, **small)
    weights = random_weights(model.card, scale=0.2)
    weights["rnn.weight_hh_l0"][2] = 0
    weights["rnn.weight_ih_l0"][2] = [
        3 if char.isupper() else -3 for char in model.vocabulary.characters
    ]
    folder = tmp_path / "made"
    folder.mkdir()
    found = numbers("units", stream_run(folder, **small, weights=weights))
    best = {each["feature"]: each for each in found["best"]}
    assert best["capitals"]["unit"] == 2
    assert best["capitals"]["correlation"] > 0.99


def test_correlations_are_numpys(model: TrainedModel) -> None:
    found = numbers("units", model, all_units=True)
    reading = Reading.of(model, None)
    features = units.features_of(reading.input_characters)
    rows = dict(zip(units.FEATURES, features.T, strict=True))
    hidden = np.zeros((len(features), 32))
    for places, states in units.hidden_states(reading):
        hidden[places] = states
    for each in found["best"]:
        expected = np.corrcoef(rows[each["feature"]], hidden[:, each["unit"]])[0, 1]
        assert each["correlation"] == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(found["activation"], hidden[:100, found["unit"]], atol=1e-6)
    assert len(found["activations"]) == 32


def test_hidden_states_are_those_of_reading_from_the_beginning(model: TrainedModel) -> None:
    reading = Reading.of(model, None)
    found = np.zeros((len(reading.targets_N), 32))
    for places, states in units.hidden_states(reading):
        found[places] = states
    network = TracedNetwork(model)
    for begin, end in zip(reading.documents[:-1], reading.documents[1:], strict=True):
        state = reading.network.initial_state(1)
        trace, _ = network.advance(reading.inputs_N[None, begin:end], state)
        expected = [np.concatenate([step["hidden"][0] for step in steps]) for steps in trace]
        np.testing.assert_allclose(found[begin:end], expected, atol=1e-4)


def test_a_unit_that_is_not_there_is_refused(model: TrainedModel) -> None:
    with pytest.raises(UserError, match="no unit 32"):
        numbers("units", model, unit=32)


# --- gates, gradient -----------------------------------------------------------------------------


def test_gates_are_counted_as_long_memories_where_they_were_made_to_stay_open(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    bias = np.zeros(64, np.float32)
    bias[16 + 4 : 32] = -20  # torch's gate rows are input, forget, candidate, output
    bias[16 : 16 + 4] = 20
    found = numbers("gates", stream_run(folder, weights={"rnn.bias_ih_l0": bias}))
    assert found["long_memories"] == 4
    assert found["gates"]["forget"]["open"] == [[1.0] * 4 + [0.0] * 12]
    assert found["gates"]["forget"]["closed"] == [[0.0] * 4 + [1.0] * 12]
    assert found["units"] == 16


def test_a_plain_rnn_has_no_gates(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no gates"):
        numbers("gates", stream_run(tmp_path, cell="rnn"))


@pytest.mark.parametrize("factor", [0.5, 0.9])
def test_a_linear_network_forgets_by_its_recurrent_factor(tmp_path: Path, factor: float) -> None:
    recurrent = factor * np.eye(16, dtype=np.float32)
    folder = tmp_path / "made"
    folder.mkdir()
    tiny = {"rnn.weight_ih_l0": np.full((16, 8), 1e-4, np.float32)}
    zero = {name: np.zeros(16, np.float32) for name in ("rnn.bias_ih_l0", "rnn.bias_hh_l0")}
    weights = {"rnn.weight_hh_l0": recurrent, **tiny, **zero}
    model = stream_run(folder, cell="rnn", weights=weights)
    (found,) = numbers("gradient", model)["runs"]
    assert found["cell"] == "rnn"
    assert found["norm"][10] / found["norm"][0] == pytest.approx(factor**10, rel=1e-3)
    assert found["half_life"] == pytest.approx(np.log(0.5) / np.log(factor), rel=1e-3)


def test_a_norm_that_does_not_fall_has_no_half_life() -> None:
    assert half_life(np.array([1.0, 2.0, 4.0])) is None
    assert half_life(np.array([1.0])) is None
    assert half_life(2.0 ** -np.arange(20)) == pytest.approx(1)


# --- context, calibration ------------------------------------------------------------------------


def test_short_contexts_cost_what_reading_them_from_zero_costs(tmp_path: Path) -> None:
    model = stream_run(tmp_path)
    found = numbers("context", model)
    losses = dict(zip(found["length"], found["loss_nats"], strict=True))
    reading = Reading.of(model, None)
    network, last = NumpyNetwork.of(model), len(reading.targets_N) - 32
    for length in (1, 2, 4):
        differences = []
        for begin in range(last + 1):
            inputs = reading.inputs_N[None, begin : begin + length]
            logits, _ = network.advance(inputs, network.initial_state(1))
            row, target = logits[0, -1].astype(float), reading.targets_N[begin + length - 1]
            nats = np.logaddexp.reduce(row) - row[target]
            differences.append(nats - reading.nats_N[begin + length - 1])
        assert losses[length] == pytest.approx(losses[None] + np.mean(differences), abs=1e-4)


def test_the_loss_with_all_of_the_text_is_evals(model: TrainedModel) -> None:
    found = numbers("context", model)
    assert found["length"][-1] is None
    assert found["loss_nats"][-1] / np.log(2) == pytest.approx(evaluated(model), rel=1e-6)
    assert [each["order"] for each in found["ngrams"]] == list(range(9))


def test_a_network_that_gives_all_characters_the_same_is_calibrated_as_that(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    size = stream_run(tmp_path).card.vocabulary_size
    weights = {
        "output.weight": np.zeros((size, 16), np.float32),
        "output.bias": np.zeros(size, np.float32),
    }
    model = stream_run(folder, weights=weights)
    found = numbers("calibration", model)
    (bin_,) = found["all"]
    places = len(Reading.of(model, None).targets_N)
    assert bin_["count"] == places * size
    assert bin_["probability"] == pytest.approx(1 / size)
    assert bin_["frequency"] == pytest.approx(1 / size)
    # The likeliest is then the first id, <pad>, which never comes.
    assert found["expected_calibration_error"] == pytest.approx(1 / size)


# --- baselines, embedding, step ------------------------------------------------------------------


def test_baselines_are_what_counting_and_compressing_give(model: TrainedModel) -> None:
    found = numbers("baselines", model)
    costs = {each["name"]: each["bits_per_char"] for each in found["models"]}
    reading = Reading.of(model, None)
    training, text = baselines.training_part(reading).content, reading.content
    assert training + text == TEXT
    grown = len(gzip.compress((training + text).encode(), 9, mtime=0)) - len(
        gzip.compress(training.encode(), 9, mtime=0)
    )
    specials = 2 if model.card.mode == "lines" else 1  # <pad>, and <bos>, never come
    assert costs["gzip"] == pytest.approx(8 * grown / found["chars"])
    assert costs["uniform"] == pytest.approx(np.log2(model.card.vocabulary_size - specials))
    assert costs["charrnn"] == pytest.approx(evaluated(model), rel=1e-6)
    assert costs["unigram"] > costs["n-gram order 2"] > costs["n-gram order 8"] > 0


def test_a_compressor_that_is_not_installed_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyppmd", None)
    found = numbers("baselines", stream_run(tmp_path))
    assert "PPMd" in found["missing"]
    assert "charrnn-cli[plots]" in " ".join(baselines.picture(found).sentences)


def test_characters_that_were_given_like_vectors_find_each_other(tmp_path: Path) -> None:
    model = stream_run(tmp_path)
    characters = model.vocabulary.characters
    vectors = np.random.default_rng(1).normal(0, 0.1, (len(characters), 8)).astype(np.float32)
    vectors[[characters.index(char) for char in "aeo"], 0] += 5
    folder = tmp_path / "made"
    folder.mkdir()
    found = numbers("embedding", stream_run(folder, weights={"embedding.weight": vectors}))
    read, at = found["maps"]["read"], found["characters"].index("a")
    assert set(read["neighbours"][at][:2]) == {"e", "o"}
    centred = vectors[2:] - vectors[2:].mean(axis=0)
    variance = np.var(centred, axis=0).sum()
    assert np.var([read["x"], read["y"]], axis=1).sum() / variance == pytest.approx(
        read["explained_variance"], rel=1e-4
    )
    assert read["explained_variance"] > 0.5


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_numbers_of_a_step_fulfil_the_equations(tmp_path: Path, cell: str) -> None:
    model = stream_run(tmp_path, cell=cell, layers=2)
    found = numbers("step", model, text="The en")
    network = NumpyNetwork.of(model)
    ids = model.vocabulary.encode("The en")[None]
    logits, state = network.advance(ids, network.initial_state(1))
    assert {unit["layer"] for unit in found["units"]} == {0, 1}
    for unit in found["units"]:
        hidden = unit["hidden"]
        assert hidden == pytest.approx(state[0, unit["layer"], 0, unit["unit"]], abs=1e-5)
        if cell == "lstm":
            cell_after = unit["forget"] * unit["cell before"] + unit["input"] * unit["candidate"]
            assert hidden == pytest.approx(unit["output"] * np.tanh(cell_after), abs=1e-5)
        if cell == "gru":
            update, before = unit["update"], unit["hidden before"]
            mixed = (1 - update) * unit["candidate"] + update * before
            assert hidden == pytest.approx(mixed, abs=1e-5)
    best = int(logits[0, -1].argmax())
    assert found["likeliest"][0][0] == model.vocabulary.characters[best]


def test_a_step_needs_characters_that_the_run_knows(tmp_path: Path) -> None:
    model = stream_run(tmp_path)
    for text, said in (("", "no text"), ("ж", "does not know")):
        with pytest.raises(UserError, match=said):
            numbers("step", model, text=text)
