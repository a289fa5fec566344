"""Every target once, rows that continue each other, padding that is never a target."""

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.config.schema import TrainConfig
from charrnn.text.corpus import Split
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.batches import (
    IGNORE_INDEX,
    Batch,
    Batches,
    LineDataset,
    StreamDataset,
    pad_lines,
)
from tests.corpora import lines_corpus, stream_corpus


def distinct_ids(count: int) -> Split:
    """A text in which every character differs, so that each tells its own place."""
    return Split(np.arange(count, dtype=np.uint16), None)


def all_batches(dataset: StreamDataset) -> list[Batch]:
    return [dataset[index] for index in range(len(dataset))]


@given(
    characters=st.integers(2, 400),
    batch_size=st.integers(1, 40),
    length=st.integers(1, 30),
    offset=st.integers(0, 29),
)
def test_a_stream_epoch_has_every_target_exactly_once(
    characters: int, batch_size: int, length: int, offset: int
) -> None:
    dataset = StreamDataset(distinct_ids(characters), batch_size, length, offset % length)
    targets: list[int] = []
    for batch in all_batches(dataset):
        real = batch.targets_BT != IGNORE_INDEX
        assert batch.targets == int(real.sum())
        assert batch.ids_BT.shape == batch.targets_BT.shape
        assert batch.ids_BT.shape[0] == batch_size
        assert batch.ids_BT.shape[1] <= length
        assert torch.equal(batch.ids_BT[real] + 1, batch.targets_BT[real])
        targets += batch.targets_BT[real].tolist()
    assert sorted(targets) == list(range(1, characters))


def test_the_steps_of_a_long_text_take_no_memory() -> None:
    text = Split(np.broadcast_to(np.uint8(7), 10**9), None)
    tracemalloc.start()
    dataset = StreamDataset(text, 1, 1, 0)
    assert len(dataset) == 10**9 - 1
    assert dataset[len(dataset) - 1].targets == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


@given(characters=st.integers(50, 400), batch_size=st.integers(1, 8), offset=st.integers(0, 6))
def test_a_row_continues_where_the_batch_before_left_it(
    characters: int, batch_size: int, offset: int
) -> None:
    batches = all_batches(StreamDataset(distinct_ids(characters), batch_size, 7, offset))
    for before, after in itertools.pairwise(batches):
        real = after.targets_BT[:, 0] != IGNORE_INDEX
        assert torch.equal(before.targets_BT[real, -1], after.ids_BT[real, 0])


@given(characters=st.integers(50, 400), batch_size=st.integers(2, 8))
def test_a_row_ends_where_the_next_row_begins(characters: int, batch_size: int) -> None:
    batches = all_batches(StreamDataset(distinct_ids(characters), batch_size, 7, 0))
    begins = batches[0].ids_BT[1:, 0]
    ends = batches[-1].targets_BT[:-1, -1]
    real = (ends != IGNORE_INDEX) & (batches[0].targets_BT[1:, 0] != IGNORE_INDEX)
    assert torch.equal(begins[real], ends[real])


def test_epochs_cut_the_text_at_different_places_and_the_seed_fixes_which(tmp_path: Path) -> None:
    corpus = stream_corpus(tmp_path)
    batches = Batches(corpus.train, corpus.vocabulary, TrainConfig(batch_size=4, seed=5))
    again = Batches(corpus.train, corpus.vocabulary, TrainConfig(batch_size=4, seed=5))

    first_lengths = [next(batches.epoch(epoch)).ids_BT.shape[1] for epoch in range(8)]

    assert len(set(first_lengths)) > 1
    for ours, theirs in zip(batches.epoch(3), again.epoch(3), strict=True):
        assert torch.equal(ours.ids_BT, theirs.ids_BT)


def test_an_epoch_can_be_entered_at_any_batch(tmp_path: Path) -> None:
    for corpus in (stream_corpus(tmp_path / "stream"), lines_corpus(tmp_path / "lines")):
        batches = Batches(
            corpus.train, corpus.vocabulary, TrainConfig(batch_size=8, sequence_length=16)
        )
        whole = list(batches.epoch(2))
        for start in (0, 1, len(whole) - 1, len(whole)):
            rest = list(batches.epoch(2, start=start))
            assert len(rest) == len(whole) - start
            for ours, theirs in zip(rest, whole[start:], strict=True):
                assert torch.equal(ours.ids_BT, theirs.ids_BT)
                assert torch.equal(ours.targets_BT, theirs.targets_BT)


@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=20))
@settings(max_examples=50)
def test_padded_lines_have_their_characters_and_their_end_as_targets(lines: list[str]) -> None:
    vocabulary = Vocabulary.from_characters("abc", lines=True)
    ids = np.concatenate([vocabulary.encode(line) for line in lines])
    starts = np.cumsum([0, *map(len, lines)]).astype(np.uint64)
    dataset = LineDataset(ids, starts, vocabulary)

    batch = pad_lines([dataset[index] for index in range(len(dataset))], vocabulary.pad_id)

    assert batch.targets == sum(len(line) + 1 for line in lines)
    for row, line in enumerate(lines):
        real = batch.targets_BT[row] != IGNORE_INDEX
        assert vocabulary.decode(batch.targets_BT[row][real].numpy()[:-1]) == line
        assert batch.targets_BT[row][real][-1] == vocabulary.eos_id
        assert batch.ids_BT[row][0] == vocabulary.bos_id
        assert bool((batch.ids_BT[row][len(line) + 1 :] == vocabulary.pad_id).all())


def test_an_example_that_was_cut_has_no_end_to_be_learned() -> None:
    vocabulary = Vocabulary.from_characters("abc", lines=True)
    ids, starts = vocabulary.encode("abcab"), np.array([0, 3, 5], np.uint64)
    dataset = LineDataset(ids, starts, vocabulary, cut_at=3)

    batch = pad_lines([dataset[0], dataset[1]], vocabulary.pad_id)

    a, b, c = vocabulary.encode("abc").tolist()
    assert batch.ids_BT.tolist() == [[vocabulary.bos_id, a, b], [vocabulary.bos_id, a, b]]
    assert batch.targets_BT.tolist() == [[a, b, c], [a, b, vocabulary.eos_id]]
    assert batch.targets == 6


def test_every_line_comes_once_an_epoch_in_an_order_of_its_own(tmp_path: Path) -> None:
    corpus = lines_corpus(tmp_path)
    batches = Batches(corpus.train, corpus.vocabulary, TrainConfig(batch_size=16))

    def lines_of(epoch: int) -> list[str]:
        return [
            corpus.vocabulary.decode(row[row != IGNORE_INDEX].numpy())
            for batch in batches.epoch(epoch)
            for row in batch.targets_BT
        ]

    first, second = lines_of(0), lines_of(1)
    assert first != second
    assert sorted(first) == sorted(second)
    assert corpus.train.starts is not None
    assert len(first) == len(corpus.train.starts) - 1
