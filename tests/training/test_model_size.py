"""What is chosen for a text and a time when the size of the network is left open."""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.config.schema import Config, ModelConfig, TrainConfig
from charrnn.text.corpus import Corpus
from charrnn.training import autotune, clock
from charrnn.training.clock import (
    ENDING_SECONDS,
    EVALUATIONS,
    Clock,
    fit_to_time,
)
from charrnn.training.model import CharRNN, TorchModel, ensemble_of
from charrnn.training.model_size import (
    LEAST_STEPS,
    MOST_EPOCHS,
    SIZES,
    choose_regularization,
    is_size_open,
)
from tests.corpora import lines_corpus, stream_corpus

DECIDED = frozenset({"train.threads", "train.precision", "train.kernel"})
NANOSECONDS_A_WEIGHT = 20


@pytest.fixture(autouse=True)
def machine_of_known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take as long as the arithmetic says, measuring none, whatever this machine is doing."""

    def time_steps(config: TrainConfig, model: TorchModel, *_: object) -> Iterator[float]:
        weights = sum(parameter.numel() for parameter in model.parameters())
        characters = config.batch_size * config.sequence_length
        return itertools.repeat(1e-9 * NANOSECONDS_A_WEIGHT * weights * characters / 1000)

    def new_model(config: Config, corpus: Corpus) -> TorchModel:
        count, vocabulary_size = config.model.ensemble_size, len(corpus.vocabulary)
        return ensemble_of([CharRNN(config.model, vocabulary_size) for _ in range(count)])

    stopped = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr(autotune, "OPERATIONS_A_SECOND", 1e15)  # so that everything is timed
    monkeypatch.setattr(autotune, "new_model", new_model)
    monkeypatch.setattr(autotune, "time_steps", time_steps)
    monkeypatch.setattr(autotune, "time", stopped)
    monkeypatch.setattr(clock, "time", stopped)
    monkeypatch.setattr(clock, "_check_long_enough", lambda *_, **__: None)


def choose(
    config: Config, corpus: Corpus, seconds: float, named: frozenset[str] = DECIDED
) -> Config:
    """What is chosen for so many seconds."""
    return fit_to_time(config, named, corpus, Clock(seconds + ENDING_SECONDS, begin=0.0))


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return stream_corpus(tmp_path_factory.mktemp("corpus"), characters=2000)


def of_length(corpus: Corpus, characters: int) -> Corpus:
    """The same text again and again, until its training part has so many characters."""
    other = copy.copy(corpus)
    ids = np.resize(corpus.train.ids, characters)
    vars(other)["train"] = replace(corpus.train, ids=ids)  # where the split is cached
    return other


def wanted(**model: object) -> Config:
    train = TrainConfig(threads=1, precision="float32", kernel="torch")
    return Config(model=ModelConfig(**model), train=train)  # type: ignore[arg-type]


def test_more_time_never_means_a_smaller_network(small_corpus: Corpus) -> None:
    corpus = of_length(small_corpus, 200_000)
    chosen = [choose(wanted(), corpus, s) for s in (0.1, 1, 10, 100, 1e4)]

    sizes = [config.model.hidden_size for config in chosen]
    assert sizes == sorted(sizes)
    assert sizes[0] == SIZES[0] < sizes[-1]


def test_a_small_text_has_a_small_network_and_is_not_read_for_ever(small_corpus: Corpus) -> None:
    small, large = of_length(small_corpus, 30_000), of_length(small_corpus, 300_000)
    for_small, for_large = (choose(wanted(), corpus, 1e4) for corpus in (small, large))

    assert for_small.model.hidden_size < for_large.model.hidden_size
    read = for_small.train.steps * for_small.train.batch_size * for_small.train.sequence_length
    assert for_small.train.optimizer == "adamw"
    assert read == pytest.approx(MOST_EPOCHS["adamw"] * len(small.train.ids), rel=0.05)


def test_a_text_too_long_to_be_read_often_has_the_network_of_the_time(small_corpus: Corpus) -> None:
    texts = [of_length(small_corpus, characters) for characters in (2_000_000, 4_000_000)]
    shorter, longer = (choose(wanted(), corpus, 20.0).model.hidden_size for corpus in texts)
    assert shorter == longer > SIZES[0]


def test_time_that_one_network_has_no_use_for_is_for_others_beside_it(small_corpus: Corpus) -> None:
    corpus = of_length(small_corpus, 200_000)
    chosen = [choose(wanted(), corpus, s).model for s in (0.5, 60.0, 1e3)]
    assert [each.ensemble_size for each in chosen] == [1, 2, 4]
    assert chosen[0].hidden_size < chosen[1].hidden_size <= chosen[2].hidden_size
    named = choose(wanted(), corpus, 1e3, DECIDED | {"model.ensemble_size"}).model
    assert named.ensemble_size == 1


def test_a_few_characters_are_learned_in_more_than_a_few_steps(small_corpus: Corpus) -> None:
    corpus = of_length(small_corpus, 40)
    assert choose(wanted(), corpus, 1e4).train.steps == LEAST_STEPS


def test_what_is_read_more_often_is_dropped_more(small_corpus: Corpus) -> None:
    corpus = of_length(small_corpus, 200_000)
    hasty, thorough = (choose(wanted(), corpus, s) for s in (0.5, 1e3))

    assert hasty.model.dropout < thorough.model.dropout
    assert hasty.model.weight_dropout < thorough.model.weight_dropout
    assert hasty.train.logit_scale == thorough.train.logit_scale < 1


def test_more_is_dropped_the_more_weights_there_are_for_each_character(
    small_corpus: Corpus,
) -> None:
    short, long = (of_length(small_corpus, characters) for characters in (20_000, 1_000_000))
    usual, of_short, of_large = (
        choose_regularization(wanted(hidden_size=units), frozenset(), text, epochs=20.0).model
        for units, text in ((256, long), (256, short), (512, long))
    )
    assert usual.dropout < of_short.dropout
    assert usual.weight_dropout < of_short.weight_dropout
    assert usual.weight_dropout < of_large.weight_dropout


def test_the_rate_stays_high_where_a_mean_is_kept_and_only_there(small_corpus: Corpus) -> None:
    corpus = of_length(small_corpus, 200_000)
    plain = TrainConfig()
    chosen = choose(wanted(), corpus, 1.0).train
    assert chosen.average_fraction > 0
    assert chosen.final_learning_rate_fraction > plain.final_learning_rate_fraction
    for name in ("train.average_fraction", "train.final_learning_rate_fraction"):
        named = choose(wanted(), corpus, 1.0, DECIDED | {name}).train
        assert named.average_fraction == plain.average_fraction
        assert named.final_learning_rate_fraction == plain.final_learning_rate_fraction


def test_what_is_not_read_very_often_is_learned_with_muon(small_corpus: Corpus) -> None:
    short, longer = (of_length(small_corpus, characters) for characters in (30_000, 200_000))
    hasty, thorough = (choose(wanted(), short, s).train for s in (0.05, 1e3))

    assert (hasty.optimizer, hasty.batch_size) == ("muon", 64)
    assert (thorough.optimizer, thorough.batch_size) == ("adamw", 32)
    assert hasty.learning_rate > thorough.learning_rate

    ended_early = choose(wanted(), longer, 1e3).train
    assert ended_early.optimizer == "muon"
    read = ended_early.steps * ended_early.batch_size * ended_early.sequence_length
    assert read == pytest.approx(MOST_EPOCHS["muon"] * len(longer.train.ids), rel=0.05)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_optimiser_that_is_named_stays(small_corpus: Corpus, optimizer: str) -> None:
    corpus = of_length(small_corpus, 200_000)
    train = replace(wanted().train, optimizer=optimizer)  # type: ignore[arg-type]
    chosen = choose(
        replace(wanted(), train=train), corpus, 1.0, DECIDED | {"train.optimizer"}
    ).train

    assert chosen.optimizer == optimizer
    assert chosen.batch_size == {"adamw": 32, "muon": 64}[optimizer]
    assert (chosen.learning_rate == TrainConfig().learning_rate) == (optimizer == "adamw")


@pytest.mark.parametrize(
    ("lines", "characters_each", "batch_size"),
    [(30_000, 7, 512), (15_000, 7, 256), (30_000, 20, 128), (30_000, 50, 64), (2_000, 7, 64)],
)
def test_short_lines_make_large_batches_where_there_are_many(
    tmp_path: Path, lines: int, characters_each: int, batch_size: int
) -> None:
    corpus = lines_corpus(tmp_path)
    starts = np.arange(lines + 1, dtype=np.uint64) * np.uint64(characters_each)
    ids = np.resize(corpus.train.ids, starts[-1])
    vars(corpus)["train"] = replace(corpus.train, ids=ids, starts=starts)

    with_a_long_one = np.append(starts, starts[-1] + np.uint64(10_000))
    of_seven = replace(wanted(), train=replace(wanted().train, batch_size=7))

    assert choose(wanted(), corpus, 1000.0).train.batch_size == batch_size
    named = DECIDED | {"train.batch_size"}
    assert choose(of_seven, corpus, 1000.0, named).train.batch_size == 7

    ids = np.resize(ids, with_a_long_one[-1])
    vars(corpus)["train"] = replace(corpus.train, ids=ids, starts=with_a_long_one)
    assert choose(wanted(), corpus, 1000.0).train.batch_size == 64


@pytest.mark.parametrize(("cell", "rate"), [("lstm", 0.0075), ("gru", 0.005), ("rnn", 0.005)])
def test_each_cell_has_its_learning_rate(small_corpus: Corpus, cell: str, rate: float) -> None:
    corpus = of_length(small_corpus, 200_000)
    assert choose(wanted(cell=cell), corpus, 1.0).train.learning_rate == rate


def test_what_is_named_stays(tmp_path: Path) -> None:
    corpus = lines_corpus(tmp_path)
    named = DECIDED | {"model.dropout", "model.layers", "model.cell"}
    config = wanted(dropout=0.05, layers=2, cell="gru")

    config = choose(config, corpus, 5.0, named)

    model = config.model
    assert (model.dropout, model.layers, model.cell) == (0.05, 2, "gru")
    assert model.hidden_size in SIZES


def test_there_are_a_few_evaluations_and_the_last_one_is_at_the_end(small_corpus: Corpus) -> None:
    corpus = of_length(small_corpus, 100_000)
    train = choose(wanted(), corpus, 3.0).train

    assert train.steps / train.eval_every_steps == pytest.approx(EVALUATIONS, rel=0.1)


def test_an_interval_of_evaluations_that_is_named_stays(small_corpus: Corpus) -> None:
    corpus = of_length(small_corpus, 1_000_000)
    config = replace(wanted(), train=replace(wanted().train, eval_every_steps=7))

    named = choose(config, corpus, 1.0, DECIDED | {"train.eval_every_steps"})

    assert named.train.eval_every_steps == 7


def test_tied_weights_have_the_size_of_the_embedding() -> None:
    tied = wanted(tie_weights=True, embedding_size=32, hidden_size=32)
    assert is_size_open(wanted(), frozenset())
    assert not is_size_open(tied, frozenset({"model.tie_weights", "model.embedding_size"}))
    assert not is_size_open(wanted(hidden_size=32), frozenset({"model.hidden_size"}))
