"""Two machines train one network: the bits of one process, whatever happens to a machine.

    python -m tests.campaigns.machines [--only CASE ...] [--kills N] [--rate GBITS] [--seed N]

The machines are network namespaces joined by a cable of 1 Gbit/s (see `namespaces`), with real
`torchrun`, and each with a disk of its own, unless a case says otherwise:

- same: stream and lines, AdamW and Muon, end with the bits of one process; process 0's machine has
  the run, the other has none;
- texts: another text on one machine is refused, the machine named;
- kills: a machine is killed at a random moment (everything on it, torchrun included) and torchrun
  is started there again: the training goes on from the last save;
- vanish: the cable is pulled out first, so that not even the end of a connection arrives: the
  other notices within train.process_timeout_seconds;
- hang: a process that only stands still (SIGSTOP) is noticed within that time;
- first: the machine that has process 0, and where they meet, is killed: the other ends, and
  `--resume` on both goes on;
- elsewhere: where torchrun may go on with fewer machines (`--nnodes 1:2`), process 0 comes to be
  on another one: it refuses to begin another run, and `--resume` goes on from a shared disk.

What is resumed must end with weights, optimiser, best model and metrics of the undisturbed
training, bit for bit. Prints one JSON object; the exit status is 1 if anything was lost, and 0 with
a reason where there are no rights for namespaces.
"""

import argparse
import contextlib
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charrnn.run.paths import CARD_FILE, METRICS_FILE
from tests.campaigns.kills import Failure, everything_learned, expect
from tests.campaigns.namespaces import Machine, NoRightsError, two_machines
from tests.corpora import prose, word_lines

ROOT = Path(__file__).parent.parent.parent
NUMBERED = (
    "--nnodes 2 --node-rank {number} --master-addr alpha --master-port 29500 --max-restarts 9"
)
ONCE = NUMBERED.replace("--max-restarts 9", "--max-restarts 0")
MEETING = "--nnodes 2 --rdzv-backend c10d --rdzv-endpoint alpha:29500 --max-restarts 9"
AS_MANY_AS_THERE_ARE = (
    "--nnodes 1:2 --rdzv-backend c10d --rdzv-endpoint beta:29500 --max-restarts 1 "
    "--rdzv-conf last_call_timeout=5"
)
"""Ways to start torchrun: machines that have numbers, and those that find each other."""
TIMEOUT_SECONDS = 20
NOTICED = "has ended, or does not answer"
CASE_SECONDS = 400
STEPS = 300
SETTINGS = {
    "model.hidden_size": 24,
    "model.dropout": 0.2,
    "train.batch_size": 8,
    "train.sequence_length": 24,
    "train.steps": STEPS,
    "train.parts": 2,
    "train.threads": 1,
    "train.precision": "float32",
    "train.kernel": "torch",
    "train.save_every_steps": 20,
    "train.eval_every_steps": 50,
    "train.log_every_steps": 5,
    "train.sample_every_steps": 100,
    "train.process_timeout_seconds": TIMEOUT_SECONDS,
}
TEXTS = {"stream": prose(1500), "lines": word_lines(80)}
MODES: dict[str, dict[str, object]] = {
    "stream": {"data.source": "stream.txt"},
    "lines": {"data.source": "lines.txt", "data.mode": "lines", "data.shuffle": True},
}
RUN = "runs/default"


@dataclass
class Pair:
    """Two machines, their disks, and the training that they share."""

    machines: tuple[Machine, Machine]
    folder: Path
    chance: random.Random
    tried: Counter[str] = field(default_factory=Counter)
    noticed_seconds: dict[str, float] = field(default_factory=dict)
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)

    def disks(self, *, shared: bool = False) -> None:
        """Give each machine an empty disk, or both the same."""
        for name in ("alpha", "beta", "shared"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.is_shared = shared
        self.started: dict[str, subprocess.Popen[bytes]] = {}
        for machine in self.machines:
            disk = self.disk(machine)
            disk.mkdir(exist_ok=True)
            for name, text in TEXTS.items():
                (disk / f"{name}.txt").write_text(text)
            self.output(machine).unlink(missing_ok=True)

    def disk(self, machine: Machine) -> Path:
        """The folder in which a machine works."""
        return self.folder / ("shared" if self.is_shared else machine.name)

    def output(self, machine: Machine) -> Path:
        """What a machine has said."""
        return self.folder / f"{machine.name}.txt"

    def run_of(self, machine: Machine) -> Path:
        """Where a machine has the run."""
        return self.disk(machine) / RUN

    def start(self, machine: Machine, *arguments: str, launch: str = NUMBERED) -> None:
        """Start torchrun on a machine."""
        number = self.machines.index(machine)
        launch = launch.format(number=number)
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1"]
        self.started[machine.name] = machine.start(
            *command,
            *launch.split(),
            *("-m", "charrnn", *(arguments or training("stream", "adamw"))),
            cwd=self.disk(machine),
            output=self.output(machine),
            environment={
                "PYTHONPATH": str(ROOT),
                "CHARRNN_DATA": str(self.disk(machine) / "data"),
                "OMP_NUM_THREADS": "1",
            },
        )

    def start_both(self, *arguments: str, launch: str = NUMBERED) -> None:
        """Start torchrun on both."""
        for machine in self.machines:
            self.start(machine, *arguments, launch=launch)

    def codes(self, *machines: Machine) -> list[int]:
        """Wait for torchrun on these machines, or on both; what it exits with."""
        try:
            return [
                self.started[machine.name].wait(CASE_SECONDS)
                for machine in machines or self.machines
            ]
        except subprocess.TimeoutExpired as error:
            raise Failure(f"it does not end: {self.said()}") from error

    def said(self) -> str:
        """The end of what both have said."""
        return "\n".join(
            f"{machine.name}: {self.output(machine).read_text(errors='replace')[-20_000:]}"
            for machine in self.machines
        )

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float) -> float:
        """Wait for something, no longer than so many seconds; returns how long it took."""
        begin = time.monotonic()
        while not holds():
            if time.monotonic() - begin > seconds:
                raise Failure(f"not in {seconds:.0f} s: {what}\n{self.said()}")
            time.sleep(0.05)
        return time.monotonic() - begin

    def wait_for_step(self, machine: Machine, step: int) -> None:
        """Wait until a machine's run has come so far, and a random moment more."""
        metrics = self.run_of(machine) / METRICS_FILE
        self.wait_until(lambda: last_step(metrics) >= step, f"step {step}", CASE_SECONDS)
        time.sleep(self.chance.uniform(0, 0.3))

    def wait_for_notice(self, machine: Machine, case: str) -> None:
        """Wait until a machine says that the other does not answer."""
        seconds = self.wait_until(
            lambda: NOTICED in self.output(machine).read_text(errors="replace"),
            f"{machine.name} notices",
            3 * TIMEOUT_SECONDS,
        )
        self.noticed_seconds[case] = round(seconds, 1)

    def ends_as_expected(
        self, machine: Machine, mode: str = "stream", optimizer: str = "adamw"
    ) -> None:
        """The run on a machine is that of one process, which nothing disturbed."""
        kind = f"{mode} {optimizer}"
        if kind not in self.expected:
            self.expected[kind] = self.by_one_process(*training(mode, optimizer))
        learned = everything_learned(self.run_of(machine))
        expect(learned.keys() == self.expected[kind].keys(), "there is more or less in the run")
        for name, value in self.expected[kind].items():
            expect(learned[name] == value, f"{name} is another\n{self.said()}")

    def by_one_process(self, *arguments: str) -> dict[str, Any]:
        """Train in a process alone; what it learned. The run stays in the folder `alone`."""
        alone = self.folder / "alone"
        shutil.rmtree(alone, ignore_errors=True)
        alone.mkdir()
        for name, text in TEXTS.items():
            (alone / f"{name}.txt").write_text(text)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARRNN_DATA": str(alone / "data")}
        command = [sys.executable, "-m", "charrnn", *arguments]
        subprocess.run(command, cwd=alone, env=environment, check=True, capture_output=True)
        return everything_learned(alone / RUN)


def training(mode: str, optimizer: str) -> tuple[str, ...]:
    """The command that begins the run."""
    settings: dict[str, object] = {**SETTINGS, **MODES[mode], "train.optimizer": optimizer}
    return ("train", *(f"--set={name}={str(value).lower()}" for name, value in settings.items()))


def last_step(metrics: Path) -> int:
    """The step of the last whole line of the metrics; 0 if there is none."""
    with contextlib.suppress(OSError):
        for line in reversed(metrics.read_text().splitlines(keepends=True)):
            if line.endswith("\n"):
                return int(json.loads(line)["step"])
    return 0


def same(pair: Pair, _kills: int) -> None:
    """Two machines end with the bits of one process."""
    alpha, beta = pair.machines
    for mode, optimizer, launch in (
        ("stream", "adamw", MEETING),
        ("stream", "muon", NUMBERED),
        ("lines", "adamw", NUMBERED),
    ):
        pair.disks()
        pair.start_both(*training(mode, optimizer), launch=launch)
        expect(pair.codes() == [0, 0], pair.said())
        pair.ends_as_expected(alpha, mode, optimizer)
        expect(not pair.run_of(beta).exists(), "the machine without process 0 has a run")
        pair.tried["trained by two machines"] += 1


def texts(pair: Pair, _kills: int) -> None:
    """Another text on one machine is refused by name."""
    alpha, beta = pair.machines
    pair.disks()
    (pair.disk(beta) / "stream.txt").write_text(prose(1501))
    pair.start_both(launch=ONCE)
    expect(0 not in pair.codes(), "two texts were trained on")
    expect("process 1 on beta has a text" in pair.said(), pair.said())
    expect(not (pair.run_of(alpha) / CARD_FILE).exists(), "a model was written")
    pair.tried["another text refused"] += 1


def kills(pair: Pair, count: int) -> None:
    """A machine that is killed and started again goes on from the last save."""
    alpha, beta = pair.machines
    for number in range(count):
        pair.disks()
        pair.start_both()
        for fewest, most in ((5, STEPS // 2), (STEPS // 2, STEPS - 40))[: 1 + number % 2]:
            pair.wait_for_step(alpha, pair.chance.randrange(fewest, most))
            beta.kill()
            pair.tried["beta killed"] += 1
            pair.start(beta)
        expect(pair.codes() == [0, 0], pair.said())
        pair.ends_as_expected(alpha)


def vanish(pair: Pair, _kills: int) -> None:
    """A machine that vanishes, so that no connection ends, is noticed in time."""
    alpha, beta = pair.machines
    pair.disks()
    pair.start_both()
    pair.wait_for_step(alpha, STEPS // 4)
    beta.set_cable("down")
    beta.kill()
    pair.tried["beta vanished"] += 1
    pair.wait_for_notice(alpha, "vanished")
    beta.set_cable("up")
    pair.start(beta)
    expect(pair.codes() == [0, 0], pair.said())
    pair.ends_as_expected(alpha)


def hang(pair: Pair, _kills: int) -> None:
    """A process that stands still is noticed in time."""
    alpha, beta = pair.machines
    pair.disks()
    pair.start_both()
    pair.wait_for_step(alpha, STEPS // 4)
    stopped = beta.processes()[-1]
    os.kill(stopped, signal.SIGSTOP)
    pair.tried["a process of beta stopped"] += 1
    pair.wait_for_notice(alpha, "hung")
    os.kill(stopped, signal.SIGCONT)
    expect(pair.codes() == [0, 0], pair.said())
    pair.ends_as_expected(alpha)


def first(pair: Pair, _kills: int) -> None:
    """The machine of process 0 ends, where they meet; --resume on both goes on."""
    alpha, beta = pair.machines
    pair.disks()
    pair.start_both(launch=ONCE)
    pair.wait_for_step(alpha, STEPS // 3)
    alpha.kill()
    pair.tried["alpha killed"] += 1
    expect(pair.codes(beta) != [0], "beta ended well without alpha")
    pair.start_both("train", "--resume")
    expect(pair.codes() == [0, 0], pair.said())
    pair.ends_as_expected(alpha)


def elsewhere(pair: Pair, _kills: int) -> None:
    """Where process 0 comes to be on another machine, it begins no other run."""
    alpha, beta = pair.machines
    for is_shared in (False, True):
        pair.disks(shared=is_shared)
        pair.start_both(launch=AS_MANY_AS_THERE_ARE)
        pair.wait_for_step(alpha, STEPS // 3)
        alpha.kill()
        pair.tried["alpha killed, beta alone"] += 1
        expect(pair.codes(beta) != [0], "beta trained another run")
        expect("not know which run to go on with" in pair.said(), pair.said())
        runs = list((pair.disk(beta) / "runs").glob("*"))
        expect(len(runs) == is_shared, f"beta began another run: {runs}")
        if is_shared:
            resuming = ("train", "--resume", "--out", RUN)
            pair.start(beta, *resuming, launch="--standalone")
            expect(pair.codes(beta) == [0], pair.said())
            pair.ends_as_expected(beta)


CASES: dict[str, Callable[[Pair, int], None]] = {
    case.__name__: case for case in (same, texts, kills, vanish, hang, first, elsewhere)
}


@contextlib.contextmanager
def pair_of_machines(gigabits: float, seed: int) -> Iterator[Pair]:
    """Two machines in a folder of their own."""
    with two_machines(gigabits) as machines, tempfile.TemporaryDirectory() as folder:
        yield Pair(machines, Path(folder), random.Random(seed))


def conduct(options: argparse.Namespace) -> dict[str, Any]:
    """Try every case; the figures: what was tried, how often, and what was lost."""
    begin, lost = time.monotonic(), []
    with pair_of_machines(options.rate, options.seed) as pair:
        for name in options.only or CASES:
            try:
                CASES[name](pair, options.kills)
            except (Failure, OSError, ValueError) as failure:
                lost.append(f"{name}: {failure}")
                sys.stderr.write(f"{lost[-1]}\n")
            for machine in pair.machines:
                machine.kill()
            seconds = time.monotonic() - begin
            sys.stderr.write(f"{name}: {len(lost)} lost, {seconds:.0f} s since the beginning\n")
        return {
            "tried": dict(pair.tried),
            "noticed_seconds": pair.noticed_seconds,
            "timeout_seconds": TIMEOUT_SECONDS,
            "lost": lost,
            "seconds": round(time.monotonic() - begin),
        }


def parsed() -> argparse.Namespace:
    """The options; without any, every case once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), help="all, if left out")
    parser.add_argument("--kills", type=int, default=4, help="trainings whose machines are killed")
    parser.add_argument("--rate", type=float, default=1.0, help="of the cable, in Gbit/s")
    parser.add_argument("--seed", type=int, default=1, help="the random seed of all moments")
    return parser.parse_args()


if __name__ == "__main__":
    asked = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the machines are removed
    try:
        figures = conduct(asked)
    except NoRightsError as reason:
        sys.stderr.write(f"skipped: {reason}\n")
        sys.exit(0)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if figures["lost"] else 0)
