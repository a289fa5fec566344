"""What a configuration leaves open, decided by timing this machine for a moment, or by rule.

How many parts of a batch to compute side by side, by which kernel and in which arithmetic: all
are tried on copies of the very network, and what is chosen is written to the run's `config.yaml`.
The same resolved configuration then gives the same training.

Timing has a budget. Nothing is timed that is not expected to fit in what is left of it; what is
not timed is decided by rule: all processors, torch's layers, float32.
"""

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from charrnn.config.memory import parameter_count
from charrnn.config.schema import Config, TrainConfig
from charrnn.errors import UserError
from charrnn.processors import processor_count
from charrnn.text.corpus import Corpus
from charrnn.training import kernels
from charrnn.training.batches import Batch, Batches, chars_a_step
from charrnn.training.model import TorchModel, choose_device, new_model, torch_threads
from charrnn.training.process_group import ProcessGroup
from charrnn.training.step import TrainingStep, parts_of

WORTHWHILE_GAIN = 1.1
"""How many times faster fewer threads, bfloat16 with its rounding, or kernels that have to be made
must be to be chosen."""
TURNS, TURNS_OF_ONE = 5, 3
"""How many steps are timed of each of several choices, and of a single one."""
HOPELESS = 1.5
"""A kernel or precision that takes so many times as long as another is not timed to the end."""
STEPS_TO_RECORD = 2
"""On a GPU: one is taken, the next recorded."""
LOOKS = 3
"""How often in a row fewer threads must be found faster to be chosen."""
TIMING_SHARE = 0.08
"""Of the time of a training, for timing at most."""
LEAST_SECONDS = 1.5
"""For timing, however short a training is whose steps are given."""
COMPILE_SECONDS = 2.0
"""What must be left to try kernels that have to be compiled, which takes a second."""
OPERATIONS_PER_WEIGHT = 6
"""Of a weight, for each character: a multiplication and an addition, forward, and twice back."""
OPERATIONS_PER_LOGIT = 100
"""What the softmax over the vocabulary and its gradient amount to, as they wait for the memory."""
OPERATIONS_A_SECOND, GPU_OPERATIONS_A_SECOND = 4e10, 1e12
"""Of a modest processor and, by guess, of a modest GPU; what is timed replaces it."""


class Autotuner:
    """Times steps of training on one text, and chooses by them.

    Of several processes one does the timing, with its share of each batch.

    Args:
        corpus: what is to be learned.
        seconds: how long to time at most; 0 decides everything by rule.
        group: the processes that are to train.
    """

    def __init__(self, corpus: Corpus, seconds: float, group: ProcessGroup | None = None) -> None:
        group = group or ProcessGroup()
        self.corpus = corpus
        self._alone = ProcessGroup(0, group.size, 0, group.local_size)
        self._end = time.monotonic() + seconds
        self._operations_a_second: float | None = None

    def choose_arithmetic(self, config: Config) -> Config:
        """Choose the fastest threads, kernel and precision of those that the configuration allows.

        The simplest that is about as fast as the fastest is chosen.

        Raises:
            UserError: What is asked for does not work here.
        """
        model = new_model(config, self.corpus)
        wanted, most = config.train, self._most_threads(config, model)
        config = self.with_parts(with_train(config, threads=wanted.threads or most))
        choices = [
            with_train(config, kernel=kernel, precision=precision)
            for kernel in self._kernels_to_try(config.train, model)
            for precision in self._precisions_to_try(config.train, model)
        ]
        begin = time.monotonic()
        working = [each for each in choices if self._works(each, model)]
        self._end += time.monotonic() - begin  # in which a GPU's libraries are loaded
        if not working:
            raise UserError(
                f"train.precision is {config.train.precision}, which does not work here with "
                "this network",
                hint="precision: auto takes what works",
            )
        if self._operations_a_second is None:  # so that it is known what there is the time for
            self._time_in_turns(working[:1], model, turns=1)
        fastest = self._fastest(working, model, median, hopeless=HOPELESS)
        if wanted.threads is None:
            fastest = self._with_threads(with_train(fastest, parts=wanted.parts), model, most)
        return self.with_parts(fastest)

    def with_parts(self, config: Config) -> Config:
        """The configuration with the number of parts that goes with its threads and networks.

        Raises:
            UserError: The processes cannot share the number that is given.
        """
        parts = parts_of(config.train, self._alone, networks=config.model.ensemble_size)
        return with_train(config, parts=parts)

    def _most_threads(self, config: Config, model: TorchModel) -> int:
        """All cores, unless a process has fewer parts of a batch to compute.

        Of several processes, whose parts are added up in pairs, a power of two.
        """
        alone, train = self._alone, config.train
        if model.device.type == "cuda":
            return 1
        of_one = -(-(train.parts or train.batch_size) // alone.size) * config.model.ensemble_size
        most = max(1, min(processor_count() // alone.local_size, of_one))
        return most if alone.size == 1 else 1 << int(math.log2(most))

    def _with_threads(self, config: Config, model: TorchModel, most: int) -> Config:
        """All of them, or half of them, a quarter, ... where that is clearly faster.

        Another program that is busy now may end in a moment; when in doubt it is all of them.
        """
        choices = [
            with_train(config, threads=most >> halvings) for halvings in range(most.bit_length())
        ]
        for _ in range(LOOKS):
            chosen = self._fastest(choices, model, min)
            if chosen == choices[0]:
                break
        return chosen

    def _kernels_to_try(self, train: TrainConfig, model: TorchModel) -> tuple[str, ...]:
        """The kernels that may be used, ours only where there is the time to make and try them.

        Raises:
            UserError: Ours are asked for, and cannot be had.
        """
        if model.device.type == "cuda":
            return ("torch",)
        if train.kernel == "native":
            kernels.check_available()
        if train.kernel != "auto":
            return (train.kernel,)
        is_worthwhile = self._seconds_left >= COMPILE_SECONDS and kernels.available()
        return ("torch", "native") if is_worthwhile else ("torch",)

    def _precisions_to_try(self, train: TrainConfig, model: TorchModel) -> tuple[str, ...]:
        if train.precision != "auto":
            return (train.precision,)
        if self._seconds_left <= 0:
            return ("float32",)
        on_gpu = model.device.type == "cuda"
        return ("float32", "bfloat16", "float16") if on_gpu else ("float32", "bfloat16")

    def _works(self, config: Config, model: TorchModel) -> bool:
        """Whether a step, of one character, can be taken; some processors lack bfloat16 layers."""
        if config.train.precision == "float32":
            return True
        tiny = replace(config.train, batch_size=1, sequence_length=1, threads=1, parts=1)
        try:
            next(time_steps(tiny, model, self.corpus, ProcessGroup()))
        except RuntimeError:  # NotImplementedError is one
            return False
        return True

    def _fastest(
        self,
        choices: Sequence[Config],
        model: TorchModel,
        summary: Callable[[Sequence[float]], float],
        hopeless: float = math.inf,
    ) -> Config:
        """The first that is about as fast as the fastest; without the time to see, the first."""
        if len(choices) == 1:
            return choices[0]
        measured = self._time_in_turns(choices, model, turns=TURNS, hopeless=hopeless)
        times = [summary(each) for each in measured] or [0.0]
        return choices[next(i for i, t in enumerate(times) if t <= WORTHWHILE_GAIN * min(times))]

    def extend(self, seconds: float) -> None:
        """Allow so many seconds from now on, at least, whatever was used so far."""
        self._end = max(self._end, time.monotonic() + seconds)

    def step_seconds(self, config: Config) -> float:
        """How long a step takes: the median of a few, or what those of others let expect."""
        times = self._time_in_turns([config], new_model(config, self.corpus), turns=TURNS_OF_ONE)
        return median(times[0]) if times else self._expected_seconds(config)

    def steps_to_time(self, config: Config) -> float:
        """How many steps there is still the time to time."""
        return self._seconds_left / self._expected_seconds(config)

    def _time_in_turns(
        self,
        choices: Sequence[Config],
        model: TorchModel,
        *,
        turns: int,
        hopeless: float = math.inf,
    ) -> list[list[float]]:
        """Time a few steps of each choice, in turns so that noise meets all alike.

        Args:
            choices: what to time.
            model: whose copies take the steps.
            turns: how many steps at most, beside a first one, which warms up.
            hopeless: a choice that takes so many times as long as another is timed no more.

        Returns:
            Seconds of each choice's steps; nothing where there is not the time for one of each.
        """
        a_turn = sum(map(self._expected_seconds, choices))
        if self._seconds_left < 2 * a_turn:
            return []
        probes = [time_steps(each.train, model, self.corpus, self._alone) for each in choices]
        first = [next(probe) for probe in probes]
        times: list[list[float]] = [[] for _ in choices]
        timed, a_turn = list(range(len(choices))), sum(first)
        for turn in range(turns):
            if self._seconds_left <= a_turn:
                break
            for at in timed:
                times[at].append(next(probes[at]))
            a_turn = sum(times[at][-1] for at in timed)
            if turn:  # as the first may have met a busy moment
                fastest = min(map(min, times))
                timed = [at for at in timed if min(times[at]) < hopeless * fastest]
        self._operations_a_second = max(
            operations_a_step(config, self.corpus) / median(of_choice or [warming_up])
            for config, of_choice, warming_up in zip(choices, times, first, strict=True)
        )
        return times if all(times) else []

    def _expected_seconds(self, config: Config) -> float:
        measured = self._operations_a_second
        return operations_a_step(config, self.corpus) / (measured or operations_a_second(config))

    @property
    def _seconds_left(self) -> float:
        return self._end - time.monotonic()


def with_train(config: Config, **changes: Any) -> Config:
    """The configuration with these settings of section `train`."""
    return replace(config, train=replace(config.train, **changes))


def time_steps(
    config: TrainConfig, model: TorchModel, corpus: Corpus, group: ProcessGroup
) -> Iterator[float]:
    """Time step after step of a copy of the model, in seconds; the model itself learns nothing.

    On a GPU it is one batch again and again, whose step is recorded before it is timed.
    """
    twin = copy.deepcopy(model)
    step = TrainingStep(twin, config, group)
    epochs = map(Batches(corpus.train, corpus.vocabulary, config).epoch, itertools.count())
    batches: Iterator[Batch] = itertools.chain.from_iterable(epochs)
    untimed = 0
    if model.device.type == "cuda":
        next(batches)  # which may be short
        batches, untimed = itertools.repeat(next(batches)), STEPS_TO_RECORD
    for count, batch in enumerate(batches):
        begin = time.perf_counter()
        with torch_threads(1):
            result = step.step(0, batch, step.initial_state(len(batch.ids_BT)), rate=0.0)
            result.figures.tolist()  # which a GPU has when the step is done
        if count >= untimed:
            yield time.perf_counter() - begin


def operations_a_second(config: Config) -> float:
    """About how many multiplications and additions the device takes a second, before it is timed.

    Raises:
        UserError: It is a GPU that is not there.
    """
    on_gpu = choose_device(config.train.device).type == "cuda"
    return GPU_OPERATIONS_A_SECOND if on_gpu else OPERATIONS_A_SECOND


def operations_a_step(config: Config, corpus: Corpus) -> float:
    """About how many multiplications and additions a step of training takes."""
    vocabulary_size = len(corpus.vocabulary)
    weights = parameter_count(config.model, vocabulary_size)
    a_character = OPERATIONS_PER_WEIGHT * weights + OPERATIONS_PER_LOGIT * vocabulary_size
    return chars_a_step(config.train, corpus.train) * a_character


def resolve(
    config: Config, corpus: Corpus, group: ProcessGroup | None = None, *, by_rule: bool = False
) -> Config:
    """Decide what the configuration leaves open, its steps being given.

    Args:
        config: what is wanted.
        corpus: what is to be learned.
        group: the processes that are to train.
        by_rule: decide without timing anything.

    Raises:
        UserError: What is asked for does not work here.
    """
    operations = config.train.steps * operations_a_step(config, corpus)
    seconds = max(LEAST_SECONDS, TIMING_SHARE * operations / operations_a_second(config))
    return Autotuner(corpus, 0.0 if by_rule else seconds, group).choose_arithmetic(config)
