"""Lines in a new order, more of them than fit in a block."""

import itertools
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.text import shuffle as shuffling
from charrnn.text.shuffle import LineStore, line_lengths, random_order


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=30), st.integers(0, 9), st.data())
def test_gathered_lines_are_those_asked_for_in_that_order(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    seed: int,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(b"".join(lines))
    lengths = np.array([len(line) for line in lines], np.uint32)
    wanted = random_order(len(lines), seed)[: data.draw(st.integers(0, len(lines)))]
    store = LineStore(path, np.dtype(np.uint8), lengths)
    block, window = data.draw(st.tuples(st.integers(1, 99), st.integers(1, 99)))
    small = patch.multiple(
        shuffling, BLOCK_BYTES=block, WINDOW_BYTES=window, MOST_LINES=7, LONG_LINE=5
    )
    with small:
        assert gathered(store, wanted) == [lines[number] for number in wanted]


def gathered(store: LineStore, wanted: shuffling.LineNumbers) -> list[bytes]:
    lines = []
    for ids, ends in store.gathered(wanted):
        starts = [0, *ends.tolist()]
        lines += [ids[a:b].tobytes() for a, b in itertools.pairwise(starts)]
    return lines


def test_wider_ids_are_gathered_too(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    np.arange(6, dtype=np.uint16).tofile(path)
    store = LineStore(path, np.dtype(np.uint16), np.array([1, 2, 3], np.uint32))
    ((ids, ends),) = store.gathered(np.array([2, 0], np.uint32))
    assert (ids.tolist(), ends.tolist()) == ([3, 4, 5, 0], [3, 4])


@pytest.mark.parametrize("lines", [1, 2, 1000])
def test_an_order_has_every_line_once(lines: int) -> None:
    assert sorted(random_order(lines, 1).tolist()) == list(range(lines))


def test_the_order_of_a_seed_never_changes() -> None:
    keys = np.random.PCG64(1).random_raw(8).tolist()
    assert random_order(8, 1).tolist() == sorted(range(8), key=lambda line: keys[line] >> 32)
    assert random_order(8, 1).tolist() == [2, 4, 7, 5, 0, 6, 3, 1]
    assert random_order(8, 2).tolist() != random_order(8, 1).tolist()


def test_every_order_of_three_lines_is_as_frequent_as_the_others() -> None:
    # 6 orders in 6,000 draws: each count has mean 1,000 and standard deviation 29.
    counts = Counter(tuple(random_order(3, seed).tolist()) for seed in range(6000))
    assert len(counts) == 6
    assert all(850 < count < 1150 for count in counts.values())


def test_more_lines_than_can_be_numbered_are_refused() -> None:
    with pytest.raises(UserError, match="4,294,967,296 lines are too many"):
        random_order(2**32, 1)
    with pytest.raises(UserError, match="a line of 4,294,967,296 characters is too long"):
        line_lengths(np.array([1, 2**32]))
