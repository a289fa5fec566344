"""Training speed: charrnn's step against the usual loop, and against the bare matrix products.

    python benchmarks/train.py [--rounds 7] [--threads N] [--sizes "lstm 1x384 b16" ...]
    python benchmarks/train.py --device cuda [--length 64] [--sizes "lstm 3x2048 b128" ...]

For each cell and size, on random characters, in turns so that noise meets all alike, each in a
process of its own as in life:

- plain: the usual PyTorch loop in float32: `nn.Embedding`, `nn.LSTM` (or GRU, RNN), `nn.Linear`,
  cross-entropy, clipping, AdamW, with all of torch's threads;
- charrnn: `TrainingStep.step` as `charrnn train` runs it, by each kernel (torch's layers, our own
  in C) in each precision that works here;
- products: nothing but the matrix products that no implementation can avoid, in bfloat16 (where
  it does not work, in float32): in each time step h W_h forward and its gradient backward, and one
  large product for the weights, as torch.mm computes them;
- layers, on a GPU in place of the products: nothing but cuDNN's layers, forward and backward, one
  after the other, in float16 and as wide as the state.

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
from charrnn.training.model import RECURRENT, CharRNN, choose_device, torch_threads
from charrnn.training.step import TrainingStep

VOCABULARY, EMBEDDING = 67, 64
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
GPU_SIZES = (
    "lstm 1x512 b16",
    "lstm 1x512 b128",
    "lstm 1x512 b128 muon",
    "lstm 1x1024 b128",
    "lstm 2x1024 b128",
    "lstm 3x2048 b128",
    "gru 1x512 b128",
    "rnn 1x512 b128",
)
CLIP_NORM = 1.0
STEPS_A_ROUND = {"cpu": 4, "cuda": 32}

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


class Setting(NamedTuple):
    """What all contenders have in common."""

    size: Size
    threads: int
    device: str
    length: int

    @property
    def chars(self) -> int:
        """The characters of a step."""
        return self.size.rows * self.length

    def random_batch(self) -> Batch:
        """Characters without meaning, which take as long as those with."""
        ids, targets = torch.randint(VOCABULARY, (2, self.size.rows, self.length))
        return Batch(ids, targets, self.chars)


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


def plain_step(setting: Setting) -> Step:
    """The usual loop's step, in float32."""
    torch.set_num_threads(setting.threads)
    model, batch = PlainModel(setting.size).to(setting.device), setting.random_batch()
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        ids_BT, targets_BT = batch.ids_BT.to(setting.device), batch.targets_BT.to(setting.device)
        logits_BTV = model(ids_BT)
        functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()

    return step


def charrnn_step(setting: Setting, kernel: str, precision: str) -> Step:
    """The step of `charrnn train`."""
    size = setting.size
    model_config = ModelConfig(
        cell=size.cell,  # type: ignore[arg-type]
        hidden_size=size.hidden,
        layers=size.layers,
        embedding_size=EMBEDDING,
    )
    model, batch = CharRNN(model_config, VOCABULARY), setting.random_batch()
    init_weights(model, unknown_id=1)
    model.to(choose_device(setting.device))
    config = TrainConfig(
        optimizer=size.optimizer,  # type: ignore[arg-type]
        kernel=kernel,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        threads=setting.threads if setting.device == "cpu" else 1,
        clip_norm=CLIP_NORM,
    )
    training_step, indices = TrainingStep(model, config), itertools.count()
    state = model.initial_state(size.rows)

    def step() -> None:
        with torch_threads(1):
            training_step.step(next(indices), batch, state, rate=0.001)

    return step


def products_step(setting: Setting, precision: str) -> Step:
    """The products with the recurrent matrices, and nothing else."""
    torch.set_num_threads(setting.threads)
    size, length = setting.size, setting.length
    gates, rows, hidden = GATES[size.cell] * size.hidden, size.rows, size.hidden
    draw = partial(torch.randn, dtype=getattr(torch, precision))
    weight = draw(gates, hidden)
    state, gradient = draw(rows, hidden), draw(rows, gates)
    states, gradients = draw(length * rows, hidden), draw(length * rows, gates)

    def step() -> None:
        for _ in range(size.layers):
            for _ in range(length):
                torch.mm(state, weight.T)
            for _ in range(length):
                torch.mm(gradient, weight)
            torch.mm(gradients.T, states)

    return step


def layers_step(setting: Setting, precision: str) -> Step:
    """The layers as cuDNN has them, and nothing else."""
    size, options = setting.size, {"device": setting.device, "dtype": getattr(torch, precision)}
    layer = RECURRENT[size.cell](size.hidden, size.hidden, **options)
    inputs = torch.randn(setting.length, size.rows, size.hidden, **options, requires_grad=True)
    gradient = torch.randn_like(inputs)

    def step() -> None:
        for _ in range(size.layers):
            torch.autograd.grad(layer(inputs)[0], [inputs, *layer.parameters()], gradient)

    return step


def step_of(contender: str, setting: Setting) -> Step:
    """The step of `plain`, `products/PRECISION`, `layers/PRECISION` or `KERNEL/PRECISION`."""
    if contender == "plain":
        return plain_step(setting)
    kernel, precision = contender.split("/")
    if kernel == "products":
        return products_step(setting, precision)
    if kernel == "layers":
        return layers_step(setting, precision)
    return charrnn_step(setting, kernel, precision)


class Contender:
    """A step in a process of its own, which is idle while it is not asked."""

    def __init__(self, name: str, options: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", name, *options],
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


def serve(contender: str, setting: Setting) -> None:
    """Print the time of a step for every line of stdin."""
    torch.manual_seed(0)
    step, steps = step_of(contender, setting), STEPS_A_ROUND[setting.device]
    step()
    finish(setting.device)
    for _ in sys.stdin:
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        finish(setting.device)
        print((time.perf_counter() - begin) / steps, flush=True)


def finish(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def median_seconds(names: list[str], options: list[str], rounds: int) -> dict[str, float]:
    """The median of some rounds of each contender that works, taking turns."""
    contenders = {name: Contender(name, options) for name in names}
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


def contenders_on(device: str) -> tuple[list[str], list[str]]:
    """What steps of ours there are, and what bounds them: the first that works."""
    if device == "cuda":
        return [f"torch/{each}" for each in ("float32", "bfloat16", "float16")], ["layers/float16"]
    names = ("torch", "native") if kernels.available() else ("torch",)
    ours = [f"{kernel}/{precision}" for kernel in names for precision in ("float32", "bfloat16")]
    return ours, ["products/bfloat16", "products/float32"]


def print_size(size_text: str, setting: Setting, rounds: int) -> None:
    """Measure one size and print its table."""
    ours, bare = contenders_on(setting.device)
    options = ["--sizes", size_text, "--threads", str(setting.threads)]
    options += ["--device", setting.device, "--length", str(setting.length)]
    times = median_seconds(["plain", *ours, *bare], options, rounds)
    if not any(name in times for name in ours if name.endswith("bfloat16")):
        bare = bare[-1:]
    best = min((name for name in ours if name in times), key=times.__getitem__)
    print(size_text)
    for name in ("plain", *ours, bare[0]):
        if name not in times:
            print(f"  {name:18} does not work here")
            continue
        speed = setting.chars / times[name]
        ratios = "".join(f"{times[to] / times[name]:12.2f}" for to in ("plain", bare[0]))
        print(f"  {name:18}{speed:13,.0f}{ratios}{' *' if name == best else ''}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", help="such as 'lstm 1x384 b16'")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", choices=STEPS_A_ROUND, default="cpu")
    parser.add_argument("--length", type=int, default=64, help="characters a row, in each step")
    parser.add_argument("--serve", metavar="CONTENDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.sizes or (SIZES if options.device == "cpu" else GPU_SIZES)
    settings = [
        Setting(Size.of(each), options.threads, options.device, options.length) for each in sizes
    ]
    if options.serve:
        serve(options.serve, settings[0])
        return
    gpu = options.device == "cuda"
    if gpu and not torch.cuda.is_available():
        parser.error("torch finds no GPU that it can use")
    where = torch.cuda.get_device_name() if gpu else f"{options.threads} threads"
    print(f"characters per second, {options.length} steps, {where}\n")
    print(f"{'':20}{'characters/s':>13}{'/ plain':>12}{'/ layers' if gpu else '/ products':>12}")
    for size, setting in zip(sizes, settings, strict=True):
        print_size(size, setting, options.rounds)


if __name__ == "__main__":
    main()
