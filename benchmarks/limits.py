"""Where recurrent networks end and transformers begin, measured on this machine.

    python benchmarks/limits.py recall --svg docs/pictures/limits-recall.svg
    python benchmarks/limits.py length --svg docs/pictures/limits-length.svg
    python benchmarks/limits.py loss --source TEXT --svg docs/pictures/limits-loss.svg

recall: a letter, noise, a question mark; the answer is the letter, k characters back. An RNN, a
GRU, an LSTM and a transformer of equal size train for equal processor time on the loss of the
answer alone, with each of two learning rates; the better accuracy on fresh sequences counts. It
ends early when the task is solved. Guessing is right one time in eight.

length: seconds of a training step of as many characters, cut into fewer and longer sequences. A
recurrent network walks through time; attention reads all of it at once, and compares all pairs.

loss: charrnn's recipe and a transformer of the size, batch and rate that nanoGPT's README gives for
a CPU (4 layers and heads, 128 wide, 12 windows of 64 a step, AdamW, cosine), on the same text for
the same minutes, scored on the last tenth in the same windows.

Pictures need matplotlib, which the extra `plots` installs. Nothing else should run on the machine
for `length` and `loss`.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from _trainings import charrnn
from torch import Tensor, nn
from torch.nn import functional

LETTERS, NOISE = 8, 10
QUESTION = LETTERS + NOISE
SYMBOLS = QUESTION + 1
DISTANCES = (8, 16, 32, 64, 128, 256, 512)
LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
RATES = (1e-3, 4e-3)
BATCH = 64
SOLVED = 0.99
CHARACTERS_A_STEP = 8192
WINDOW, ROWS, RATE = 64, 12, 1e-3
"""Of the transformer that learns Tiny Shakespeare."""
CELLS: Mapping[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {
    "RNN": nn.RNN,
    "GRU": nn.GRU,
    "LSTM": nn.LSTM,
}
COLORS = {"RNN": "#c24a3a", "GRU": "#d1a000", "LSTM": "#4269d0", "transformer": "#3ca951"}

Curves = dict[str, list[tuple[float, float]]]


class Recurrent(nn.Module):
    """An embedding, one recurrent layer and an output layer."""

    def __init__(self, cell: str, symbols: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.layer = CELLS[cell](width, width, batch_first=True)
        self.output = nn.Linear(width, symbols)
        for name, weight in self.layer.named_parameters():  # as charrnn begins
            if name == "weight_hh_l0":
                for gate in weight.data.split(width):
                    nn.init.orthogonal_(gate)
            elif name == "weight_ih_l0":
                nn.init.xavier_uniform_(weight)
            else:
                nn.init.zeros_(weight)
        if cell == "LSTM":
            nn.init.ones_(self.layer.get_parameter("bias_hh_l0").data[width : 2 * width])

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Predict each next character."""
        hidden_BTH, _ = self.layer(self.embedding(ids_BT))
        logits_BTV: Tensor = self.output(hidden_BTH)
        return logits_BTV


class Transformer(nn.Module):
    """Learned positions, pre-norm blocks of causal attention and GELU, tied to no other weight."""

    def __init__(self, symbols: int, width: int, layers: int, longest: int, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.positions = nn.Parameter(torch.randn(longest, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, symbols)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Predict each next character."""
        x_BTE = self.embedding(ids_BT) + self.positions[: ids_BT.shape[1]]
        for block in self.blocks:
            x_BTE = block(x_BTE)
        logits_BTV: Tensor = self.output(self.norm(x_BTE))
        return logits_BTV


class Block(nn.Module):
    """Causal attention, then a layer of four times the width, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x_BTE: Tensor) -> Tensor:
        """Add what was read before, then what follows from it."""
        batch, time_, width = x_BTE.shape
        parts = self.qkv(self.norms[0](x_BTE)).view(batch, time_, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x_BTE = x_BTE + self.mix(read.transpose(1, 2).reshape(batch, time_, width))
        sum_BTE: Tensor = x_BTE + self.narrow(functional.gelu(self.wide(self.norms[1](x_BTE))))
        return sum_BTE


def parameters(network: nn.Module) -> int:
    """How many weights a network has; a transformer's table of positions is not counted."""
    return sum(w.numel() for name, w in network.named_parameters() if name != "positions")


def largest(build: Callable[[int], nn.Module], most: int, step: int = 4) -> nn.Module:
    """Build the widest network with at most so many weights."""
    width = step
    while parameters(build(width + step)) <= most:
        width += step
    return build(width)


def networks(symbols: int, most: int, longest: int) -> dict[str, Callable[[], nn.Module]]:
    """Return what builds each contender, all of about the same number of weights."""

    def recurrent(cell: str) -> Callable[[], nn.Module]:
        return lambda: largest(lambda width: Recurrent(cell, symbols, width), most)

    def transformer() -> nn.Module:
        return largest(lambda width: Transformer(symbols, width, 2, longest), most)

    return {**{cell: recurrent(cell) for cell in CELLS}, "transformer": transformer}


def recall_batch(distance: int, rows: int) -> tuple[Tensor, Tensor]:
    """Draw sequences of a letter, noise and the question; and the letters."""
    letters = torch.randint(LETTERS, (rows, 1))
    noise = torch.randint(LETTERS, QUESTION, (rows, distance - 1))
    question = torch.full((rows, 1), QUESTION)
    return torch.cat([letters, noise, question], dim=1), letters[:, 0]


def recall(network: nn.Module, distance: int, rate: float, seconds: float) -> float:
    """Train for so much processor time; return the accuracy on fresh sequences."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    begin, steps, accuracy = time.process_time(), 0, 0.0
    while accuracy < SOLVED and time.process_time() - begin < seconds:
        ids, letters = recall_batch(distance, BATCH)
        loss = functional.cross_entropy(network(ids)[:, -1], letters)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps % 50 == 0:
            accuracy = recall_accuracy(network, distance, BATCH * 4)
    return recall_accuracy(network, distance, 2048)


@torch.no_grad()
def recall_accuracy(network: nn.Module, distance: int, sequences: int) -> float:
    """Share of fresh sequences whose letter is the most probable symbol."""
    ids, letters = recall_batch(distance, sequences)
    right = torch.cat([network(part)[:, -1].argmax(-1) for part in ids.split(256)]) == letters
    return float(right.float().mean())


def measure_recall(most: int, seconds: float, distances: Sequence[int]) -> Curves:
    """Print and return the accuracy of every network at every distance."""
    torch.set_num_threads(1)
    curves: Curves = {}
    print("accuracy, k characters back" + "".join(f"{each:>8}" for each in distances))
    for name, build in networks(SYMBOLS, most, max(distances) + 1).items():
        curves[name] = []
        size = parameters(build())
        for distance in distances:
            tried = []
            for rate in RATES:
                torch.manual_seed(1)
                tried.append(recall(build(), distance, rate, seconds))
                if tried[-1] >= SOLVED:
                    break
            curves[name].append((distance, max(tried)))
        found = "".join(f"{accuracy:>8.2f}" for _, accuracy in curves[name])
        print(f"{name + f' ({size:,} weights)':<27}{found}", flush=True)
    return curves


def measure_length(most: int, lengths: Sequence[int], rounds: int) -> Curves:
    """Print and return the seconds of a training step for every sequence length."""
    chosen = {
        name: build()
        for name, build in networks(SYMBOLS, most, max(lengths)).items()
        if name in ("LSTM", "transformer")
    }
    curves: Curves = {name: [] for name in chosen}
    print("seconds a step, sequence length" + "".join(f"{each:>8}" for each in lengths))
    for length in lengths:
        ids = torch.randint(SYMBOLS, (CHARACTERS_A_STEP // length, length + 1))
        taken: dict[str, list[float]] = {name: [] for name in chosen}
        for _ in range(rounds + 1):
            for name, network in chosen.items():
                begin = time.perf_counter()
                logits = network(ids[:, :-1])
                functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
                taken[name].append(time.perf_counter() - begin)
        for name, seconds in taken.items():
            curves[name].append((length, statistics.median(seconds[1:])))
    for name, network in chosen.items():
        found = "".join(f"{seconds:>8.3f}" for _, seconds in curves[name])
        print(f"{name + f' ({parameters(network):,} weights)':<31}{found}")
    return curves


def measure_loss(source: Path, config: Path, minutes: float) -> Curves:
    """Print the loss of charrnn and of a transformer after the same minutes; return both."""
    text = source.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        options = ["--config", config, "--set", f"data.source={source}", "--minutes", minutes]
        charrnn("train", *options, "--out", run)
        score = charrnn("eval", "--run", run, "--window", WINDOW)["loss_nats"]
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    print(f"charrnn, {minutes:g} minutes: {score:.4f} nats per character in windows of {WINDOW}")
    transformer = train_transformer(text, minutes * 60)
    print(f"transformer, {minutes:g} minutes: {transformer[-1][1]:.4f} in the same windows")
    # On the way charrnn's losses are stateful: only the last one is of the same windows.
    return {"LSTM": [(last["seconds"], score)], "transformer": transformer}


def train_transformer(text: str, seconds: float) -> list[tuple[float, float]]:
    """Train a small transformer on the first nine tenths; return seconds and losses on the rest.

    The evaluations count for nothing; the learning rate follows a cosine of the time.
    """
    torch.manual_seed(1)
    symbols = sorted(set(text))
    place = {char: number for number, char in enumerate(symbols)}
    ids = torch.tensor([place[char] for char in text])
    cut = int(len(ids) * 0.9)
    train, valid = ids[:cut], ids[cut:]
    network = Transformer(len(symbols), 128, 4, WINDOW)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1
    )
    curve: list[tuple[float, float]] = []
    spent, steps = 0.0, 0
    while spent < seconds:
        begin = time.perf_counter()
        optimizer.param_groups[0]["lr"] = _rate(steps, spent / seconds)
        starts = torch.randint(len(train) - WINDOW - 1, (ROWS, 1))
        rows = train[starts + torch.arange(WINDOW + 1)]
        logits = network(rows[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps += 1
        spent += time.perf_counter() - begin
        if steps % 500 == 0 or spent >= seconds:
            curve.append((spent, windowed_loss(network, valid)))
    return curve


def _rate(step: int, share: float) -> float:
    """The learning rate: 100 steps of warm-up, then a cosine down to a tenth."""
    warm = min(1.0, (step + 1) / 100)
    return RATE * warm * (0.1 + 0.9 * (1 + math.cos(math.pi * min(share, 1.0))) / 2)


@torch.no_grad()
def windowed_loss(network: nn.Module, ids: Tensor) -> float:
    """Mean nats per character over windows that each begin from nothing, every character once."""
    total, count = 0.0, 0
    for windows in (
        ids[: (len(ids) - 1) // WINDOW * WINDOW + 1].unfold(0, WINDOW + 1, WINDOW).split(64)
    ):
        logits = network(windows[:, :-1])
        losses = functional.cross_entropy(
            logits.flatten(0, 1), windows[:, 1:].flatten(), reduction="sum"
        )
        total, count = total + float(losses), count + windows[:, 1:].numel()
    return total / count


def draw(curves: Curves, svg: Path, labels: tuple[str, str], *, log_y: bool = False) -> None:
    """Write one picture of all curves."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "charrnn"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4), layout="constrained")
    for name, points in curves.items():
        axes.plot(
            *zip(*points, strict=True), marker="o", markersize=4, color=COLORS[name], label=name
        )
    if log_y:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    if labels[0] == "seconds":
        axes.set_xlim(left=0)
    else:
        axes.set_xscale("log", base=2)
        ticks: Iterable[float] = [x for x, _ in next(iter(curves.values()))]
        axes.set_xticks(list(ticks), [f"{tick:,.0f}" for tick in ticks])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    svg.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(svg, metadata={"Date": None})


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(
        description="Where recurrent networks end and transformers begin."
    )
    parser.add_argument("what", choices=("recall", "length", "loss"))
    parser.add_argument("--weights", type=int, default=60_000, help="of every network")
    parser.add_argument("--seconds", type=float, default=30, help="of processor time, for recall")
    parser.add_argument("--distances", type=int, nargs="+", default=DISTANCES)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", type=Path, help="the text, for loss")
    parser.add_argument("--config", type=Path, default=Path("configs/shakespeare.yaml"))
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--svg", type=Path, help="where to draw the curves")
    given = parser.parse_args()
    if given.what == "recall":
        curves = measure_recall(given.weights, given.seconds, given.distances)
        labels = ("characters between question and answer", "accuracy")
    elif given.what == "length":
        curves = measure_length(given.weights * 10, given.lengths, given.rounds)
        labels = ("characters in a sequence", "seconds a step")
    else:
        if given.source is None:
            parser.error("loss needs --source")
        curves = measure_loss(given.source, given.config, given.minutes)
        labels = ("seconds", "validation loss, nats per character")
    if given.svg:
        draw(curves, given.svg, labels, log_y=given.what == "length")


if __name__ == "__main__":
    main()
