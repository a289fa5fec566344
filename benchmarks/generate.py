"""How fast text is generated: one stream, and many texts at once.

    python benchmarks/generate.py
    python benchmarks/generate.py --sizes "lstm 1x384" "gru 3x1024" --rounds 9

One stream is compared with two honest things, in turns, the best round of each counting:

- products: the matrix-vector products alone that no float32 implementation can avoid, by the same
  NumPy with the same weights on one core: one recurrent product a layer (with the layer below in
  it) and the output layer. `share` is how much of their speed charrnn has on one core too. What is
  missing to 100 % is everything else: gates, sampling, Python.
- torch: the loop that anybody would write first: nn.Embedding, nn.LSTM (or GRU, or RNN), called
  once a character, and nn.Linear in inference mode, softmax, torch.multinomial. It runs in a
  process of its own, with one thread and with all, and the faster of the two counts.

`charrnn` is one core. `ratio` is how many times as fast as torch it is.

On a machine that has other work to do, --cpu-time counts processor time instead of time: it leaves
out what is spent waiting for a processor; torch's loop then has one thread.

The second table says what bounds the speed: how many GB of weights are read in a second. `read` is
the plainest reading of the same bytes that NumPy knows (a vector times itself), on one core; the
last column is what 30 times torch would have to read.

Many texts are made as `charrnn generate --samples N --batch-size B` makes them, for the first two
sizes. A batch of few texts wastes rows: a text keeps its place in a product whatever the batch, so
that its bits stay the same.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does

import numpy as np
from _models import VOCABULARY, card_of, random_weights

from charrnn.generation.generate import Stream
from charrnn.generation.options import GenerationOptions
from charrnn.generation.rng import UniformStream
from charrnn.generation.scheduler import generate_many
from charrnn.generation.seeds import Prefix
from charrnn.generation.sequence import Sequence
from charrnn.generation.task import GenerationTask
from charrnn.inference.cells import aligned
from charrnn.inference.network import NumpyNetwork
from charrnn.network import FloatArray
from charrnn.processors import processor_count
from charrnn.run.model_card import ModelCard

Clock = Callable[[], float]
Rates = dict[str, float]

SIZES = ("lstm 1x384", "lstm 2x512", "gru 1x384", "rnn 1x384", "lstm 1x1024", "lstm 2x1024")
BATCH_SIZES = (1, 8, 64, 128)
ROUND_SECONDS = 0.15
STEPS_AT_ONCE = 10
REST_SECONDS = 0.05
MANY_ROUNDS = 2
FLOAT_BYTES = 4
TARGET = 30
"""How many times as fast as torch one stream is meant to be."""


def main() -> None:
    """Measure and print."""
    options = read_options()
    clock = time.process_time if options.cpu_time else time.perf_counter
    if options.torch_loop:
        serve_torch_loop(options.torch_loop, options.threads, clock)
        return
    print(f"one stream, characters per second (best of {options.rounds} rounds)\n")
    print(f"{'':14}{'products':>10}{'charrnn':>10}{'share':>8}{'torch':>9}{'ratio':>8}")
    rates = {size: print_single(size, options.rounds, clock) for size in options.sizes}
    print("\nwhat bounds it, GB of weights per second\n")
    print(f"{'':14}{'MB':>10}{'read':>10}{'products':>10}{'charrnn':>10}", end="")
    print(f"{f'{TARGET} x torch':>12}")
    for size in options.sizes:
        print_bytes(size, rates[size])
    if options.one:
        return
    threads = processor_count()
    print(
        f"\nmany texts of {options.length} characters, characters per second, {threads} threads\n"
    )
    print(f"{'batch size':14}" + "".join(f"{batch:>10}" for batch in BATCH_SIZES))
    for size in options.sizes[:2] if not options.cpu_time else ():
        print_many(size, options.length)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="such as 'lstm 2x512'")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each")
    parser.add_argument("--length", type=int, default=50, help="characters of each of many texts")
    parser.add_argument("--one", action="store_true", help="leave many texts out")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time")
    parser.add_argument("--torch-loop", metavar="SIZE", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def print_single(size: str, rounds: int, clock: Clock) -> Rates:
    """Compare one stream with the bare products and with the loop in torch."""
    with ExitStack() as stack:
        rates = best_rates(contenders_for(size, clock, stack), rounds)
    rates["torch"] = max(rate for name, rate in rates.items() if name.startswith("torch"))
    products, charrnn, torch = (rates[name] for name in ("products", "charrnn", "torch"))
    print(
        f"{size:14}{products:10,.0f}{charrnn:10,.0f}{charrnn / products:8.0%}"
        f"{torch:9,.0f}{charrnn / torch:7.1f}x",
        flush=True,
    )
    return rates


def contenders_for(size: str, clock: Clock, stack: ExitStack) -> dict[str, Callable[[], float]]:
    """What measures each way of making one text; the stack ends the processes."""
    card = card_of(size)
    network = NumpyNetwork(random_weights(card), card)
    is_alone = clock is time.perf_counter
    steps: dict[str, Callable[[], object]] = {
        "read": reading_of(network),
        "products": products_of(network),
        "charrnn": stream_of(network).advance,
    }
    loops = [
        TorchLoop(size, threads, clock) for threads in {1, processor_count() if is_alone else 1}
    ]
    for loop in loops:
        stack.callback(loop.close)
    return {name: partial(rate_of_steps, step, clock) for name, step in steps.items()} | {
        f"torch {loop.threads}": loop.rate for loop in loops
    }


def best_rates(contenders: dict[str, Callable[[], float]], rounds: int) -> Rates:
    """The best of several measurements of each, in turns."""
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(rounds):
        for name, measure in contenders.items():
            best[name] = max(best[name], measure())
            time.sleep(REST_SECONDS)
    return best


def print_bytes(size: str, rates: Rates) -> None:
    """How many bytes of weights these rates amount to."""
    size_bytes = FLOAT_BYTES * product_weights(card_of(size))
    print(f"{size:14}{size_bytes / 1e6:10.1f}", end="")
    for name in ("read", "products", "charrnn"):
        print(f"{rates[name] * size_bytes / 1e9:10.0f}", end="")
    print(f"{TARGET * rates['torch'] * size_bytes / 1e9:12.0f}")


def print_many(size: str, length: int) -> None:
    """Characters per second against the size of the batch."""
    card = card_of(size)
    network = NumpyNetwork(random_weights(card), card)
    rates = [
        max(rate_of_many(network, batch_size, length) for _ in range(MANY_ROUNDS))
        for batch_size in BATCH_SIZES
    ]
    print(f"{size:14}" + "".join(f"{rate:10,.0f}" for rate in rates), flush=True)


def task_of(network: NumpyNetwork, length: int) -> GenerationTask:
    """The shipped defaults, with a length."""
    return GenerationTask(network, VOCABULARY, GenerationOptions(length=length))


def stream_of(network: NumpyNetwork) -> Stream:
    """An endless text."""
    task = task_of(network, 0)
    return Stream(task, Sequence(task, Prefix([5]), UniformStream(1, 0), keep=False))


def reading_of(network: NumpyNetwork) -> Callable[[], object]:
    """The reading of every weight that the products of one character need."""
    rows = [matrix.reshape(-1) for matrix in matrices_of(network)]

    def read() -> None:
        for row in rows:
            np.dot(row, row)

    return read


def matrices_of(network: NumpyNetwork) -> list[FloatArray]:
    """The matrices that take part in the products of one character."""
    matrices = [each for layer in network.layers for each in layer.recurrent_KG]
    matrices += [each for layer in network.layers for each in getattr(layer, "below_HG", ())]
    return [*matrices, network.output_HV]


def products_of(network: NumpyNetwork) -> Callable[[], object]:
    """The products of one character."""
    products = []
    for matrix_KG in matrices_of(network):
        operand_K, result_G = map(aligned, zip(matrix_KG.shape, strict=True))
        operand_K[:] = 0.5
        products.append(partial(np.dot, operand_K, matrix_KG, result_G))

    def multiply() -> None:
        for product in products:
            product()

    return multiply


def product_weights(card: ModelCard) -> int:
    """How many weights take part in the products of one character."""
    recurrent = card.gate_rows * card.hidden_size * (2 * card.layers - 1)
    return recurrent + card.hidden_size * card.vocabulary_size


def rate_of_steps(step: Callable[[], object], clock: Clock) -> float:
    """Steps per second."""
    steps, begin = 0, clock()
    while (elapsed := clock() - begin) < ROUND_SECONDS:
        for _ in range(STEPS_AT_ONCE):
            step()
        steps += STEPS_AT_ONCE
    return steps / elapsed


def rate_of_many(network: NumpyNetwork, batch_size: int, length: int) -> float:
    """Characters per second of many texts, enough of them to fill the batch several times."""
    task = task_of(network, length)
    count = max(64, 4 * batch_size)
    sequences = (Sequence(task, Prefix([5]), UniformStream(1, each)) for each in range(count))
    begin = time.perf_counter()
    made = sum(len(text.text) for text in generate_many(task, sequences, batch_size=batch_size))
    return made / (time.perf_counter() - begin)


class TorchLoop:
    """The loop in torch, in a process that is idle while it is not asked."""

    def __init__(self, size: str, threads: int, clock: Clock) -> None:
        self.threads = threads
        arguments = ["--torch-loop", size, "--threads", str(threads)]
        arguments += ["--cpu-time"] if clock is time.process_time else []
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.rate()

    def rate(self) -> float:
        """Characters per second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve_torch_loop(size: str, threads: int, clock: Clock) -> None:
    """Print a rate for every line of stdin."""
    import torch

    card = card_of(size)
    torch.set_num_threads(threads)
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[card.cell]
    embedding = torch.nn.Embedding(card.vocabulary_size, card.embedding_size)
    rnn = module(card.embedding_size, card.hidden_size, card.layers, batch_first=True)
    output = torch.nn.Linear(card.hidden_size, card.vocabulary_size)
    ids, state = torch.zeros(1, 1, dtype=torch.long), None

    def step() -> None:
        nonlocal ids, state
        hidden, state = rnn(embedding(ids), state)
        probabilities = torch.softmax(output(hidden[:, -1]) / 0.8, dim=-1)
        ids = torch.multinomial(probabilities, 1)

    with torch.inference_mode():
        for _ in sys.stdin:
            print(rate_of_steps(step, clock), flush=True)


if __name__ == "__main__":
    main()
