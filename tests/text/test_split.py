"""What of a text is held out: its end, the ends of blocks, whole files, sources of their own."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import UserError
from charrnn.text.corpus import TextOptions
from charrnn.text.split import Division, divide

OPTIONS = TextOptions(
    mode="stream",
    valid_fraction=0.1,
    encoding="utf-8",
    errors="strict",
    normalize="none",
    min_count=1,
    shuffle_seed=None,
)
Split = Literal["end", "blocks", "files"]


def division(
    units: list[int],
    split: Split = "end",
    fraction: float = 0.1,
    valid_sources: int = 0,
    longest_piece: int = 1000,
) -> Division:
    options = replace(OPTIONS, split=split, valid_fraction=fraction)
    return divide(
        np.array(units), options, valid_sources=valid_sources, longest_piece=longest_piece
    )


def places(made: Division, split: Literal["train", "valid"]) -> list[int]:
    """Where the characters of a split stand in the text."""
    numbers = made.train if split == "train" else made.valid
    return [at for number in numbers for at in range(*made.starts[number : number + 2])]


@settings(max_examples=80)
@given(
    units=st.lists(st.integers(0, 3000), min_size=1, max_size=6).filter(any),
    split=st.sampled_from(["end", "blocks", "files"]),
    fraction=st.floats(0.01, 0.5),
    valid_sources=st.integers(0, 2),
    longest_piece=st.integers(1, 700),
)
def test_every_character_is_in_one_split_in_its_order_and_no_piece_is_too_long(
    units: list[int], split: Split, fraction: float, valid_sources: int, longest_piece: int
) -> None:
    files = sum(size > 0 for size in units)
    if split == "files" and files == 1 and not valid_sources:
        with pytest.raises(UserError, match="there is only one"):
            division(units, split, fraction)
        return
    valid_sources = min(valid_sources, len(units))
    made = division(units, split, fraction, valid_sources, longest_piece)
    train, valid = places(made, "train"), places(made, "valid")
    assert sorted(train + valid) == list(range(sum(units)))
    assert train == sorted(train)
    assert valid == sorted(valid)
    assert made.sizes == (len(train), len(valid))
    assert np.diff(made.starts).max() <= longest_piece
    if valid_sources:
        assert len(valid) == sum(units[-valid_sources:])
    elif split == "end":
        assert len(train) == int(sum(units) * (1 - fraction))


def test_each_of_twenty_blocks_gives_its_end() -> None:
    made = division([60_000, 40_000], "blocks")
    expected = [at for block in range(20) for at in range(block * 5000 + 4500, block * 5000 + 5000)]
    assert places(made, "valid") == expected


def test_a_short_text_is_divided_into_blocks_of_a_thousand_characters_or_more() -> None:
    assert places(division([2999], "blocks"), "valid") == [
        *range(1349, 1499),
        *range(2849, 2999),
    ]
    assert division([999], "blocks").valid.tolist() == division([999]).valid.tolist()  # type: ignore[union-attr]


def held_out_files(sizes: list[int], fraction: float) -> list[int]:
    """The numbers of the files that are for validation; a file is in one split as a whole."""
    made = division(sizes, "files", fraction)
    ends = np.cumsum(sizes)
    numbers = np.searchsorted(ends, places(made, "valid"), side="right").tolist()
    assert len(numbers) == sum(sizes[number] for number in set(numbers))
    return sorted(set(numbers))


def test_whole_files_are_held_out_here_and_there() -> None:
    assert held_out_files([100] * 30, 0.1) == [4, 14, 24]
    assert held_out_files([100] * 4, 0.25) == [1]
    assert held_out_files([900, 50, 50, 0, 900, 100], 0.1) == [1, 2, 5]


def test_one_file_at_least_is_held_out() -> None:
    assert held_out_files([500, 300, 400], 0.1) == [1]


def test_examples_are_divided_in_their_order() -> None:
    options = replace(OPTIONS, mode="lines", valid_fraction=0.2)
    made = divide(np.array([7, 3]), options, valid_sources=0, longest_piece=5)
    assert (list(made.train), list(made.valid)) == (list(range(8)), [8, 9])
    shuffled = divide(
        np.array([7, 3]), replace(options, shuffle_seed=1), valid_sources=0, longest_piece=5
    )
    assert sorted([*shuffled.train, *shuffled.valid]) == list(range(10))
    assert list(shuffled.valid) != [8, 9]
