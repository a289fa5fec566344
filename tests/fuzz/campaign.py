"""A coverage-guided search for bytes that break a reader: `make fuzz MINUTES=30`.

    python -m tests.fuzz.campaign --minutes 30 [READER]...

Each reader of `tests.fuzz.readers` gets an equal share of the time, in a process of its own under
libFuzzer (through Atheris). What is found is kept in `.fuzz/READER/`, the interesting inputs among
it, which the next campaign goes on from; what broke the reader lies there as `crash-*`, and
`python -m tests.fuzz.target READER FILE` does it again. The exit code is 1 if there is any.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.readers import READERS, Bench, examples

KEPT = Path(".fuzz")
SLOW_SECONDS = 60
MOST_MEGABYTES = 2048
LONGEST_INPUT = 4096


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search in one reader came to."""

    executions: int
    edges: int
    features: int
    processor_seconds: float
    faults: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Search in all readers, or in those that are named; return the exit code."""
    options = _options(arguments)
    names = options.readers or list(READERS)
    seconds = max(1, round(60 * options.minutes / len(names)))
    _write_examples(names)
    print(f"{'reader':<12} {'executions':>11} {'edges':>6} {'features':>8} {'cpu s':>7}  faults")
    outcomes = [_told(name, _searched(name, seconds)) for name in names]
    total = sum(each.executions for each in outcomes)
    spent = sum(each.processor_seconds for each in outcomes)
    faults = sum(each.faults for each in outcomes)
    print(f"{'all':<12} {total:>11,} {'':>6} {'':>8} {spent:>7.0f}  {faults}")
    return 1 if faults else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("readers", nargs="*", metavar="READER", choices=[*READERS, []])
    parser.add_argument("--minutes", type=float, default=30.0, help="in all")
    return parser.parse_args(arguments)


def _write_examples(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, contents in examples(Bench(Path(folder)), names).items():
            corpus = KEPT / name / "corpus"
            corpus.mkdir(parents=True, exist_ok=True)
            for number, content in enumerate(contents):
                (corpus / f"example-{number}").write_bytes(content)


def _searched(name: str, seconds: int) -> Outcome:
    """Search in one reader for so long; begin again after each fault."""
    executions, edges, features, faults = 0, 0, 0, 0
    before = _processor_seconds()
    end = time.monotonic() + seconds
    while (left := round(end - time.monotonic())) > 0:
        told = _run(name, left)
        executions += int(_last(r"stat::number_of_executed_units: *(\d+)", told))
        edges = max(edges, int(_last(r"cov: (\d+)", told)))
        features = max(features, int(_last(r"ft: (\d+)", told)))
        if "SUMMARY: libFuzzer" not in told:
            break
        faults += 1
    return Outcome(executions, edges, features, _processor_seconds() - before, faults)


def _run(name: str, seconds: int) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.target", name, str(KEPT / name / "corpus")),
            f"-max_total_time={seconds}",
            f"-artifact_prefix={KEPT / name}/",
            f"-timeout={SLOW_SECONDS}",
            f"-rss_limit_mb={MOST_MEGABYTES}",
            f"-max_len={LONGEST_INPUT}",
            "-print_final_stats=1",
        ],
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        check=False,
    )
    told = done.stdout.decode("utf-8", "replace")
    (KEPT / name / "log").write_text(told)
    return told


def _told(name: str, outcome: Outcome) -> Outcome:
    print(
        f"{name:<12} {outcome.executions:>11,} {outcome.edges:>6,} {outcome.features:>8,} "
        f"{outcome.processor_seconds:>7.0f}  {outcome.faults}",
        flush=True,
    )
    return outcome


def _last(pattern: str, text: str) -> str:
    found: list[str] = re.findall(pattern, text)
    return found[-1] if found else "0"


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
