"""What several processes and machines cost, what they gain, and what is predicted of more of them.

    python -m benchmarks.scaling [--only exchange match step share] [--rounds 7] [--write]
    python -m benchmarks.scaling --predict

- exchange: the seconds in which processes add up a gradient, by its size: 2 and 4 on this machine,
  and 2 on two machines, which are network namespaces joined by a cable of 1 and of 10 Gbit/s
  (see `tests.campaigns.namespaces`; left out where there are no rights for that);
- match: characters per second of one process with two threads and of two processes with one
  thread, in turns, each in processes of their own that are idle while they are not asked;
- step: the characters per second of one process with two threads, for the sizes that are predicted;
- share: what a training spends on evaluations and saves.

Prints medians, and the lowest and the highest. `--write` puts what was measured into
benchmarks/scaling.json and, with what is predicted from it, into docs/scaling.md; `--predict`
predicts from that file alone.
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

from charrnn.training.evaluator import LEARNING_COST
from tests.campaigns.namespaces import CABLE, Machine, NoRightsError, two_machines
from tests.corpora import prose

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "benchmarks" / "scaling.json"
DOCUMENT = ROOT / "docs" / "scaling.md"
VALUES = (1, 250_000, 1_000_000, 4_000_000, 16_000_000)
RATES = (1, 10)
PORT = 29_600
VOCABULARY, EMBEDDING, LENGTH, ROWS = 67, 64, 64, 64
MATCHED = ("1x384", "1x512", "2x512")
PREDICTED = ("1x512", "2x1024", "3x2048")
SHORT_LENGTH = 16
"""Characters a row in which the speed of the predicted sizes is measured."""
STEPS_A_ROUND = 2
SHARE_STEPS = 24
BYTES = 4
SAVED_BYTES = 12
"""A weight and AdamW's two moments of it."""
SCORED_A_LEARNED = LEARNING_COST * 0.1
"""Characters scored for each that is learned, by train.eval_time_fraction's default."""
SAVE_EVERY_STEPS = 500
MACHINES = (2, 4, 8, 16, 32, 64)
PREDICTED_RATES = (1, 10, 100)

Figures = dict[str, Any]
Work = Callable[[str], Any]
"""What a server does for each line, and answers."""


class Times(NamedTuple):
    """Seconds: the median, the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """What many measurements amount to."""
        return cls(median(seconds), min(seconds), max(seconds))


class Server:
    """A process of this benchmark that does something once for each line that it is sent."""

    def __init__(
        self,
        work: str,
        *arguments: object,
        rank: int = 0,
        size: int = 1,
        machine: Machine | None = None,
        address: str = "127.0.0.1",
        port: int = PORT,
    ) -> None:
        places = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": address, "MASTER_PORT": port}
        if machine is None:
            places |= {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size}
            device = "lo"
        else:
            places |= {"LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
            device = CABLE
        environment = {name: str(value) for name, value in places.items()}
        environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": device}
        command = [sys.executable, "-m", "benchmarks.scaling", "--serve", work]
        self._process = subprocess.Popen(
            [*(machine.entering() if machine else []), *command, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: object) -> None:
        """Let it do its work once."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What it says of that."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark has failed")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Group:
    """Processes that do the same at the same time."""

    def __init__(
        self, work: str, *arguments: object, size: int, machines: Sequence[Machine] = ()
    ) -> None:
        at: dict[str, Any] = {"address": machines[0].address} if machines else {"port": free_port()}
        self._servers = [
            Server(
                work,
                *arguments,
                rank=rank,
                size=size,
                machine=machines[rank] if machines else None,
                **at,
            )
            for rank in range(size)
        ]

    def ask(self, what: object = "") -> Any:
        """What process 0 says when all have done their work once."""
        for server in self._servers:
            server.ask(what)
        answer, *_ = [server.answer() for server in self._servers]
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End them."""
        for server in self._servers:
            server.close()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def serve(work: str, arguments: list[str]) -> None:
    """Do the work for each line of stdin, and print what it returns."""
    do = WORK[work](*arguments)
    for line in sys.stdin:
        print(json.dumps(do(line.strip())), flush=True)


def this_group() -> Any:
    """The process group that the environment tells of; process 0 has the store."""
    from torch._C._distributed_c10d import TCPStore

    from charrnn.training.process_group import ProcessGroup
    from charrnn.training.torch_process_group import TorchProcessGroup

    if os.environ["WORLD_SIZE"] == "1":
        return ProcessGroup()
    if os.environ["RANK"] == "0":
        STORES.append(
            TCPStore(
                os.environ["MASTER_ADDR"],
                int(os.environ["MASTER_PORT"]),
                is_master=True,
                wait_for_workers=False,
            )
        )
    return TorchProcessGroup()


STORES: list[Any] = []
"""Keeps the store of this process alive."""


def exchanging() -> Work:
    """Add up as many values as are asked for; seconds."""
    import torch

    from charrnn.training.step import tune_malloc

    tune_malloc()
    group = this_group()

    def exchange(values: str) -> float:
        mine = torch.ones(int(values))
        group.first(lambda: None)
        begin = time.perf_counter()
        group.total([mine])
        return time.perf_counter() - begin

    return exchange


def stepping(size: str, optimizer: str, threads: str, length: str, steps: str) -> Work:
    """Take some steps of training; seconds for each."""
    import torch

    from charrnn.config.schema import ModelConfig, TrainConfig
    from charrnn.training import kernels
    from charrnn.training.batches import Batch
    from charrnn.training.initialization import init_weights
    from charrnn.training.model import CharRNN, torch_threads
    from charrnn.training.step import TrainingStep

    torch.manual_seed(0)
    layers, hidden = map(int, size.split("x"))
    model_config = ModelConfig(hidden_size=hidden, layers=layers, embedding_size=EMBEDDING)
    model = CharRNN(model_config, VOCABULARY)
    init_weights(model, unknown_id=1)
    config = TrainConfig(
        optimizer=optimizer,  # type: ignore[arg-type]
        kernel="native" if kernels.available() else "torch",
        precision="float32",
        threads=int(threads),
        parts=2,
    )
    training_step, indices = TrainingStep(model, config, this_group()), itertools.count()
    ids, targets = torch.randint(VOCABULARY, (2, ROWS, int(length)))
    batch = Batch(ids, targets, ids.numel())
    state_SLBH = training_step.initial_state(ROWS)

    def step(_asked: str) -> float:
        begin = time.perf_counter()
        with torch_threads(1):
            for _step in range(int(steps)):
                training_step.step(next(indices), batch, state_SLBH, 0.001)
        return (time.perf_counter() - begin) / int(steps)

    return step


def training(size: str, source: str, run: str) -> Work:
    """Train as `charrnn train` does; the seconds of steps, evaluations and saves."""
    from charrnn.config.schema import Config, DataConfig, ModelConfig, TrainConfig
    from charrnn.run.writer import RunWriter
    from charrnn.text.prepare import prepare
    from charrnn.training import kernels
    from charrnn.training.events import Evaluated, Stepped
    from charrnn.training.model import new_model
    from charrnn.training.trainer import Trainer

    layers, hidden = map(int, size.split("x"))
    config = Config(
        data=DataConfig(source=source),
        model=ModelConfig(hidden_size=hidden, layers=layers, embedding_size=EMBEDDING),
        train=TrainConfig(
            batch_size=ROWS,
            sequence_length=LENGTH,
            steps=SHARE_STEPS,
            eval_every_steps=SHARE_STEPS // 3,
            save_every_steps=SHARE_STEPS // 3,
            sample_every_steps=0,
            kernel="native" if kernels.available() else "torch",
            precision="float32",
            threads=2,
        ),
    )
    corpus = prepare(config.data, data_dir=Path(run, "data")).corpus

    def train(_asked: str) -> Figures:
        model = new_model(config, corpus)
        with RunWriter.claim(Path(run, "run"), corpus.vocabulary) as writer:
            trainer = Trainer(config, corpus, model, writer)
            ends, scored = [], []
            for event in trainer.run():
                if isinstance(event, Stepped):
                    ends.append(event.seconds)
                elif isinstance(event, Evaluated):
                    scored.append(trainer.evaluator.seconds_a_char)
        chars = ROWS * LENGTH
        gaps = [after - before for before, after in itertools.pairwise(ends)]
        return {
            "weights": sum(parameter.numel() for parameter in model.parameters()),
            "learned_char_seconds": median(gaps) / chars,
            "scored_char_seconds": median(scored),
            "save_seconds": trainer.saving_seconds / trainer.saves,
        }

    return train


WORK: dict[str, Callable[..., Work]] = {
    "exchange": exchanging,
    "step": stepping,
    "training": training,
}


def times_of(group: Group, rounds: int, what: object = "") -> Times:
    """The seconds that a group answers, after an answer that does not count."""
    return Times.of([float(group.ask(what)) for _ in range(rounds + 1)][1:])


def measure_exchange(rounds: int) -> Figures:
    """The seconds of an exchange, by where it is and by how many values it has."""
    sizes = "".join(f"{BYTES * values / 1e6:10g}" for values in VALUES)
    print(f"exchange: milliseconds, medians {sizes} MB   highest / lowest")
    figures: Figures = {}

    def measure(name: str, size: int, machines: Sequence[Machine] = ()) -> None:
        with Group("exchange", size=size, machines=machines) as group:
            times = [times_of(group, rounds, values) for values in VALUES]
        shown = "".join(f"{1000 * each.median:10.2f}" for each in times)
        spread = max(each.highest / each.lowest for each in times)
        print(f"  {name:30}{shown}{spread:10.1f}", flush=True)
        figures[name] = [each.median for each in times]

    for size in (2, 4):
        measure(f"{size} processes, one machine", size)
    for rate in RATES:
        try:
            with two_machines(rate) as machines:
                measure(f"2 machines, {rate} Gbit/s", 2, machines)
        except NoRightsError as reason:
            print(f"  two machines are left out: {reason}")
            break
    return figures


def measure_match(rounds: int) -> Figures:
    """Two processes with one thread against one process with two, in turns."""
    print("\nmatch: characters per second, medians (lowest to highest)")
    figures: Figures = {}
    for optimizer, size in itertools.product(("adamw", "muon"), MATCHED):
        work = ("step", size, optimizer)
        with (
            Group(*work, 2, LENGTH, STEPS_A_ROUND, size=1) as threads,
            Group(*work, 1, LENGTH, STEPS_A_ROUND, size=2) as processes,
        ):
            asked = [(threads.ask(), processes.ask()) for _ in range(rounds + 1)][1:]
        alone, two = (Times.of(seconds) for seconds in zip(*asked, strict=True))
        ratio = median(one / other for one, other in asked)
        shown = [
            f"{ROWS * LENGTH / each.median:7,.0f} "
            f"({ROWS * LENGTH / each.highest:,.0f} to {ROWS * LENGTH / each.lowest:,.0f})"
            for each in (alone, two)
        ]
        print(f"  {size:7}{optimizer:7}1 × 2: {shown[0]:28} 2 × 1: {shown[1]:28} {ratio:.2f}")
        figures[f"{size} {optimizer}"] = ratio
    return figures


def measure_step(rounds: int) -> Figures:
    """Characters per second of one process with two threads."""
    print(f"\nstep: characters per second, {ROWS} rows, two threads, medians (lowest to highest)")
    figures: Figures = {}
    for size in PREDICTED:
        with Group("step", size, "adamw", 2, SHORT_LENGTH, 1, size=1) as group:
            times = times_of(group, min(rounds, 3))
        speeds = [ROWS * SHORT_LENGTH / each for each in times]
        print(f"  {size:8}{speeds[0]:9,.0f} ({speeds[2]:,.0f} to {speeds[1]:,.0f})", flush=True)
        figures[size] = speeds[0]
    return figures


def measure_share(_rounds: int) -> Figures:
    """What evaluations and saves of a training cost."""
    print("\nshare: of the time of a training that evaluates and saves every 500 steps")
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "text.txt")
        source.write_text(prose(60_000))
        for size in MATCHED:
            with Group("training", size, source, Path(folder, size), size=1) as group:
                told = group.ask()
            step = told["learned_char_seconds"] * ROWS * LENGTH
            scored = told["scored_char_seconds"] / told["learned_char_seconds"]
            evaluation = SCORED_A_LEARNED * scored
            save = told["save_seconds"] / SAVE_EVERY_STEPS / step
            evaluation, save = (each / (1 + evaluation + save) for each in (evaluation, save))
            print(
                f"  {size:8}step {step:6.3f} s   scoring a character / learning from it "
                f"{scored:5.2f}   evaluation {evaluation:6.1%}   "
                f"save {told['save_seconds']:6.3f} s = {save:.2%}",
                flush=True,
            )
            figures[size] = {
                "scored_to_learned": scored,
                "evaluation": evaluation,
                "save_seconds_a_byte": told["save_seconds"] / told["weights"] / SAVED_BYTES,
                "save": save,
            }
    return figures


MEASURE: dict[str, Callable[[int], Figures]] = {
    "exchange": measure_exchange,
    "match": measure_match,
    "step": measure_step,
    "share": measure_share,
}


class Costs(NamedTuple):
    """The constants of the model of what a step costs, as measured."""

    message_seconds: float
    """Of an exchange with one other process, however little is sent."""
    byte_seconds: float
    """What the processor has to do for each byte that goes out and comes in."""
    save_byte_seconds: float
    scored_to_learned: float
    """Seconds to score a character, beside those to learn from it."""

    @classmethod
    def of(cls, figures: Figures) -> "Costs":
        """What the figures say."""
        times = figures["exchange"]["2 processes, one machine"]
        sent = BYTES * VALUES[-1]
        shares = figures["share"].values()
        return cls(
            times[0],
            (times[-1] - times[0]) / sent,
            median(each["save_seconds_a_byte"] for each in shares),
            median(each["scored_to_learned"] for each in shares),
        )


def weights_of(size: str) -> int:
    """The weights of an LSTM network of a size."""
    layers, hidden = map(int, size.split("x"))
    inputs = [EMBEDDING, *[hidden] * (layers - 1)]
    cells = sum(4 * hidden * (each + hidden + 2) for each in inputs)
    return cells + VOCABULARY * (EMBEDDING + hidden + 1)


def efficiency(size: str, speed: float, machines: int, gigabits: float, costs: Costs) -> float:
    """The speed of machines that have ROWS rows each, beside as many times that of one.

    Seconds for each step: learning, exchange of the gradient, evaluation with the exchange of its
    states, and the share of a save, whose bytes first go to every machine.
    """
    layers, hidden = map(int, size.split("x"))
    others = machines - 1
    wire = 8 / (gigabits * 1e9)
    gradient, chars = BYTES * weights_of(size), ROWS * LENGTH
    learn = chars / speed
    score = SCORED_A_LEARNED * costs.scored_to_learned * learn
    saved_bytes = SAVED_BYTES * weights_of(size)
    save = costs.save_byte_seconds * saved_bytes / SAVE_EVERY_STEPS
    alone = learn + score + save
    if machines == 1:
        return 1.0
    sent = 2 * gradient * others / machines
    exchange = others * costs.message_seconds + sent * max(wire, costs.byte_seconds)
    pieces = SCORED_A_LEARNED * chars / LENGTH
    states = pieces * others * BYTES * (LENGTH + 1 + 2 * layers * hidden)
    gathered = states * max(wire, costs.byte_seconds)
    copied = saved_bytes * max(wire, costs.byte_seconds) / SAVE_EVERY_STEPS
    return alone / (alone + exchange + gathered + copied)


def prediction(figures: Figures) -> str:
    """The table of what is predicted, in Markdown."""
    costs = Costs.of(figures)
    lines = [
        "| network | weights | Gbit/s | " + " | ".join(map(str, MACHINES)) + " |",
        "|---|---|---|" + "---|" * len(MACHINES),
    ]
    for size, rate in itertools.product(PREDICTED, PREDICTED_RATES):
        speed = figures["step"][size]
        cells = [f"{efficiency(size, speed, n, rate, costs):.0%}" for n in MACHINES]
        name = size.replace("x", " × ")
        lines.append(f"| {name} | {weights_of(size) / 1e6:.1f} M | {rate} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tables(figures: Figures) -> dict[str, str]:
    """The tables of the document, by the names of their places in it."""
    costs = Costs.of(figures)
    exchange = [
        "| where | " + " | ".join(f"{BYTES * n / 1e6:g} MB" for n in VALUES[1:]) + " |",
        "|---|" + "---|" * (len(VALUES) - 1),
        *(
            f"| {where} | " + " | ".join(f"{1000 * each:.0f}" for each in times[1:]) + " |"
            for where, times in figures["exchange"].items()
        ),
    ]
    match = ["| network | AdamW | Muon |", "|---|---|---|"]
    for size in MATCHED:
        ratios = (figures["match"][f"{size} {name}"] for name in ("adamw", "muon"))
        match.append(f"| {size.replace('x', ' × ')} | {' | '.join(f'{r:.2f}' for r in ratios)} |")
    share = ["| network | evaluation | saving |", "|---|---|---|"]
    for size, told in figures["share"].items():
        name = size.replace("x", " × ")
        share.append(f"| {name} | {told['evaluation']:.1%} | {told['save']:.2%} |")
    constants = [
        "| constant | measured |",
        "|---|---|",
        *(
            f"| characters per second of a machine, {size.replace('x', ' × ')} | {speed:,.0f} |"
            for size, speed in figures["step"].items()
        ),
        f"| an exchange of nothing between two processes | {1e3 * costs.message_seconds:.2f} ms |",
        f"| the processor's work for a byte sent | {1e9 * costs.byte_seconds:.2f} ns |",
        f"| scoring a character / learning from it | {costs.scored_to_learned:.2f} |",
        f"| writing a byte of a save | {1e9 * costs.save_byte_seconds:.2f} ns |",
    ]
    written = {"exchange": exchange, "match": match, "share": share, "constants": constants}
    return {name: "\n".join(lines) for name, lines in written.items()} | {
        "prediction": prediction(figures)
    }


def with_tables(document: str, figures: Figures) -> str:
    """The document with its tables drawn anew."""
    for name, table in tables(figures).items():
        before, begin, rest = document.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert end, name
        document = f"{before}{begin}{table}\n{end}{after}"
    return document


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(MEASURE), help="all, if left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="into scaling.json and scaling.md")
    parser.add_argument("--predict", action="store_true", help="from scaling.json; measure nothing")
    parser.add_argument("--serve", nargs="+", metavar="WORK", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], options.serve[1:])
        return
    figures: Figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if options.predict:
        print(prediction(figures))
        return
    for name in options.only or MEASURE:
        figures[name] = MEASURE[name](options.rounds)
        if options.write:
            FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    if options.write:
        DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), figures))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
