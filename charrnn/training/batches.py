"""Batches: a text as parallel streams, or lines padded to the longest; every target once.

Stream mode cuts the text into B contiguous streams and reads them side by side, T characters a
step. Row b of one batch continues row b of the batch before, so the hidden state can be carried
over; truncated backpropagation through time (Williams & Peng 1990) ends at the border. Each
epoch cuts the steps at other places: its first batch is shorter by a random offset.

Lines mode shuffles the lines anew each epoch and pads each batch on the right.

The order of the data depends on nothing but the seed and the epoch, so that a position in it is
two numbers: the epoch, and the batch within it.

Shapes: B batch, T time.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from charrnn.config.schema import TrainConfig
from charrnn.network import IdArray
from charrnn.text.corpus import Split
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.rng import derived_seed

IGNORE_INDEX = -100
"""The target id that the loss leaves out, as `torch.nn.functional.cross_entropy` has it."""


class Batch(NamedTuple):
    """What one step learns from."""

    ids_BT: Tensor
    targets_BT: Tensor
    """The next id at each place, or IGNORE_INDEX."""
    targets: int
    """How many places are not IGNORE_INDEX."""


@dataclass(frozen=True)
class Batches:
    """All the batches that a training sees, epoch after epoch."""

    split: Split
    vocabulary: Vocabulary
    config: TrainConfig

    @property
    def carries_state(self) -> bool:
        """Whether a batch continues the one before it: in stream mode."""
        return self.split.starts is None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, from the given one on."""
        size, length = self.config.batch_size, self.config.sequence_length
        order = torch.Generator().manual_seed(derived_seed(self.config.seed, epoch))
        if self.split.starts is None:
            offset = int(torch.randint(length, (), generator=order))
            yield from stream_batches(self.split.ids, size, length, offset, start)
        else:
            shuffled = torch.randperm(len(self.split.starts) - 1, generator=order).tolist()
            for begin in range(start * size, len(shuffled), size):
                yield line_batch(self.split, self.vocabulary, shuffled[begin : begin + size])


def stream_batches(
    ids: IdArray, batch_size: int, sequence_length: int, offset: int, start: int = 0
) -> Iterator[Batch]:
    """Read a text as B parallel streams, side by side, from the given batch on.

    The first batch has `offset` characters of each stream, unless that is 0; later ones have
    `sequence_length`.
    """
    targets = len(ids) - 1
    stream_length = math.ceil(targets / batch_size)
    begins_B1 = np.arange(batch_size)[:, None] * stream_length
    first = offset % sequence_length or sequence_length
    borders = [0, *range(first, stream_length, sequence_length), stream_length]
    for begin, end in pairwise(borders[start:]):
        places_BT = begins_B1 + np.arange(begin, end)
        exists_BT = places_BT < targets
        places_BT = np.where(exists_BT, places_BT, 0)
        following_BT = np.where(exists_BT, ids[places_BT + 1].astype(np.int64), IGNORE_INDEX)
        yield Batch(
            torch.from_numpy(ids[places_BT].astype(np.int64)),
            torch.from_numpy(following_BT),
            int(exists_BT.sum()),
        )


def line_batch(split: Split, vocabulary: Vocabulary, which: Sequence[int]) -> Batch:
    """Lines between `<bos>` and `<eos>`, padded on the right; padding is never a target."""
    assert split.starts is not None
    bos, eos = np.array([vocabulary.bos_id]), np.array([vocabulary.eos_id])
    spans = [split.ids[int(split.starts[i]) : int(split.starts[i + 1])] for i in which]
    lines = [torch.from_numpy(np.concatenate((bos, span, eos))) for span in spans]
    return Batch(
        pad_sequence([line[:-1] for line in lines], True, vocabulary.pad_id),
        pad_sequence([line[1:] for line in lines], True, IGNORE_INDEX),
        sum(len(line) - 1 for line in lines),
    )
