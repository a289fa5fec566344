"""Real torchrun: any number of processes trains the same network, whatever happens to them.

    python -m tests.campaigns.processes --kills 50 --stops 20
    python -m tests.campaigns.processes --kinds lstm-stream-adamw --kills 3 --stops 1

For each cell, mode and optimiser, one process with one and with two threads, and torchrun with one,
two and four processes must end with the same weights, moments, metrics and samples, bit for bit
(apart from seconds). Then, under `torchrun --max-restarts`, a random process is killed at a random
moment, again and again, from its start on; and the whole group is stopped by SIGTERM at one of its
processes or at torchrun itself, and resumed, with two, four or one process. Nothing may be lost,
and the end must be the undisturbed one. Prints one JSON object; the exit status is 1 if anything
differed.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.campaigns.kills import KINDS, everything_learned
from tests.corpora import prose, word_lines

PARTS = 4
SETTINGS = (
    "--set=model.hidden_size=16",
    "--set=model.embedding_size=8",
    "--set=model.dropout=0.2",
    "--set=model.weight_dropout=0.2",
    "--set=train.batch_size=8",
    "--set=train.sequence_length=24",
    "--set=train.steps=120",
    "--set=train.average_fraction=0.2",
    "--set=train.save_every_steps=15",
    "--set=train.eval_every_steps=40",
    "--set=train.log_every_steps=10",
    "--set=train.sample_every_steps=50",
    "--set=train.precision=float32",
    "--set=train.kernel=torch",
    f"--set=train.parts={PARTS}",
)
LONG = (
    "--set=train.steps=2000",
    "--set=train.save_every_steps=100",
    "--set=train.eval_every_steps=500",
)
"""Of the trainings that are disturbed: a few seconds each."""
SECONDS = 600
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
ROOT = Path(__file__).parent.parent.parent


def settings_of(kind: str) -> tuple[str, ...]:
    """The command line of a kind, such as `gru-lines-muon`."""
    cell, mode, optimizer = kind.split("-")
    return (
        *KINDS[mode],
        *SETTINGS,
        f"--set=model.cell={cell}",
        f"--set=train.optimizer={optimizer}",
    )


def command(
    processes: int, threads: int, out: Path | str, *arguments: str, restarts: int = 0
) -> list[str]:
    """One training; 0 processes is one without torchrun."""
    train = ("charrnn", "train", *arguments, f"--set=train.threads={threads}", f"--out={out}")
    if not processes:
        return [sys.executable, "-m", *train]
    return [*TORCHRUN, f"--nproc-per-node={processes}", f"--max-restarts={restarts}", "-m", *train]


def run(folder: Path, processes: int, threads: int, out: str, *arguments: str) -> None:
    """Train to the end."""
    done = subprocess.run(
        command(processes, threads, out, *arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def environment() -> dict[str, str]:
    """What processes are started with."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def same_bits(folder: Path, kind: str) -> list[str]:
    """Train in every setting; name those that end otherwise than one thread does."""
    settings = settings_of(kind)
    run(folder, 0, 1, "one", *settings)
    expected, odd = everything_learned(folder / "one"), []
    for processes, threads in ((0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (4, 1)):
        out = f"{processes}-{threads}"
        run(folder, processes, threads, out, *settings)
        learned = everything_learned(folder / out)
        if learned != expected:
            names = [name for name in expected if learned.get(name) != expected[name]]
            odd.append(f"{kind}: {processes} processes, {threads} threads: {', '.join(names)}")
    return odd


class Disturbed:
    """A training under torchrun that can be hit."""

    def __init__(self, folder: Path, processes: int, out: str, *arguments: str) -> None:
        self.log = folder / "disturbed.txt"
        with self.log.open("ab") as log:
            self.torchrun = subprocess.Popen(
                command(processes, 1, out, *arguments, restarts=1000),
                cwd=folder,
                env=environment(),
                stdout=log,
                stderr=log,
            )

    def workers(self) -> list[int]:
        """The ids of the processes that train, or are about to."""
        children = Path(f"/proc/{self.torchrun.pid}/task")
        ids = [
            int(child) for task in children.glob("*/children") for child in task.read_text().split()
        ]
        return [each for each in ids if b"train" in Path(f"/proc/{each}/cmdline").read_bytes()]

    def hit(self, number: int, target: int | None = None) -> bool:
        """Send a signal to a random process of the group; whether there was any."""
        workers = self.workers()
        if target is None and not workers:
            return False
        try:
            os.kill(target or random.choice(workers), number)
        except ProcessLookupError:
            return False
        return True

    def is_over(self, seconds: float) -> bool:
        """Whether torchrun has ended, within some time."""
        try:
            self.torchrun.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def kill(folder: Path, kills: int, seed: int, counts: Counter[str]) -> list[str]:
    """Kill random processes at random moments; name the trainings that end otherwise."""
    chance, odd = random.Random(seed), []
    settings = (*settings_of("lstm-stream-adamw"), *LONG)
    run(folder, 0, 1, "undisturbed", *settings)
    expected = everything_learned(folder / "undisturbed")
    number = 0
    while counts["kills"] < kills:
        disturbed = Disturbed(folder, 2 + 2 * (number % 2), f"killed-{number}", *settings)
        # A few in one training; then it is left alone, to come to its end.
        for _ in range(chance.randint(2, 6)):
            if disturbed.is_over(chance.uniform(0.5, 12)):
                break
            counts["kills"] += disturbed.hit(signal.SIGKILL)
        if not disturbed.is_over(SECONDS):
            disturbed.torchrun.kill()
            odd.append(f"killed-{number} hangs")
        elif disturbed.torchrun.returncode:
            odd.append(f"killed-{number} ended with {disturbed.torchrun.returncode}")
        elif everything_learned(folder / f"killed-{number}") != expected:
            odd.append(f"killed-{number} differs")
        counts["killed trainings"] += 1
        number += 1
    return odd


def stop(folder: Path, stops: int, seed: int, counts: Counter[str]) -> list[str]:
    """Stop the group by one of its processes or by torchrun, and resume it with others."""
    chance, odd = random.Random(seed), []
    settings = (*settings_of("gru-stream-muon"), *LONG)
    run(folder, 0, 1, "whole", *settings)
    expected = everything_learned(folder / "whole")
    number = 0
    while counts["stops"] < stops:
        out, arguments = f"stopped-{number}", settings
        number += 1
        for attempt in itertools.count():
            disturbed = Disturbed(folder, chance.choice((2, 4)), out, *arguments)
            wait_for_step(folder / out, attempt, disturbed)
            target = chance.choice((None, disturbed.torchrun.pid))
            if disturbed.is_over(chance.uniform(0, 3)) or not disturbed.hit(signal.SIGTERM, target):
                break
            counts["stops"] += 1
            counts["by torchrun" if target else "by one process"] += 1
            if not disturbed.is_over(SECONDS):
                odd.append(f"{out} hangs")
                disturbed.torchrun.kill()
            elif target is None and disturbed.torchrun.returncode:
                odd.append(f"{out} was stopped with {disturbed.torchrun.returncode}")
            arguments = ("--resume",)
        run(folder, 0, 1, out, "--resume")
        if everything_learned(folder / out) != expected:
            odd.append(f"{out} differs")
    return odd


def wait_for_step(run_folder: Path, attempt: int, disturbed: Disturbed) -> None:
    """Wait until a training has begun: before that, SIGTERM ends it like any other command."""
    log = run_folder.parent / "disturbed.txt"
    begun = log.read_bytes().count(b" steps on ")
    while disturbed.torchrun.poll() is None and log.read_bytes().count(b" steps on ") == begun:
        time.sleep(0.05)


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    every = [
        "-".join(each)
        for each in itertools.product(("lstm", "gru", "rnn"), KINDS, ("adamw", "muon"))
    ]
    parser.add_argument("--kinds", nargs="*", default=every, help="cell-mode-optimizer")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begin, counts, odd = time.monotonic(), Counter[str](), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in given.kinds:
            inner = folder / kind
            prepare_folder(inner)
            odd += same_bits(inner, kind)
            shutil.rmtree(inner)
            counts["kinds"] += 1
        for work, wanted in ((kill, given.kills), (stop, given.stops)):
            inner = folder / work.__name__
            prepare_folder(inner)
            odd += work(inner, wanted, given.seed, counts) if wanted else []
    seconds = round(time.monotonic() - begin)
    print(json.dumps({**counts, "differing": odd, "seconds": seconds}))  # noqa: T201
    sys.exit(bool(odd))


def prepare_folder(folder: Path) -> None:
    """Make a folder with the texts."""
    folder.mkdir()
    (folder / "stream.txt").write_text(prose(3000))
    (folder / "lines.txt").write_text(word_lines(120))


if __name__ == "__main__":
    main()
