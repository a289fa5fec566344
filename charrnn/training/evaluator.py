"""The validation loss of a training: estimated from a part on the way, of the whole at the end.

A validation split that is long beside what is learned between two evaluations would take most of
the time. How much of it is read follows from the configuration and not from a clock, so that the
same training keeps the same weights.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from charrnn.config.schema import Config
from charrnn.evaluation.evaluate import ROWS_PER_THREAD, rows_for, score_sample, score_text
from charrnn.evaluation.scoring import Flags, Scored, advance_and_score
from charrnn.network import FloatArray, IdArray
from charrnn.text.corpus import Corpus
from charrnn.training.batches import chars_a_step
from charrnn.training.model import TorchModel, TorchNetwork
from charrnn.training.process_group import ProcessGroup
from charrnn.training.step import part_sizes, parts_of

LEARNING_COST = 2.5
"""Learning from a character takes about so many times as long as scoring one."""
FEWEST_CHARACTERS = 4096
"""An estimate from fewer characters says little."""
CORRECTIONS = 1.5
"""Stateful evaluation reads about so many times the text, to make its rows continue each other."""


class SharedNetwork:
    """A network that shares out the rows it scores, as a training shares out those of a batch.

    Rows are cut into as many pieces as a batch has parts (of all networks), so that threads and
    processes do not change a bit of what comes out.
    """

    def __init__(self, model: TorchModel, pieces: int, threads: int, group: ProcessGroup) -> None:
        self._network = TorchNetwork(model)
        self._pieces, self._group = pieces, group
        self._pool = ThreadPoolExecutor(threads)
        self.vocabulary_size = self._network.vocabulary_size
        self.initial_state = self._network.initial_state
        self.advance = self._network.advance

    def score(
        self,
        inputs_BT: IdArray,
        targets_BT: IdArray,
        counted_BT: Flags,
        state_SLBH: FloatArray,
    ) -> Scored:
        """Score some columns: each process the rows of its pieces, if there is one for each."""
        row_count, columns = inputs_BT.shape
        pieces = min(self._pieces, row_count // ROWS_PER_THREAD)
        if pieces <= 1:
            return advance_and_score(self._network, inputs_BT, targets_BT, counted_BT, state_SLBH)
        states_BSLH = np.moveaxis(state_SLBH, 2, 0)
        arrays = (inputs_BT, targets_BT, counted_BT, states_BSLH)
        shares = self._group.shares(pieces)
        sizes = part_sizes(row_count, pieces)
        ours = shares[self._group.rank]
        scored = self._pool.map(
            self._score_piece,
            *(np.array_split(each, pieces)[ours.start : ours.stop] for each in arrays),
        )
        width = columns + 1 + states_BSLH[0].size
        rows_BN = np.concatenate([np.empty((0, width), np.float32), *scored])
        counts = [sum(sizes[piece] for piece in share) for share in shares]
        rows_BN = self._group.gather(torch.from_numpy(rows_BN), counts).numpy()
        after_BSLH = rows_BN[:, columns + 1 :].reshape(states_BSLH.shape)
        return (
            rows_BN[:, :columns],
            rows_BN[:, columns].astype(np.int64),
            np.ascontiguousarray(np.moveaxis(after_BSLH, 0, 2)),
        )

    def _score_piece(
        self, inputs_BT: IdArray, targets_BT: IdArray, counted_BT: Flags, states_BSLH: FloatArray
    ) -> FloatArray:
        """Each row's nats, hits and state after it, side by side, to travel together."""
        nats_BT, correct_B, state_SLBH = advance_and_score(
            self._network, inputs_BT, targets_BT, counted_BT, np.moveaxis(states_BSLH, 0, 2)
        )
        after_BN = np.moveaxis(state_SLBH, 2, 0).reshape(len(inputs_BT), -1)
        return np.concatenate([nats_BT, correct_B[:, None], after_BN], axis=1, dtype=np.float32)


class Evaluator:
    """Scores the validation split as `charrnn eval` does, or a part of it.

    Args:
        config: of the training.
        corpus: whose validation split it is.
        group: the processes that share the work.
        heed_stop: called between two batches; may raise to end an evaluation.

    Attributes:
        chars: the characters of the whole split.
        sample: about how many of them an estimate is made from; None if it reads all.
        seconds_a_char: how long scoring a character took in the last evaluation; 0 before it.
    """

    def __init__(
        self, config: Config, corpus: Corpus, group: ProcessGroup, heed_stop: Callable[[int], None]
    ) -> None:
        self._split = corpus.valid
        self._vocabulary = corpus.vocabulary
        self._threads = config.train.threads or 1
        networks = config.model.ensemble_size
        self._pieces = networks * parts_of(config.train, group, networks=networks)
        self._group = group
        self._heed_stop = heed_stop
        self.chars = len(corpus.valid.ids)
        self.sample = sample_size(config, corpus)
        self.seconds_a_char = 0.0

    def estimate(self, model: TorchModel) -> float:
        """Nats per character, of a part if the split is long."""
        return self.whole(model) if self.sample is None else self._score(model, self.sample)

    def whole(self, model: TorchModel) -> float:
        """Nats per character of the whole split."""
        return self._score(model, None)

    def _score(self, model: TorchModel, sample: int | None) -> float:
        network = SharedNetwork(model, self._pieces, self._threads, self._group)
        text = (network, self._split.ids, self._split.starts, self._vocabulary)
        cut_at, rows, heed = self._split.cut_at, rows_for(self._pieces), self._heed_stop
        begin = time.perf_counter()
        if sample is None:
            score = score_text(*text, cut_at=cut_at, rows=rows, progress=heed)
        else:
            score = score_sample(*text, chars=sample, cut_at=cut_at, rows=rows, progress=heed)
        self.seconds_a_char = (time.perf_counter() - begin) / (sample or self.chars)
        return score.loss_nats

    def expected_seconds(self, seconds_a_char: float) -> tuple[float, float]:
        """How long an estimate takes, and what the end adds to it: reading the whole split."""
        each = self.seconds_a_char or seconds_a_char
        if self.sample is None:
            return each * self.chars, 0.0
        return each * self.sample, each * self.chars * CORRECTIONS


def sample_size(config: Config, corpus: Corpus) -> int | None:
    """About how many characters evaluations on the way read; None if it is the whole split."""
    train = config.train
    if train.eval_time_fraction == 1:
        return None
    learned = train.eval_every_steps * chars_a_step(train, corpus.train)
    share = round(LEARNING_COST * train.eval_time_fraction * learned)
    sample = max(FEWEST_CHARACTERS, share)
    return sample if sample < len(corpus.valid.ids) else None
