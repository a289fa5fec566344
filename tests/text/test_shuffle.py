"""The order of shuffled lines: of the seed alone, fair, and the same for ever."""

from collections import Counter

import numpy as np
import pytest

from charrnn.errors import UserError
from charrnn.text.shuffle import random_order


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
