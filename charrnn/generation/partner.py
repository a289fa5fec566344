"""A second process that computes half of every large product of one stream, when it can.

One text is bound by reading the weights, and two cores read twice as much in a second as one. The
threads of BLAS would share each product too, but each of them waits for the others, so that on a
busy machine a product of microseconds waits for a time slice of milliseconds. Here nobody depends
on anybody: we ask for the right half of a product, compute the left one, and where the right one
is not there by the time in which we could have done it, we do it. The partner runs at the lowest
priority, naps while nobody asks, and leaves when we are gone.

Both halves are the same products of the same numbers whoever computes them, so that a text does
not depend on who did; that their columns are the very bits of the whole product is checked before.

What both processes see is a page of numbers, and buffers: the operands, written by us, and the
right halves, written by the partner. An answer counts only if it bears the number of the question.
That needs stores that are seen in the order in which they were made, which x86 promises.

Shapes: K inputs of a product, G gate rows.
"""

import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np

from charrnn.generation.stream import Stream
from charrnn.inference.cells import PlainWorkshop, Product, aligned
from charrnn.inference.network import NumpyNetwork, NumpyStepper
from charrnn.machine import processor_count
from charrnn.network import FloatArray, Network

LEAST_BYTES = 1 << 20
"""A matrix smaller than this is in a core's own cache, where one core is as quick as two."""
LEAST_WORK_BYTES = 20 << 30
"""What one core reads in a fifth of a second; a text that needs less is done before it pays."""
ASKED, DONE = 0, 8
"""Places in the page of numbers, each in a cache line of its own."""
PATIENCE = 20_000
"""How often the partner looks for a question before it naps: about a millisecond."""
NAP_SECONDS = 0.0005
TRIAL_PRODUCTS = 256
"""How many products are timed in each way."""
PRODUCTS_BETWEEN = 64 * TRIAL_PRODUCTS
"""How many are computed in the quicker one before the next trial."""


@contextmanager
def partner_for(stream: Stream, network: Network, length: int) -> Iterator[None]:
    """Let a stream have a partner for a text of this length (0 is endless), if that is worth it."""
    if not (isinstance(network, NumpyNetwork) and _is_worth_it(network, length) and is_possible()):
        yield
        return
    stepper = PairedStepper(network)
    stream.go_on_with(stepper)
    try:
        yield
    finally:
        stepper.close()


class PairedStepper(NumpyStepper):
    """Steps one row of a network together with a partner; to be closed."""

    def __init__(self, network: NumpyNetwork) -> None:
        self.partner = Partner()
        super().__init__(network, 1, self.partner)
        self.partner.begin()

    def close(self) -> None:
        """Let the partner go; from here on it is never there in time."""
        self.partner.end()


def _is_worth_it(network: NumpyNetwork, length: int) -> bool:
    """Whether there is a product that is worth sharing, and enough to compute."""
    sizes = [layer.recurrent_KG.nbytes for layer in network.layers]
    return max(sizes) >= LEAST_BYTES and (not length or length * sum(sizes) >= LEAST_WORK_BYTES)


def is_possible() -> bool:
    """Whether this process can have a partner that has a processor."""
    return (
        sys.platform == "linux"
        and os.uname().machine == "x86_64"
        and threading.active_count() == 1  # a fork takes no other thread along
        and os.environ.get("OPENBLAS_NUM_THREADS") == "1"
        and processor_count() > 1
    )


class Partner:
    """The other process, and the workshop of a stepper that shares its products with it."""

    def __init__(self) -> None:
        self.numbers = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
        self.products: list[SharedProduct] = []
        self.process = 0
        self.trial = Trial()

    def buffer(self, shape: tuple[int, ...]) -> FloatArray:
        """A new buffer full of zeros, which both processes see."""
        count = int(np.prod(shape))
        return np.frombuffer(mmap.mmap(-1, 4 * count), np.float32, count).reshape(shape)

    def product(self, operand: FloatArray, weights_KG: FloatArray, out: FloatArray) -> Product:
        """The product of the operand, shared if it is large and its halves are its very bits."""
        if weights_KG.nbytes >= LEAST_BYTES:
            shared = SharedProduct(self, operand, weights_KG, out)
            if shared.is_exact(weights_KG):
                self.products.append(shared)
                return shared
        return PlainWorkshop().product(operand, weights_KG, out)

    def begin(self) -> None:
        """Start the process, once all products are known; there may be none to share."""
        if not self.products:
            return
        for number, shared in enumerate(self.products):
            shared.number = number
        ours = os.getpid()
        try:
            self.process = os.fork()
        except OSError:  # there are too many processes; it works without
            return
        if not self.process:
            self._serve(ours)

    def end(self) -> None:
        """End the process, and do not wait for it: at its priority, dying may take a while."""
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, os.WNOHANG)
            self.process = 0

    def answers(self, number: int, *, latest: float) -> bool:
        """Wait for the answer to a question, for no longer than it is worth."""
        while self.numbers[DONE] != number:
            if time.perf_counter() > latest:
                return False
        return True

    def _serve(self, parent: int) -> NoReturn:
        """Answer questions until it is over; this is the other process."""
        try:
            _withdraw()
            self._answer_all(parent)
        finally:
            os._exit(0)

    def _answer_all(self, parent: int) -> None:
        numbers, products = self.numbers, self.products
        answered, waited = 0, 0
        while True:
            asked = numbers[ASKED]
            if asked != answered:
                products[asked % len(products)].answer()
                numbers[DONE] = answered = asked
                waited = 0
                continue
            waited += 1
            if waited > PATIENCE:
                time.sleep(NAP_SECONDS)
                if os.getppid() != parent:
                    return


class Trial:
    """Whether to ask for help: tried with it and alone, then as was quicker, until the next try."""

    def __init__(self) -> None:
        self.with_help = self.is_timed = True
        self._seconds_with_help = 0.0
        self._spent = 0.0
        self._left = TRIAL_PRODUCTS

    def note(self, seconds: float = 0) -> None:
        """Note a product, and what it took if that matters now."""
        self._spent += seconds
        self._left -= 1
        if not self._left:
            self._turn()

    def _turn(self) -> None:
        if not self.is_timed:
            self.with_help = self.is_timed = True
        elif self.with_help:
            self.with_help, self._seconds_with_help = False, self._spent
        else:
            self.with_help, self.is_timed = self._seconds_with_help < self._spent, False
        self._spent = 0.0
        self._left = TRIAL_PRODUCTS if self.is_timed else PRODUCTS_BETWEEN


class SharedProduct:
    """A product of which both processes compute a half."""

    def __init__(
        self, partner: Partner, operand: FloatArray, weights_KG: FloatArray, out: FloatArray
    ) -> None:
        middle = len(out) // 2
        self.number = 0
        """That of the last question; modulo the number of products it says which product."""
        self._partner = partner
        self._operand = operand
        self._multiply_alone = PlainWorkshop().product(operand, weights_KG, out)
        self._left = _copied(weights_KG[:, :middle])
        self._right = _copied(weights_KG[:, middle:])
        self._left_out = out[:middle]
        self._right_out = out[middle:]
        self._answer = partner.buffer(self._right_out.shape)

    def is_exact(self, weights_KG: FloatArray) -> bool:
        """Whether the halves are bit for bit what the whole product is."""
        vector = np.random.default_rng(0).normal(size=len(weights_KG)).astype(np.float32)
        halves = np.concatenate([np.dot(vector, self._left), np.dot(vector, self._right)])
        return np.array_equal(np.dot(vector, weights_KG), halves)

    def __call__(self) -> None:
        """Compute the product, with the partner's help or without."""
        trial = self._partner.trial
        begin = time.perf_counter() if trial.is_timed else 0
        if trial.with_help:
            self._multiply_together()
        else:
            self._multiply_alone()
        trial.note(time.perf_counter() - begin if trial.is_timed else 0)

    def _multiply_together(self) -> None:
        partner, clock = self._partner, time.perf_counter
        self.number += len(partner.products)
        partner.numbers[ASKED] = self.number
        begin = clock()
        np.dot(self._operand, self._left, out=self._left_out)
        end = clock()
        if partner.answers(self.number, latest=end + (end - begin)):
            self._right_out[...] = self._answer
        else:
            np.dot(self._operand, self._right, out=self._right_out)

    def answer(self) -> None:
        """Compute the right half; the partner does."""
        np.dot(self._operand, self._right, out=self._answer)


def _copied(weights_KG: FloatArray) -> FloatArray:
    """An aligned copy without gaps, the only thing that NumPy multiplies fast."""
    copy = aligned(weights_KG.shape)
    copy[...] = weights_KG
    return copy


def _withdraw() -> None:
    """Be out of everybody's way: no signals, no hand on anybody's files, and then no priority."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
