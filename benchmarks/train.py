"""Training speed: charrnn's step against the usual loop, and against the bare matrix products.

    python benchmarks/train.py [--rounds 5] [--threads N]

For each cell and size, on random characters, taking turns so that noise meets all alike:

- plain: the usual PyTorch loop in float32: `nn.Embedding`, `nn.LSTM` (or GRU, RNN), `nn.Linear`,
  cross-entropy, clipping, AdamW, with all of torch's threads;
- charrnn: `Learner.step` as `charrnn train` runs it, in the faster of float32 and bfloat16;
- products: nothing but the matrix products that no implementation can avoid, in bfloat16: in each
  time step h W_h forward and its gradient backward, and one large product for the weights.

Prints characters per second (medians) and the two ratios.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.nn import functional

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.network import GATES
from charrnn.training.batches import Batch
from charrnn.training.learner import Learner
from charrnn.training.model import CharRNN, initialize
from charrnn.training.threads import threads_of_torch

VOCABULARY, EMBEDDING, LENGTH = 67, 64, 64
SETTINGS = (
    ("lstm", 384, 16),
    ("lstm", 384, 32),
    ("lstm", 512, 32),
    ("gru", 384, 32),
    ("gru", 512, 32),
    ("rnn", 384, 32),
)
CLIP_NORM = 1.0
STEPS_A_ROUND = 3

Step = Callable[[], object]


def random_batch(rows: int) -> Batch:
    """Characters without meaning, which take as long as those with."""
    ids = torch.randint(VOCABULARY, (rows, LENGTH))
    return Batch(ids, torch.randint(VOCABULARY, (rows, LENGTH)), rows * LENGTH)


class PlainModel(nn.Module):
    """What everybody writes first."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        layer = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell]
        self.rnn = layer(EMBEDDING, hidden, batch_first=True)
        self.output = nn.Linear(hidden, VOCABULARY)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, V)."""
        logits: torch.Tensor = self.output(self.rnn(self.embedding(ids_BT))[0])
        return logits


def plain_step(cell: str, hidden: int, batch: Batch) -> Step:
    """The usual loop's step, in float32."""
    model = PlainModel(cell, hidden)
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        logits_BTV = model(batch.ids_BT)
        functional.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()

    return step


def charrnn_step(
    cell: str, hidden: int, batch: Batch, precision: str, threads: int, kernel: str = "torch"
) -> Step:
    """The step of `charrnn train`."""
    model_config = ModelConfig(cell=cell, hidden_size=hidden, embedding_size=EMBEDDING)  # type: ignore[arg-type]
    model = CharRNN(model_config, VOCABULARY)
    initialize(model, unknown_id=1)
    config = TrainConfig(precision=precision, threads=threads, clip_norm=CLIP_NORM, kernel=kernel)  # type: ignore[arg-type]
    learner = Learner(model, config)
    state = model.initial_state(len(batch.ids_BT))

    def step() -> None:
        with threads_of_torch(1):
            learner.step(0, batch, state, rate=0.001)

    return step


def products(cell: str, hidden: int, rows: int) -> Step:
    """The products with the recurrent matrix, and nothing else."""
    gates = GATES[cell] * hidden
    weight = torch.randn(gates, hidden, dtype=torch.bfloat16)
    state, gradient = (torch.randn(rows, n, dtype=torch.bfloat16) for n in (hidden, gates))
    states, gradients = (
        torch.randn(LENGTH * rows, n, dtype=torch.bfloat16) for n in (hidden, gates)
    )

    def step() -> None:
        for _ in range(LENGTH):
            torch.mm(state, weight.T)
        for _ in range(LENGTH):
            torch.mm(gradient, weight)
        torch.mm(gradients.T, states)

    return step


def chars_per_second(steps: dict[str, Step], chars: int, rounds: int) -> dict[str, float]:
    """The median of some rounds of each, taking turns."""
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begin = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                step()
            times[name].append((time.perf_counter() - begin) / STEPS_A_ROUND)
    return {name: chars / median(seconds) for name, seconds in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(f"characters per second, {LENGTH} steps, {arguments.threads} threads")
    print("cell  hidden  batch      plain    charrnn   products   /plain  /products  precision")
    for cell, hidden, rows in SETTINGS:
        batch = random_batch(rows)
        speeds = chars_per_second(
            {
                "plain": plain_step(cell, hidden, batch),
                "float32": charrnn_step(cell, hidden, batch, "float32", arguments.threads),
                "bfloat16": charrnn_step(cell, hidden, batch, "bfloat16", arguments.threads),
                "products": products(cell, hidden, rows),
            },
            rows * LENGTH,
            arguments.rounds,
        )
        best = max(("float32", "bfloat16"), key=lambda name: speeds[name])
        print(
            f"{cell:4} {hidden:7} {rows:6} {speeds['plain']:10,.0f} {speeds[best]:10,.0f} "
            f"{speeds['products']:10,.0f} {speeds[best] / speeds['plain']:8.2f} "
            f"{speeds[best] / speeds['products']:10.2f}  {best}",
            flush=True,
        )


if __name__ == "__main__":
    main()
