"""How fast text is generated: one stream, and many texts at once.

    python benchmarks/generate.py
    python benchmarks/generate.py --sizes "lstm 1x384" "gru 3x1024" --rounds 9

One stream is compared with two honest things, in turns, the best round of each counting:

- products: the matrix-vector products alone that no float32 implementation can avoid, by the same
  NumPy with the same weights: one recurrent product a layer (with the layer below in it) and the
  output layer. What is missing to 100 % is everything else: gates, sampling, Python.
- torch: the loop that anybody would write first: nn.Embedding, nn.LSTM (or GRU, or RNN) and
  nn.Linear in inference mode, softmax, torch.multinomial. It runs in a process of its own, with
  one thread and with all, and the faster of the two counts.

On a machine that has other work to do, --cpu-time counts processor time instead of time: it leaves
out what is spent waiting for a processor, and torch's loop then has one thread, like the others.

GB/s is what the weights of all products amount to per second: as they outgrow the caches, it comes
to rest at the bandwidth of the memory, and that is what bounds the speed.

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

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does

import numpy as np
from _models import VOCABULARY, card_of, random_weights

from charrnn.config.schema import GenerateConfig
from charrnn.inference.crew import generate_many, processor_count
from charrnn.inference.generation import Stream
from charrnn.inference.jobs import Job, Opening
from charrnn.inference.layers import aligned
from charrnn.inference.network import NumpyNetwork
from charrnn.inference.options import options_from
from charrnn.inference.rules import Rules
from charrnn.inference.uniforms import UniformStream
from charrnn.run import ModelCard

Clock = Callable[[], float]

SIZES = ("lstm 1x384", "lstm 2x512", "gru 1x384", "rnn 1x384", "lstm 1x1024", "lstm 2x1024")
BATCH_SIZES = (1, 8, 64, 128)
ROUND_SECONDS = 0.15
STEPS_AT_ONCE = 10
REST_SECONDS = 0.05
MANY_ROUNDS = 2
FLOAT_BYTES = 4


def main() -> None:
    """Measure and print."""
    options = read_options()
    clock = time.process_time if options.cpu_time else time.perf_counter
    if options.torch_loop:
        serve_torch_loop(options.torch_loop, options.threads, clock)
        return
    print(f"one stream, characters per second (best of {options.rounds} rounds)\n")
    print(f"{'':14}{'products':>10}{'charrnn':>10}{'share':>8}{'torch':>9}{'ratio':>8}{'GB/s':>7}")
    for size in options.sizes:
        print_single(size, options.rounds, clock)
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
    parser.add_argument("--cpu-time", action="store_true", help="count processor time")
    parser.add_argument("--torch-loop", metavar="SIZE", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def print_single(size: str, rounds: int, clock: Clock) -> None:
    """Compare one stream with the bare products and with the loop in torch."""
    card = card_of(size)
    network = NumpyNetwork(random_weights(card), card)
    contenders: dict[str, Callable[[], float]] = {
        "products": lambda: rate_of_steps(products_of(network), clock),
        "charrnn": lambda: rate_of_steps(stream_of(network), clock),
    }
    is_alone = clock is time.perf_counter
    loops = [
        TorchLoop(size, threads, clock) for threads in {1, processor_count() if is_alone else 1}
    ]
    for loop in loops:
        contenders[f"torch {loop.threads}"] = loop.rate
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(rounds):
        for name, measure in contenders.items():
            best[name] = max(best[name], measure())
            time.sleep(REST_SECONDS)
    for loop in loops:
        loop.close()
    products, charrnn, *torch = best.values()
    bandwidth = charrnn * FLOAT_BYTES * product_weights(card) / 1e9
    print(
        f"{size:14}{products:10,.0f}{charrnn:10,.0f}{charrnn / products:8.0%}"
        f"{max(torch):9,.0f}{charrnn / max(torch):7.1f}x{bandwidth:7.1f}",
        flush=True,
    )


def print_many(size: str, length: int) -> None:
    """Characters per second against the size of the batch."""
    card = card_of(size)
    network = NumpyNetwork(random_weights(card), card)
    rates = [
        max(rate_of_many(network, batch_size, length) for _ in range(MANY_ROUNDS))
        for batch_size in BATCH_SIZES
    ]
    print(f"{size:14}" + "".join(f"{rate:10,.0f}" for rate in rates), flush=True)


def rules_for(length: int) -> Rules:
    """The shipped defaults, with a length."""
    return Rules(options_from(GenerateConfig(), {"length": length}), VOCABULARY)


def stream_of(network: NumpyNetwork) -> Callable[[], object]:
    """One character of an endless text."""
    job = Job(rules_for(0), Opening([5]), UniformStream(1, 0), kept=False)
    return Stream(network, rules_for(0), job).advance


def products_of(network: NumpyNetwork) -> Callable[[], object]:
    """The products of one character."""
    matrices = [layer.recurrent_KG for layer in network.layers]
    matrices += [
        below for each in network.layers if (below := getattr(each, "below_HG", None)) is not None
    ]
    matrices.append(network.output_HV)
    pairs = [(aligned(each.shape[:1]), each, aligned(each.shape[1:])) for each in matrices]
    for vector, _, _ in pairs:
        vector[:] = 0.5

    def multiply() -> None:
        for vector, matrix, result in pairs:
            np.dot(vector, matrix, out=result)

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
    rules = rules_for(length)
    count = max(64, 4 * batch_size)
    jobs = (Job(rules, Opening([5]), UniformStream(1, each)) for each in range(count))
    begin = time.perf_counter()
    made = sum(
        len(text.text) for text in generate_many(network, rules, jobs, batch_size=batch_size)
    )
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
