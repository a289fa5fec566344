"""A training that is to end in time: how many steps it has, planned at first and then kept to.

How long a step takes is not known before it is taken: other programs begin and end. So the number
of steps is planned anew from time to time, and with it the learning rate, which ends with the last
one. Each new plan is saved with all that the next step depends on, so that a resumed training,
which looks at no clock, takes the steps of the last plan.
"""

import math
import time

from charrnn.config.schema import Config
from charrnn.errors import UserError
from charrnn.text.corpus import Corpus
from charrnn.training.autotune import (
    TIMING_SHARE,
    Autotuner,
    operations_a_second,
    operations_a_step,
    with_train,
)
from charrnn.training.batches import chars_a_step, steps_an_epoch
from charrnn.training.evaluator import LEARNING_COST
from charrnn.training.model_size import (
    LEAST_STEPS,
    MOST_EPOCHS,
    SIZES,
    choose_regularization,
    choose_size,
    is_size_open,
    with_defaults,
    with_optimizer,
)
from charrnn.training.process_group import ProcessGroup

FEWEST_STEPS = 8
"""What a time must be expected to be enough for, with the smallest network that may be chosen."""
MARGIN = 1.25
"""How much longer than expected the least time is that is named."""
ENDING_SECONDS = 0.4
"""What starting Python and leaving it take, beside what is measured, on a machine of its own."""
LAST_TIMING_SHARE = 0.2
"""Of the time for timing: what is left for the chosen network, since the number of steps and the
dropout follow from how long its steps take."""
LAST_SHARE = 0.2
"""Of the time, for reading the whole validation split at the end; or it is left out."""
EVALUATIONS = 8
MOST_STEPS = 1_000_000_000
"""What `train.steps` may be at most, so that the run's own configuration can be read again."""
LOOK_SHARE = 0.04
"""Of the time, between two looks at the clock."""
LOOK_STEPS_SHARE = 0.125
"""Of the steps that are left: a look comes after so many, too."""
FIRST_LOOK_STEPS = 20
TOLERANCE = 0.025
"""Of the time: a plan that would end so much too early or too late stays as it is."""
RECENT_SHARE = 0.6
"""How much the steps since the last look count, beside those before."""


class Clock:
    """The time that a command has, and how many steps of training fit in what is left of it.

    Args:
        seconds: how long the whole command is to take.
        begin: when it began, by `time.monotonic`.
        slowdown: how many times longer than on a machine of its own it takes.

    Attributes:
        step_seconds: how long a step takes.
        seconds_a_char: how long scoring a character takes, until it was seen.
        most_steps: how many steps there are at most, however much time is left.
    """

    def __init__(self, seconds: float, begin: float, slowdown: float = 1.0) -> None:
        self.seconds = seconds
        self._end = begin + seconds - ENDING_SECONDS * slowdown
        self.step_seconds = self.seconds_a_char = 0.0
        self.most_steps = MOST_STEPS
        self._next_look, self._next_step = 0.0, 0.0
        self._steps, self._stepping_seconds = 0, 0.0

    @property
    def left(self) -> float:
        """Seconds until the training has to be over."""
        return self._end - time.monotonic()

    def has_time(self, seconds: float) -> bool:
        """Whether so many seconds are left, or nearly."""
        return self.left + TOLERANCE * self.seconds >= seconds

    def start(self, step_seconds: float, seconds_a_char: float) -> None:
        """Begin with what was measured beforehand; the first look comes soon."""
        self.step_seconds, self.seconds_a_char = step_seconds, seconds_a_char
        self._next_look = time.monotonic() + LOOK_SHARE * self.seconds
        self._next_step = FIRST_LOOK_STEPS

    def count_step(self, seconds: float) -> None:
        """Take note of how long a step took."""
        self._steps += 1
        self._stepping_seconds += seconds

    def plan(self, planned: int, *, done: int, evaluation: float, ending: float) -> int:
        """How many steps there are to be, those that are done included.

        Args:
            planned: how many it was so far.
            done: how many are done.
            evaluation: seconds of evaluations for each step.
            ending: seconds that what comes after the last step takes.
        """
        left = self.left - ending
        if left < self.step_seconds / 2:
            return max(done, 1)
        if time.monotonic() < self._next_look and done < self._next_step:
            return planned
        self._look()
        self._next_step = done + LOOK_STEPS_SHARE * (planned - done)
        steps = min(done + int(left / (self.step_seconds + evaluation)), self.most_steps)
        too_early_or_late = abs(steps - planned) * self.step_seconds
        return planned if too_early_or_late < TOLERANCE * self.seconds else max(steps, 1)

    def _look(self) -> None:
        self._next_look = time.monotonic() + LOOK_SHARE * self.seconds
        if self._steps:
            recent = self._stepping_seconds / self._steps
            self.step_seconds += RECENT_SHARE * (recent - self.step_seconds)
            self._steps, self._stepping_seconds = 0, 0.0


def fit_to_time(
    config: Config,
    named: frozenset[str],
    corpus: Corpus,
    clock: Clock,
    group: ProcessGroup | None = None,
) -> Config:
    """Decide what the configuration leaves open, and how many steps, for what is left of a time.

    Args:
        config: what is wanted.
        named: dotted names of the settings that were given; they stay as they are.
        corpus: what is to be learned.
        clock: the time; it is started.
        group: the processes that are to train.

    Raises:
        UserError: What is asked for does not work here, or the time is too short.
    """
    is_open = is_size_open(config, named)
    _check_long_enough(config, named, corpus, clock, is_open=is_open)
    timing = TIMING_SHARE * clock.seconds
    tuner = Autotuner(corpus, (1 - LAST_TIMING_SHARE) * timing, group)
    if is_open:
        config = choose_size(config, named, tuner, clock.left - timing)
    else:
        config = tuner.choose_arithmetic(config)
    tuner.extend(LAST_TIMING_SHARE * timing)
    step_seconds = tuner.step_seconds(config)
    learned = chars_a_step(config.train, corpus.train)
    clock.start(step_seconds, step_seconds / (learned * LEARNING_COST))
    epoch = steps_an_epoch(config.train, corpus.train)
    if is_open:
        clock.most_steps = max(LEAST_STEPS, round(MOST_EPOCHS[config.train.optimizer] * epoch))
    fitting = int(clock.left / (step_seconds * (1 + config.train.eval_time_fraction)))
    steps = min(max(fitting, 1), clock.most_steps)
    config = with_defaults(config, named, "train", eval_every_steps=-(-steps // EVALUATIONS))
    return (
        choose_regularization(with_train(config, steps=steps), named, corpus, steps / epoch)
        if is_open
        else with_train(config, steps=steps)
    )


def _check_long_enough(
    config: Config, named: frozenset[str], corpus: Corpus, clock: Clock, *, is_open: bool
) -> None:
    """Refuse a time in which hardly a step can be taken, before anything is measured.

    Raises:
        UserError: It is too short; with the least that works.
    """
    if is_open:
        config = with_defaults(config, named, "model", hidden_size=SIZES[0])
        config = with_optimizer(config, named, "muon", corpus)
    needed = FEWEST_STEPS * operations_a_step(config, corpus) / operations_a_second(config)
    if needed > clock.left:
        gone = clock.seconds - clock.left
        least = math.ceil(100 * MARGIN * (gone + needed) / 60) / 100
        raise UserError(
            f"--minutes {clock.seconds / 60:g} is too short: loading torch and "
            f"preparing the text took {gone:.1f} s, and a few steps take some {needed:.2g} s",
            hint=f"the least that works here is --minutes {least:g}",
        )
