"""Batches: a text as parallel streams, or examples padded to the longest; every target once.

Stream mode cuts the text into B contiguous streams and reads them side by side, T characters a
step. Row b of one batch continues row b of the batch before, so the hidden state can be carried
over; truncated backpropagation through time (Williams & Peng 1990) ends at the border. Each
epoch cuts the steps at other places: its first batch is shorter by a random offset.

Examples (lines among them) are shuffled anew each epoch, and each batch padded on the right.

The order of the data depends on nothing but the seed and the epoch, so that a position in it is
two numbers: the epoch, and the batch within it.

Shapes: B batch, T time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from charrnn.config.schema import TrainConfig
from charrnn.evaluation.scoring import Starts
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


class StreamDataset(Dataset[Batch]):
    """One epoch of a text as B parallel streams; item i is the i-th step of all of them."""

    def __init__(self, split: Split, batch_size: int, sequence_length: int, offset: int) -> None:
        self.ids = split.ids
        self.batch_size = batch_size
        self.targets = len(self.ids) - 1
        self.stream_length = math.ceil(self.targets / batch_size)
        self.sequence_length = sequence_length
        self.first = min(offset % sequence_length or sequence_length, self.stream_length)
        """Where the first step ends; all others but the last are `sequence_length` long."""

    def __len__(self) -> int:
        """Steps in the epoch."""
        return 1 + math.ceil((self.stream_length - self.first) / self.sequence_length)

    def __getitem__(self, index: int) -> Batch:
        """The characters between two borders of every stream, and those that follow them."""
        end = min(self.first + index * self.sequence_length, self.stream_length)
        begin = self.first + (index - 1) * self.sequence_length if index else 0
        places_BT = np.arange(self.batch_size)[:, None] * self.stream_length + np.arange(begin, end)
        exists_BT = places_BT < self.targets
        places_BT = np.where(exists_BT, places_BT, 0)
        following_BT = np.where(exists_BT, self.ids[places_BT + 1].astype(np.int64), IGNORE_INDEX)
        return Batch(
            torch.from_numpy(self.ids[places_BT].astype(np.int64)),
            torch.from_numpy(following_BT),
            int(exists_BT.sum()),
        )


class LineDataset(Dataset[Tensor]):
    """Lines or examples, each between `<bos>` and `<eos>`, which one that was cut lacks."""

    def __init__(
        self, ids: IdArray, starts: Starts, vocabulary: Vocabulary, cut_at: int | None = None
    ) -> None:
        self.ids = ids
        self.cut_at = cut_at
        self.starts = starts
        self.bos = np.array([vocabulary.bos_id])
        self.eos = np.array([vocabulary.eos_id])

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Tensor:
        """One example's ids, shape (1 + characters + 1,), or (1 + characters,) if it was cut."""
        begin, end = int(self.starts[index]), int(self.starts[index + 1])
        known_end = () if end - begin == self.cut_at else (self.eos,)
        return torch.from_numpy(np.concatenate((self.bos, self.ids[begin:end], *known_end)))


def pad_lines(lines: list[Tensor], pad_id: int) -> Batch:
    """Pad lines on the right to the longest; what is padded is never a target."""
    pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    return Batch(
        pad([line[:-1] for line in lines], padding_value=pad_id),
        pad([line[1:] for line in lines], padding_value=IGNORE_INDEX),
        sum(len(line) - 1 for line in lines),
    )


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
        """The batches of one epoch, from the given one on."""
        config = self.config
        order = torch.Generator().manual_seed(derived_seed(config.seed, epoch))
        if self.carries_state:
            offset = int(torch.randint(config.sequence_length, (), generator=order))
            streams = StreamDataset(self.split, config.batch_size, config.sequence_length, offset)
            steps = range(start, len(streams))
            return iter(DataLoader(streams, generator=order, sampler=steps, batch_size=None))
        assert self.split.starts is not None
        lines = LineDataset(self.split.ids, self.split.starts, self.vocabulary, self.split.cut_at)
        shuffled = torch.randperm(len(lines), generator=order).numpy()
        return iter(
            DataLoader(
                lines,
                generator=order,
                sampler=shuffled[start * config.batch_size :],
                batch_size=config.batch_size,
                collate_fn=partial(pad_lines, pad_id=self.vocabulary.pad_id),
            )
        )


def steps_an_epoch(config: TrainConfig, split: Split) -> float:
    """Steps in which everything is read once."""
    if split.starts is None:
        return len(split.ids) / (config.batch_size * config.sequence_length)
    return (len(split.starts) - 1) / config.batch_size


def chars_a_step(config: TrainConfig, split: Split) -> float:
    """Characters that a step learns from, in the mean."""
    return len(split.ids) / steps_an_epoch(config, split)
