"""What a generation writes: what it may, until it must end, the same in whatever company."""

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charrnn
from charrnn.errors import RunFailedError, UserError
from charrnn.generation import scheduler
from charrnn.generation.batching import BATCH_ROWS, slot_of
from charrnn.generation.generate import Stream
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.options import GenerationOptions
from charrnn.generation.rng import UniformStream
from charrnn.generation.seeds import Prefix
from charrnn.generation.sequence import GeneratedText, Sequence
from charrnn.generation.stream_state import SavedStream, load_stream, save_stream
from charrnn.machine import processor_count
from charrnn.run.reader import read_model
from tests.damage import cut_off_everywhere, with_each_byte_damaged
from tests.models import LETTERS, write_run

KNOWN = frozenset(LETTERS)


@pytest.fixture(scope="module")
def stream_model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return charrnn.load(write_run(tmp_path_factory.mktemp("runs") / "stream"))


@pytest.fixture(scope="module")
def line_model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return charrnn.load(write_run(tmp_path_factory.mktemp("runs") / "lines", lines=True))


def written(model: LanguageModel, seed: str = "", rng_seed: int = 1, **changes: Any) -> str:
    return "".join(model.generate(seed, rng_seed=rng_seed, **changes))


def many(model: LanguageModel, seeds: list[str], **options: Any) -> list[GeneratedText]:
    return list(model.generate_many(seeds, rng_seed=options.pop("rng_seed", 1), **options))


# --- One text -----------------------------------------------------------------------------------


def test_the_same_random_seed_gives_the_same_text(stream_model: LanguageModel) -> None:
    assert written(stream_model, "the ") == written(stream_model, "the ")
    assert written(stream_model, "the ") != written(stream_model, "the ", rng_seed=2)


def test_without_a_random_seed_every_text_is_another(stream_model: LanguageModel) -> None:
    texts = {"".join(stream_model.generate("a", length=40)) for _ in range(3)}
    assert len(texts) == 3


def test_the_text_has_the_length_that_was_asked_for(stream_model: LanguageModel) -> None:
    assert [len(written(stream_model, length=n)) for n in (1, 2, 77)] == [1, 2, 77]


def test_a_longer_text_begins_with_the_shorter_one(stream_model: LanguageModel) -> None:
    assert written(stream_model, length=300).startswith(written(stream_model, length=100))


def test_an_endless_text_goes_on(stream_model: LanguageModel) -> None:
    endless = stream_model.generate(length=0, rng_seed=1)
    text = "".join(itertools.islice(endless, 2000))
    assert text == written(stream_model, length=2000)


def test_only_characters_of_the_vocabulary_are_written(stream_model: LanguageModel) -> None:
    assert set(written(stream_model, length=3000, temperature=5.0)) == KNOWN


def test_text_comes_character_by_character(stream_model: LanguageModel) -> None:
    assert all(len(piece) == 1 for piece in stream_model.generate(length=20))


def test_the_seed_matters_to_its_first_character(stream_model: LanguageModel) -> None:
    texts = {written(stream_model, first + "bcdefgh", temperature=1.0) for first in "abcdef"}
    assert len(texts) > 1


def test_temperature_zero_needs_no_random_seed(stream_model: LanguageModel) -> None:
    first, second = (written(stream_model, "a", rng_seed=n, temperature=0) for n in (1, 2))
    assert first == second


def test_a_line_ends_by_itself(line_model: LanguageModel) -> None:
    texts = many(line_model, ["ab"] * 50, length=200)
    assert {text.ended_by for text in texts} == {"line"}
    assert len({len(text.text) for text in texts}) > 5


def test_a_line_ends_at_the_length_at_the_latest(line_model: LanguageModel) -> None:
    assert {len(text.text) for text in many(line_model, ["ab"] * 50, length=3)} <= {0, 1, 2, 3}


def test_no_line_is_shorter_than_the_least_length(line_model: LanguageModel) -> None:
    texts = many(line_model, ["ab"] * 50, min_length=9)
    assert min(len(text.text) for text in texts) == 9


@pytest.mark.parametrize("keep", [False, True])
def test_a_stop_string_ends_the_text(stream_model: LanguageModel, keep: bool) -> None:
    whole = written(stream_model, length=500)
    stop = whole[100:103]
    end = whole.index(stop) + (3 if keep else 0)
    assert written(stream_model, length=500, stop=["zzzz", stop], keep_stop=keep) == whole[:end]


def test_allowed_and_banned_characters_are_respected(stream_model: LanguageModel) -> None:
    assert set(written(stream_model, allow="abcé", length=200)) == set("abc")
    assert set(written(stream_model, ban="abcé", length=2000)) == KNOWN - set("abc")
    assert set(written(stream_model, allow="abc", ban="b", length=200)) == set("ac")


PATTERNS = [
    r"[0-9a-f]{4,9}",
    r"(foo|bar|\n)+",
    r"[a-z]+( [a-z]+){2}\.",
    r"a*",
    r"",
    r"(?:[b-df-h][aeiou]){3,}",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("lines", [False, True])
def test_every_text_matches_the_pattern_in_full(
    pattern: str, lines: bool, stream_model: LanguageModel, line_model: LanguageModel
) -> None:
    pattern = pattern.replace(r"|\n", "") if lines else pattern
    model = line_model if lines else stream_model
    texts = many(model, ["a"] * 60, match=pattern, length=40)
    assert all(re.fullmatch(pattern, text.text) for text in texts)
    assert all(len(text.text) <= 40 for text in texts)


def test_a_match_may_go_on_for_as_long_as_the_model_follows_it(
    stream_model: LanguageModel,
) -> None:
    lengths = {len(text.text) for text in many(stream_model, ["a"] * 60, match="[a-m]*")}
    assert len(lengths) > 3


def test_masks_compose(stream_model: LanguageModel) -> None:
    texts = many(
        stream_model,
        ["a"] * 30,
        match="[a-z ]+\\.",
        ban="aeiou",
        min_length=6,
        length=12,
        top_k=3,
        temperature=1.5,
    )
    assert all(re.fullmatch("[b-df-hj-np-tv-z ]+\\.", text.text) for text in texts)
    assert all(6 <= len(text.text) <= 12 for text in texts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -1.0}, "`temperature`"),
        ({"temperature": float("nan")}, "`temperature`"),
        ({"length": -1}, "`length`"),
        ({"top_p": 0.0}, "`top_p`"),
        ({"stop": [""]}, "`stop`"),
        ({"unknown": "perhaps"}, "`unknown`"),
        ({"allow": "é"}, "no character"),
        ({"ban": LETTERS}, "no character"),
        ({"length": 5, "min_length": 6}, "`min_length`"),
        ({"match": "[0-9]"}, "`match`"),
        ({"match": "a{9}", "length": 5}, "`match`"),
        ({"match": "(a"}, "`match`"),
        ({"match": "a", "stop": ["b"]}, "`stop`"),
        ({"match": "[ab]+", "ban": "ab"}, "`match`"),
        ({"rng_seed": -1}, "`rng_seed`"),
        ({"lenght": 5}, "`lenght` is not an option"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, stream_model: LanguageModel
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        stream_model.generate(**changes)


def test_options_can_be_given_as_one_object_and_changed_by_name(
    stream_model: LanguageModel,
) -> None:
    options = stream_model.options(length=30, temperature=0.5)
    assert options == GenerationOptions(length=30, temperature=0.5)
    assert written(stream_model, "a", options=options) == written(
        stream_model, "a", length=30, temperature=0.5
    )
    shorter = written(stream_model, "a", options=options, length=20)
    assert shorter == written(stream_model, "a", options=options)[:20]
    assert {len(text.text) for text in many(stream_model, ["a", "b"], options=options)} == {30}


def test_a_network_that_computes_nonsense_is_reported(tmp_path: Path) -> None:
    model = charrnn.load(write_run(tmp_path / "run"))
    model.network.output_bias_V[:] = np.nan
    with pytest.raises(RunFailedError):
        written(model)
    with pytest.raises(RunFailedError):
        many(model, ["a"] * 10)


# --- Scores -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [["ab"], ["ab", "cd", "efg"] * 9])
def test_log_probabilities_are_those_of_the_model_whatever_was_done_to_them(
    seeds: list[str], stream_model: LanguageModel
) -> None:
    texts = many(
        stream_model, seeds, length=30, log_probabilities=True, temperature=0.3, top_k=4, ban="xyz"
    )
    for text in texts:
        ids = stream_model.vocabulary.encode(text.seed + text.text)[None]
        state = stream_model.network.initial_state(1)
        logits = stream_model.network.advance(ids[:, :-1], state)[0][0].astype(np.float64)
        scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected = scores[np.arange(len(scores)), ids[0, 1:]][len(text.seed) - 1 :]
        np.testing.assert_allclose(np.array(text.log_probabilities), expected, atol=1e-5)
        assert text.mean_log_probability == pytest.approx(expected.mean(), abs=1e-5)


def test_there_is_a_score_for_each_character_that_is_left(line_model: LanguageModel) -> None:
    for text in many(line_model, ["a"] * 40, stop=["e", "ab"], log_probabilities=True):
        assert text.log_probabilities is not None
        assert len(text.log_probabilities) == len(text.text)


# --- Many texts ---------------------------------------------------------------------------------

SEEDS = ["", "a", "hello ", "the quick", "x"] * 40
OPTIONS = {
    "plain": {},
    "masked": {"ban": "e", "top_p": 0.9},
    "stopped": {"stop": ["a", "th"]},
    "matched": {"match": "[a-z ]{3,}[.\n]"},
}


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """Wide enough for BLAS to add in another order when the number of rows is another."""
    return charrnn.load(write_run(tmp_path_factory.mktemp("runs") / "wide", hidden_size=192))


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS.keys())
def test_no_bit_of_a_text_depends_on_the_size_of_the_batch(
    changes: dict[str, Any], wide_model: LanguageModel
) -> None:
    def bits(batch_size: int | None) -> list[tuple[str, list[float] | None]]:
        texts = many(
            wide_model,
            SEEDS[:110],
            length=20,
            log_probabilities=True,
            batch_size=batch_size,
            **changes,
        )
        return [(text.text, text.log_probabilities) for text in texts]

    expected = bits(None)
    assert all(bits(batch_size) == expected for batch_size in (1, 7, 64, 1000))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_texts_do_not_depend_on_the_number_of_threads(
    threads: int, line_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [text.text for text in many(line_model, ["a", "be"] * 150)]
    monkeypatch.setattr(scheduler, "free_threads", lambda: threads)
    texts = many(line_model, ["a", "be"] * 150)
    assert [text.text for text in texts] == expected


def test_the_first_of_many_texts_is_the_single_one(wide_model: LanguageModel) -> None:
    first = many(wide_model, ["the "], samples=100, length=200)[0]
    assert first.text == written(wide_model, "the ", length=200)


def test_fewer_texts_are_the_first_of_more_to_the_last_bit(wide_model: LanguageModel) -> None:
    def bits(samples: int) -> list[list[float] | None]:
        texts = many(wide_model, ["a"], samples=samples, length=20, log_probabilities=True)
        return [text.log_probabilities for text in texts]

    more = bits(130)
    assert all(bits(fewer) == more[:fewer] for fewer in (1, 2, 5, 20, 100))


def test_texts_come_in_order_with_their_seeds_and_samples(line_model: LanguageModel) -> None:
    texts = many(line_model, SEEDS[1::2], samples=3, unknown="skip")
    assert [text.sample for text in texts] == list(range(3 * len(SEEDS[1::2])))
    assert [text.seed for text in texts] == [seed for seed in SEEDS[1::2] for _ in range(3)]


def test_the_samples_of_a_seed_differ(stream_model: LanguageModel) -> None:
    texts = {text.text for text in many(stream_model, ["a"], samples=100, length=40)}
    assert len(texts) == 100


def test_seeds_are_taken_as_they_are_needed(stream_model: LanguageModel) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "a"

    texts = stream_model.generate_many(endless(), length=2, rng_seed=1)
    assert [text.sample for text in itertools.islice(texts, 2000)] == list(range(2000))
    assert taken < 2000 + 2 * scheduler.WINDOW * processor_count()


def test_an_answer_does_not_wait_for_the_next_question(stream_model: LanguageModel) -> None:
    answers: list[str] = []

    def dialogue() -> Iterator[str]:
        for number in range(5):
            assert len(answers) == number
            yield "a"
            while len(answers) == number:
                time.sleep(0.001)

    answers.extend(
        text.text for text in stream_model.generate_many(dialogue(), length=3, rng_seed=1)
    )
    assert len(answers) == 5


def test_a_wrong_seed_is_reported_after_the_texts_before_it(stream_model: LanguageModel) -> None:
    texts = stream_model.generate_many([*"abcdefg", "h!", "i"], length=5)
    assert [text.seed for text in itertools.islice(texts, 7)] == list("abcdefg")
    with pytest.raises(UserError, match="seed 8: the model does not know the character '!'"):
        next(texts)


def test_no_seeds_give_no_texts(stream_model: LanguageModel) -> None:
    assert many(stream_model, []) == []


def test_a_sample_has_one_slot_and_slots_repeat_only_after_all_others() -> None:
    slots = [slot_of(sample) for sample in range(sum(BATCH_ROWS))]
    assert len(set(slots)) == len(slots)
    assert slot_of(sum(BATCH_ROWS)) == slot_of(sum(BATCH_ROWS) - BATCH_ROWS[-1])
    assert all(slot.row < slot.rows for slot in slots)


# --- Saved streams --------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=4), cell=st.sampled_from(["lstm", "gru"])
)
def test_a_saved_stream_goes_on_as_if_it_had_not_been(
    cuts: list[int], cell: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("state")
    run = write_run(folder / "run", cell=cell, layers=2)
    file = folder / "state"
    whole = written(charrnn.load(run), "the ", length=sum(cuts), rng_seed=9)
    text = ""
    for number, length in enumerate(cuts):
        model = charrnn.load(run)
        task = model.task(length=length)
        prefix, uniforms = task.prefix("the "), UniformStream(9, 0)
        if number:
            loaded = load_stream(file, model.trained.card)
            prefix, uniforms = loaded.prefix, UniformStream(loaded.rng_seed, 0, loaded.position)
        stream = Stream(task, Sequence(task, prefix, uniforms))
        text += "".join(stream.pieces())
        saved = SavedStream(prefix=stream.prefix(), rng_seed=9, position=uniforms.position)
        save_stream(file, saved, model.trained.card)
    assert text == whole
    assert file.stat().st_size < 4096


@pytest.fixture
def state(tmp_path: Path, stream_model: LanguageModel) -> Path:
    prefix = Prefix([5], stream_model.network.initial_state(1))
    saved = SavedStream(prefix=prefix, rng_seed=1, position=5)
    save_stream(tmp_path / "state", saved, stream_model.trained.card)
    return tmp_path / "state"


def test_the_state_of_another_model_is_refused(state: Path, tmp_path: Path) -> None:
    other = read_model(write_run(tmp_path / "other", hidden_size=17))
    with pytest.raises(UserError, match="another model"):
        load_stream(state, other.card)


def test_the_state_of_other_weights_is_refused(state: Path, tmp_path: Path) -> None:
    other = read_model(write_run(tmp_path / "other", weights_seed=5))
    with pytest.raises(UserError, match="another model"):
        load_stream(state, other.card)


def test_a_damaged_state_is_refused_at_every_length_and_byte(
    state: Path, stream_model: LanguageModel
) -> None:
    card = stream_model.trained.card
    content = state.read_bytes()
    loaded = load_stream(state, card)
    for damaged in (*cut_off_everywhere(content), *with_each_byte_damaged(content)):
        state.write_bytes(damaged)
        with pytest.raises(UserError, match="state"):
            load_stream(state, card)
    assert loaded.position == 5


def test_a_missing_state_is_refused(tmp_path: Path, stream_model: LanguageModel) -> None:
    with pytest.raises(UserError, match="nowhere"):
        load_stream(tmp_path / "nowhere", stream_model.trained.card)
