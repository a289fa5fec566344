"""What of a text is for training and what for validation, before anything of it is encoded.

A text is divided into pieces, each of which belongs to one split: its examples, or stretches of a
stream. A split is the numbers of its pieces, in the order that they are to have.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.text.corpus import TextOptions

Integers = npt.NDArray[np.int64]
Pieces = range | Integers

MOST_BLOCKS = 20
SMALLEST_BLOCK = 1000
"""Blocks of a stream that each give their end to validation, and the characters of the smallest."""


class Division(NamedTuple):
    """A text in pieces."""

    starts: Integers
    """Where each piece starts, and where the last one ends; zeros for examples, whose lengths are
    not known yet."""
    train: Pieces
    valid: Pieces
    sizes: tuple[int, int]
    """How much is for training and how much for validation: characters, or examples."""


def divide(
    units: Integers, options: TextOptions, *, valid_sources: int, longest_piece: int
) -> Division:
    """Divide a text between training and validation.

    Args:
        units: The characters of each source, or its examples.
        options: The share of validation, and where it is taken from.
        valid_sources: How many of the sources, at their end, are for validation; if there are
            any, nothing else is.
        longest_piece: The most characters of a piece of a stream.

    Raises:
        UserError: Files are to be held out, and there is only one.
    """
    total, held_out = int(units.sum()), int(units[len(units) - valid_sources :].sum())
    if options.mode == "lines":
        train = total - held_out if valid_sources else int(total * (1 - options.valid_fraction))
        return _divide_examples(total, train, options.shuffle_seed)
    if valid_sources:
        spans = [(total - held_out, total)]
    elif options.split == "files":
        spans = _some_files(units, options.valid_fraction)
    else:
        spans = _ends_of_blocks(total, options)
    return _divide_stream(total, np.array(spans), longest_piece)


def _divide_examples(total: int, train: int, shuffle_seed: int | None) -> Division:
    order = range(total) if shuffle_seed is None else shuffled_order(total, shuffle_seed)
    starts = np.zeros(total + 1, np.int64)
    return Division(starts, order[:train], order[train:], (train, total - train))


def _divide_stream(total: int, spans: Integers, longest_piece: int) -> Division:
    """Cut a stream at both ends of the spans (spans, 2) that are for validation."""
    starts = np.unique([0, total, *range(0, total, longest_piece), *spans.ravel()])
    begun = np.searchsorted(spans[:, 0], starts[:-1], side="right")
    ended = np.searchsorted(spans[:, 1], starts[:-1], side="right")
    is_valid = begun > ended
    valid = int(np.diff(starts)[is_valid].sum())
    return Division(
        starts, np.flatnonzero(~is_valid), np.flatnonzero(is_valid), (total - valid, valid)
    )


def _ends_of_blocks(total: int, options: TextOptions) -> list[tuple[int, int]]:
    blocks = 1 if options.split == "end" else min(MOST_BLOCKS, max(1, total // SMALLEST_BLOCK))
    edges = [total * block // blocks for block in range(blocks + 1)]
    if options.valid_chars is not None:
        return [(max(0, total - options.valid_chars), total)]
    share = 1 - options.valid_fraction
    return [(begin + int((end - begin) * share), end) for begin, end in pairwise(edges)]


def _some_files(sizes: Integers, share: float) -> list[tuple[int, int]]:
    """Take files here and there among all: each that brings their share nearer to its aim."""
    filled = [
        (int(end - size), int(end)) for size, end in zip(sizes, sizes.cumsum(), strict=True) if size
    ]
    if len(filled) == 1:
        raise UserError(
            "data.split=files takes whole files for validation, and there is only one",
            hint="data.split=blocks takes stretches from all over a text",
        )
    spans, held = [], 0
    for begin, end in filled:
        if share * end - held >= (end - begin) / 2:
            spans.append((begin, end))
            held += end - begin
    return spans or [min(filled, key=lambda file: file[1] - file[0])]


def shuffled_order(examples: int, seed: int) -> Integers:
    """Return the numbers of all examples in the order that the seed gives them.

    NumPy promises that PCG64's raw output never changes, which it does not for its own shuffles;
    so this order, and with it the split, is the same with every version.
    """
    keys = (np.random.PCG64(seed).random_raw(examples) >> np.uint64(32)).astype(np.uint32)
    return np.argsort(keys, kind="stable")
