"""Training speed: charrnn's step against the usual loop, and against the bare matrix products.

    python benchmarks/train.py [--rounds 7] [--threads N] [--sizes "lstm 1x384 b16" ...]

For each cell and size, on random characters, in turns so that noise meets all alike, each in a
process of its own as in life:

- plain: the usual PyTorch loop in float32: `nn.Embedding`, `nn.LSTM` (or GRU, RNN), `nn.Linear`,
  cross-entropy, clipping, AdamW, with all of torch's threads;
- charrnn: `TrainingStep.step` as `charrnn train` runs it, by each kernel (torch's layers, our own
  in C) in each precision that works here;
- products: nothing but the matrix products that no implementation can avoid, in bfloat16 (where
  it does not work, in float32): in each time step h W_h forward and its gradient backward, and one
  large product for the weights, as torch.mm computes them.

Prints a line for each: characters per second (medians), and the ratios to the usual loop and to the
products. The fastest of charrnn's has a star. A size is `CELL LAYERSxHIDDEN bBATCH`; `muon` behind
it lets charrnn's step take that optimiser, the usual loop keeps to AdamW.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import NamedTuple, Self

import torch
from torch import nn
from torch.nn import functional

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.network import GATES
from charrnn.training import kernels
from charrnn.training.batches import Batch
from charrnn.training.initialization import init_weights
from charrnn.training.model import RECURRENT, CharRNN, torch_threads
from charrnn.training.step import TrainingStep

VOCABULARY, EMBEDDING, LENGTH = 67, 64, 64
SIZES = (
    "lstm 1x384 b16",
    "lstm 1x384 b32",
    "lstm 1x512 b32",
    "lstm 1x640 b32",
    "lstm 1x384 b64",
    "lstm 1x384 b64 muon",
    "gru 1x384 b32",
    "gru 1x512 b32",
    "rnn 1x384 b32",
)
CLIP_NORM = 1.0
STEPS_A_ROUND = 4

Step = Callable[[], object]


class Size(NamedTuple):
    """What is trained: a network, the rows of a batch and what moves the weights."""

    cell: str
    layers: int
    hidden: int
    rows: int
    optimizer: str = "adamw"

    @classmethod
    def of(cls, text: str) -> Self:
        """The size that is written `lstm 1x384 b16`."""
        cell, shape, batch, *optimizer = text.split()
        layers, hidden = shape.split("x")
        return cls(cell, int(layers), int(hidden), int(batch.removeprefix("b")), *optimizer)


def random_batch(rows: int) -> Batch:
    """Characters without meaning, which take as long as those with."""
    ids, targets = torch.randint(VOCABULARY, (2, rows, LENGTH))
    return Batch(ids, targets, rows * LENGTH)


class PlainModel(nn.Module):
    """What everybody writes first."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.rnn = RECURRENT[size.cell](EMBEDDING, size.hidden, size.layers, batch_first=True)
        self.output = nn.Linear(size.hidden, VOCABULARY)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, V)."""
        logits: torch.Tensor = self.output(self.rnn(self.embedding(ids_BT))[0])
        return logits


def plain_step(size: Size, threads: int) -> Step:
    """The usual loop's step, in float32."""
    torch.set_num_threads(threads)
    model, batch = PlainModel(size), random_batch(size.rows)
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        logits_BTV = model(batch.ids_BT)
        functional.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()

    return step


def charrnn_step(size: Size, threads: int, kernel: str, precision: str) -> Step:
    """The step of `charrnn train`."""
    model_config = ModelConfig(
        cell=size.cell,  # type: ignore[arg-type]
        hidden_size=size.hidden,
        layers=size.layers,
        embedding_size=EMBEDDING,
    )
    model, batch = CharRNN(model_config, VOCABULARY), random_batch(size.rows)
    init_weights(model, unknown_id=1)
    config = TrainConfig(
        optimizer=size.optimizer,  # type: ignore[arg-type]
        kernel=kernel,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        threads=threads,
        clip_norm=CLIP_NORM,
    )
    training_step, indices = TrainingStep(model, config), itertools.count()
    state = model.initial_state(size.rows)

    def step() -> None:
        with torch_threads(1):
            training_step.step(next(indices), batch, state, rate=0.001)

    return step


def products_step(size: Size, threads: int, precision: str) -> Step:
    """The products with the recurrent matrices, and nothing else."""
    torch.set_num_threads(threads)
    gates, rows, hidden = GATES[size.cell] * size.hidden, size.rows, size.hidden
    draw = partial(torch.randn, dtype=getattr(torch, precision))
    weight = draw(gates, hidden)
    state, gradient = draw(rows, hidden), draw(rows, gates)
    states, gradients = draw(LENGTH * rows, hidden), draw(LENGTH * rows, gates)

    def step() -> None:
        for _ in range(size.layers):
            for _ in range(LENGTH):
                torch.mm(state, weight.T)
            for _ in range(LENGTH):
                torch.mm(gradient, weight)
            torch.mm(gradients.T, states)

    return step


def step_of(contender: str, size: Size, threads: int) -> Step:
    """The step of `plain`, `products/PRECISION` or `KERNEL/PRECISION`."""
    if contender == "plain":
        return plain_step(size, threads)
    kernel, precision = contender.split("/")
    if kernel == "products":
        return products_step(size, threads, precision)
    return charrnn_step(size, threads, kernel, precision)


class Contender:
    """A step in a process of its own, which is idle while it is not asked."""

    def __init__(self, name: str, size: str, threads: int) -> None:
        arguments = ["--serve", name, "--sizes", size, "--threads", str(threads)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds(self) -> float | None:
        """The time of a step; None if it does not work here."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self._process.stdout.readline()
        return float(line) if line else None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def serve(contender: str, size: Size, threads: int) -> None:
    """Print the time of a step for every line of stdin."""
    torch.manual_seed(0)
    step = step_of(contender, size, threads)
    step()
    for _ in sys.stdin:
        begin = time.perf_counter()
        for _ in range(STEPS_A_ROUND):
            step()
        print((time.perf_counter() - begin) / STEPS_A_ROUND, flush=True)


def median_seconds(names: list[str], size: str, threads: int, rounds: int) -> dict[str, float]:
    """The median of some rounds of each contender that works, taking turns."""
    contenders = {name: Contender(name, size, threads) for name in names}
    times: dict[str, list[float]] = {
        name: [] for name, contender in contenders.items() if contender.seconds() is not None
    }
    for _ in range(rounds):
        for name, measured in times.items():
            seconds = contenders[name].seconds()
            assert seconds is not None, f"{name} has ended"
            measured.append(seconds)
    for contender in contenders.values():
        contender.close()
    return {name: median(measured) for name, measured in times.items()}


def print_size(size_text: str, threads: int, rounds: int) -> None:
    """Measure one size and print its table."""
    size = Size.of(size_text)
    names = ("torch", "native") if kernels.available() else ("torch",)
    ours = [f"{kernel}/{precision}" for kernel in names for precision in ("float32", "bfloat16")]
    bare = ["products/bfloat16", "products/float32"]
    times = median_seconds(["plain", *ours, *bare], size_text, threads, rounds)
    if not any(name in times for name in ours if name.endswith("bfloat16")):
        bare = ["products/float32"]
    best = min((name for name in ours if name in times), key=times.__getitem__)
    print(size_text)
    for name in ("plain", *ours, bare[0]):
        if name not in times:
            print(f"  {name:18} does not work on this processor")
            continue
        speed = size.rows * LENGTH / times[name]
        ratios = "".join(f"{times[to] / times[name]:12.2f}" for to in ("plain", bare[0]))
        print(f"  {name:18}{speed:13,.0f}{ratios}{' *' if name == best else ''}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="such as 'lstm 1x384 b16'")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--serve", metavar="CONTENDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, Size.of(options.sizes[0]), options.threads)
        return
    print(f"characters per second, {LENGTH} steps, {options.threads} threads\n")
    print(f"{'':20}{'characters/s':>13}{'/ plain':>12}{'/ products':>12}")
    for size in options.sizes:
        print_size(size, options.threads, options.rounds)


if __name__ == "__main__":
    main()
