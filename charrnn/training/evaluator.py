"""The validation loss of a training: estimated from a part on the way, of the whole at the end.

A validation split that is long beside what is learned between two evaluations would take most of
the time. How much of it is read follows from the configuration and not from a clock, so that the
same training keeps the same weights.
"""

import time
from collections.abc import Callable

from charrnn.config.schema import Config
from charrnn.evaluation.evaluate import ThreadedNetwork, rows_for, score_sample, score_text
from charrnn.text.corpus import Corpus
from charrnn.training.batches import chars_a_step
from charrnn.training.model import CharRNN, TorchNetwork

LEARNING_COST = 2.5
"""Learning from a character takes about so many times as long as scoring one."""
FEWEST_CHARACTERS = 4096
"""An estimate from fewer characters says little."""
CORRECTIONS = 1.5
"""Stateful evaluation reads about so many times the text, to make its rows continue each other."""


class Evaluator:
    """Scores the validation split as `charrnn eval` does, or a part of it.

    Args:
        config: of the training.
        corpus: whose validation split it is.
        heed_stop: called between two batches; may raise to end an evaluation.

    Attributes:
        chars: the characters of the whole split.
        sample: about how many of them an estimate is made from; None if it reads all.
        seconds_a_char: how long scoring a character took in the last evaluation; 0 before it.
    """

    def __init__(self, config: Config, corpus: Corpus, heed_stop: Callable[[int], None]) -> None:
        self._split = corpus.valid
        self._vocabulary = corpus.vocabulary
        self._threads = config.train.threads or 1
        self._heed_stop = heed_stop
        self.chars = len(corpus.valid.ids)
        self.sample = sample_size(config, corpus)
        self.seconds_a_char = 0.0

    def estimate(self, model: CharRNN) -> float:
        """Nats per character, of a part if the split is long."""
        return self.whole(model) if self.sample is None else self._score(model, self.sample)

    def whole(self, model: CharRNN) -> float:
        """Nats per character of the whole split."""
        return self._score(model, None)

    def _score(self, model: CharRNN, sample: int | None) -> float:
        network = ThreadedNetwork(TorchNetwork(model), self._threads)
        text = (network, self._split.ids, self._split.starts, self._vocabulary)
        cut_at, rows, heed = self._split.cut_at, rows_for(self._threads), self._heed_stop
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
