"""SIGKILL at any moment: nothing that was saved is lost, and the training ends as if undisturbed.

    python -m tests.campaigns.kills --kills 1000
    python -m tests.campaigns.kills [--every N] [--random N] [--signals N] [--cold N] [--seed N]

Real trainings are killed, each in a process of its own:

- at chosen moments: before the n-th file operation (open, rename, fsync, link, remove, ...) of a
  training, for every n, or every N-th; the next one kills the resumed training again;
- at random moments, by the clock;
- by Ctrl-C and SIGTERM at random moments, which must save and exit with 130 or 143;
- from a cold start, as a shell starts them, with all that is imported and prepared.

After every kill `generate` and `eval` must work with weights that the undisturbed training had
too, or say that there are none yet; `--resume` must go on, or say that nothing was saved. In the
end weights, optimiser, best model and metrics (apart from seconds) must be those of the
undisturbed training, bit for bit. A killed resume counts as one more kill. Prints one JSON object,
after Ctrl-C too; the exit status is 1 if anything was lost.
"""

import argparse
import contextlib
import itertools
import json
import math
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

from safetensors.numpy import load_file

from charrnn.cli.app import main
from charrnn.errors import ExitCode
from charrnn.run.paths import CARD_FILE, CONFIG_FILE, METRICS_FILE, SAMPLES_FILE, WEIGHTS_FILE
from tests import preloaded  # noqa: F401 - loaded once, for all that is forked
from tests.corpora import prose, word_lines

STREAM = ("--set=data.source=stream.txt",)
LINES = ("--set=data.source=lines.txt", "--set=data.mode=lines", "--set=data.shuffle=true")
KINDS = {"stream": STREAM, "lines": LINES}
SETTINGS = (
    "--set=model.hidden_size=12",
    "--set=model.embedding_size=8",
    "--set=model.dropout=0.3",
    "--set=model.input_dropout=0.1",
    "--set=train.batch_size=4",
    "--set=train.sequence_length=24",
    "--set=train.steps=18",
    "--set=train.warmup_steps=2",
    "--set=train.average_fraction=0.3",
    "--set=train.logit_scale=0.9",
    "--set=train.save_every_steps=5",
    "--set=train.eval_every_steps=4",
    "--set=train.log_every_steps=3",
    "--set=train.sample_every_steps=7",
    "--set=train.keep=1",
    "--set=train.precision=float32",
    "--set=train.threads=1",
)
FILE_OPERATIONS = frozenset(
    {"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.chmod", "os.truncate"}
)
"""What Python's audit events tell of; fsync is counted apart."""
RUN = Path("run")
KILLED = -signal.SIGKILL


class Failure(Exception):  # noqa: N818 - an outcome of the campaign
    """Something was lost."""


def everything_learned(run: Path) -> dict[str, Any]:
    """All that two equal trainings must agree in."""
    lines = [json.loads(line) for line in (run / METRICS_FILE).read_text().splitlines()]
    samples = (run / SAMPLES_FILE).read_text()
    state = load_file(run / "last/state.safetensors")
    return {
        "samples": samples,
        "metrics": [{key: line[key] for key in line if key != "seconds"} for line in lines],
        "card": json.loads((run / CARD_FILE).read_text()),
        "best": (run / WEIGHTS_FILE).read_bytes(),
        **{name: array.tobytes() for name, array in state.items()},
    }


def in_child(*arguments: str, kill_at: int | None = None) -> int:
    """Start a command in a process forked from this one; returns its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Held back until the child is within its `try`: no exception may lead it out of this function.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return child
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        with Path("output.txt").open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        counter = OperationCounter(kill_at)
        sys.addaudithook(counter.heard)
        os.fsync = counter.counted(os.fsync)  # type: ignore[assignment]
        main(list(arguments))
    except SystemExit as end:
        Path("operations.txt").write_text(str(counter.count))
        code = int(end.code or 0)
    except KeyboardInterrupt:  # before charrnn had begun
        code = ExitCode.INTERRUPTED
    finally:
        os._exit(code)


class OperationCounter:
    """Counts the operations on files in the run directory, and may kill before one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.count = 0
        self.kill_at = kill_at

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count an audit event if it is about a file of the run."""
        if event in FILE_OPERATIONS and arguments and str(arguments[0]).startswith(str(RUN)):
            self.one_more()

    def counted(self, operation: Callable[[int], None]) -> Callable[[int], None]:
        """An operation that is counted."""

        def counting(descriptor: int) -> None:
            self.one_more()
            operation(descriptor)

        return counting

    def one_more(self) -> None:
        """Count one operation, or end here, before it."""
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def ended(child: int) -> int:
    """Wait for a process; its exit code, or minus the signal that ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def run_to_end(*arguments: str, kill_at: int | None = None) -> int:
    """Run a command in a process of its own; returns its exit code."""
    return ended(in_child(*arguments, kill_at=kill_at))


def output() -> str:
    """What the last command said."""
    return Path("output.txt").read_text(errors="replace")


@dataclass
class Campaign:
    """One kind of training, undisturbed once and then disturbed in every way."""

    kind: str
    chance: random.Random
    tried: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Train undisturbed, once for all to compare with."""
        shutil.rmtree(RUN, ignore_errors=True)
        for command in (("prepare", *KINDS[self.kind]), self.training):
            begin = time.monotonic()
            if run_to_end(*command) != 0:
                raise Failure(output())
        self.seconds = time.monotonic() - begin
        self.operations = int(Path("operations.txt").read_text())
        self.expected = everything_learned(RUN)
        self.evaluated = {
            (line["step"], line["valid_loss_nats"])
            for line in self.expected["metrics"]
            if "valid_loss_nats" in line
        }

    @property
    def kills(self) -> int:
        """How often a process was killed so far, resumed ones included; Ctrl-C is no kill."""
        return sum(count for way, count in self.tried.items() if not way.startswith("by SIG"))

    @property
    def training(self) -> tuple[str, ...]:
        """The command that begins the run."""
        return ("train", f"--out={RUN}", *SETTINGS, *KINDS[self.kind])

    def at_chosen_moments(self, first: int, every: int) -> None:
        """Kill before each file operation from one on, and then before one of the resumed run."""
        for number in range(first, self.operations + 1, every):
            with self._trial("before a file operation", f"operation {number}"):
                expect(run_to_end(*self.training, kill_at=number) == KILLED, "it was not killed")
                self._can_be_used()
                again = self.chance.randrange(1, self.operations)
                if self._resume(kill_at=again) == KILLED:
                    self.tried["before a file operation, resumed"] += 1
                    self._can_be_used()
                self._ends_as_expected()

    def at_random_moments(self, count: int, kills: int) -> None:
        """Kill by the clock, often twice in a row: `count` times, then until `kills` in all."""
        for number in itertools.count():
            if number >= count and self.kills >= kills:
                break
            with self._trial("at a random moment", f"random {number}"):
                self._disturb(in_child(*self.training), signal.SIGKILL)
                self._can_be_used()
                if (RUN / CONFIG_FILE).exists() and self.chance.random() < 0.5:
                    self._disturb(in_child(*self.resuming), signal.SIGKILL)
                    self.tried["at a random moment, resumed"] += 1
                    self._can_be_used()
                self._ends_as_expected()

    def by_signals(self, count: int) -> None:
        """Ask for an end by Ctrl-C or SIGTERM; the exit code says which."""
        for number in range(count):
            which = self.chance.choice([signal.SIGINT, signal.SIGTERM])
            with self._trial(f"by {which.name}", f"signal {number}"):
                code = self._disturb(in_child(*self.training), which)
                fitting = {0, 128 + which} if RUN.exists() else {128 + which, -which}
                expect(code in fitting, f"it ended with {code}: {output()}")
                self._can_be_used()
                self._ends_as_expected()

    def from_a_cold_start(self, count: int) -> None:
        """Kill what a shell started, at any moment from its first import to its end."""
        shutil.rmtree(RUN, ignore_errors=True)
        command = [sys.executable, "-m", "charrnn", *self.training]
        begin = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.monotonic() - begin
        shutil.rmtree(RUN)
        for number in range(count):
            with self._trial("from a cold start", f"cold {number}"):
                process = subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                time.sleep(self.chance.uniform(0.3, 1) * seconds)
                process.kill()
                process.wait()
                self._can_be_used()
                self._ends_as_expected()

    @property
    def resuming(self) -> tuple[str, ...]:
        """The command that goes on with the run."""
        return ("train", "--resume", f"--out={RUN}")

    @contextlib.contextmanager
    def _trial(self, way: str, name: str) -> Iterator[None]:
        """One disturbed training, in a folder without a run."""
        shutil.rmtree(RUN, ignore_errors=True)
        self.tried[way] += 1
        try:
            yield
        except (Failure, OSError, ValueError) as failure:
            self.lost.append(f"{self.kind}, {name}: {failure}")
            sys.stderr.write(f"{self.lost[-1]}\n")
        sys.stderr.write(f"{self.kind}: {self.tried.total()} disturbed, {len(self.lost)} lost\n")

    def _disturb(self, child: int, which: signal.Signals) -> int:
        """Let a training run for a part of its time, then send it a signal."""
        time.sleep(self.chance.uniform(0, 1.1) * self.seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, which)
        return ended(child)

    def _resume(self, *, kill_at: int | None = None) -> int:
        """Go on with the run; or begin it again, if nothing of it was ever saved."""
        code = run_to_end(*self.resuming, kill_at=kill_at)
        if (RUN / CONFIG_FILE).exists():
            return code
        expect(code == 2 and "no run" in output(), f"{code}: {output()}")
        return run_to_end(*self.training, kill_at=kill_at)

    def _can_be_used(self) -> None:
        """Generating and evaluating work with weights that are known, or say there are none."""
        has_model = (RUN / CARD_FILE).exists()
        for command in (("generate", "--length=5", "--seed=the"), ("eval",)):
            code = run_to_end(command[0], f"--run={RUN}", *command[1:])
            if has_model:
                expect(code == 0, f"{command[0]} ended with {code}: {output()}")
                continue
            expect(code == 2, f"{command[0]} ended with {code}: {output()}")
            expect("no model yet" in output() or "no run" in output(), output())
        if has_model:
            card = json.loads((RUN / CARD_FILE).read_text())
            found = (card["step"], card["valid_loss_nats"])
            expect(found in self.evaluated, f"no evaluation of the undisturbed training: {found}")

    def _ends_as_expected(self) -> None:
        """The resumed training ends with what the undisturbed one ended with."""
        code = self._resume()
        expect(code == 0, f"--resume ended with {code}: {output()}")
        learned = everything_learned(RUN)
        for name, value in self.expected.items():
            expect(learned.get(name) == value, f"{name} is another")
        expect(learned.keys() == self.expected.keys(), "there is more or less than there should be")


def expect(holds: bool, what: str) -> None:
    """Note a loss unless something holds."""
    if not holds:
        raise Failure(what)


def report(campaigns: list[Campaign], seconds: float) -> dict[str, Any]:
    """The figures: what was tried, how often, and what was lost."""
    tried: Counter[str] = sum((each.tried for each in campaigns), Counter())
    return {
        "tried": dict(tried),
        "total": tried.total(),
        "kills": sum(each.kills for each in campaigns),
        "file_operations": {each.kind: each.operations for each in campaigns},
        "lost": [loss for each in campaigns for loss in each.lost],
        "seconds": round(seconds),
    }


def conduct(options: argparse.Namespace) -> dict[str, Any]:
    """Disturb trainings of every kind in the current folder."""
    begin = time.monotonic()
    Path("stream.txt").write_text(prose(1500))
    Path("lines.txt").write_text(word_lines(80))
    campaigns: list[Campaign] = []
    kinds = options.kind or list(KINDS)
    share = math.ceil(options.kills / len(kinds))
    with contextlib.suppress(KeyboardInterrupt):
        for kind in kinds:
            campaign = Campaign(kind, random.Random(options.seed))
            campaigns.append(campaign)
            campaign.by_signals(options.signals)
            campaign.from_a_cold_start(options.cold)
            every = options.every or (max(1, 4 * campaign.operations // share) if share else 1)
            campaign.at_chosen_moments(options.first, every)
            campaign.at_random_moments(options.random, share)
    return report(campaigns, time.monotonic() - begin)


def parsed() -> argparse.Namespace:
    """The options; without any, a kill before every file operation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="all, if left out")
    parser.add_argument("--kills", type=int, default=0, help="go on until there were so many")
    parser.add_argument("--every", type=int, help="before every N-th operation; as --kills asks")
    parser.add_argument("--first", type=int, default=1, help="the first operation to kill before")
    parser.add_argument("--random", type=int, default=0, help="kills by the clock, each kind")
    parser.add_argument("--signals", type=int, default=40, help="Ctrl-Cs and SIGTERMs, each kind")
    parser.add_argument("--cold", type=int, default=10, help="kills from a cold start, each kind")
    parser.add_argument("--seed", type=int, default=1, help="the random seed of all moments")
    return parser.parse_args()


if __name__ == "__main__":
    asked = parsed()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        figures = conduct(asked)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if figures["lost"] else 0)
