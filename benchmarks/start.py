"""How long `charrnn` takes to start, against what it would take to import torch.

    python benchmarks/start.py --rounds 21

Every time is that of a fresh process from outside, the file cache warm; the commands take turns,
and the median counts. Everything is there as bytecode, as it is once installed.
`python -X importtime -m charrnn generate --length 1` shows where it goes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _models import card_of, write_run

BASELINE = "python -c 'import torch'"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9, help="starts of each; the median counts")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="charrnn-benchmark-") as folder:
        run = write_run(Path(folder) / "run", card_of("lstm 1x384"))
        commands = {
            BASELINE: ["-c", "import torch"],
            "python -c 'import numpy, typer'": ["-c", "import numpy, typer"],
            "charrnn --help": ["-m", "charrnn", "--help"],
            "charrnn generate --help": ["-m", "charrnn", "generate", "--help"],
            "charrnn generate --seed hello --length 1": [
                *["-m", "charrnn", "generate", "--run", str(run)],
                *["--seed", "hello", "--length", "1"],
            ],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, arguments in commands.items():
                times[name].append(seconds_of(arguments))
    baseline = statistics.median(times[BASELINE])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:44}{1000 * median:7.0f} ms   1/{baseline / median:.1f} of import torch")


def seconds_of(arguments: list[str]) -> float:
    """The time that a fresh Python takes."""
    environment = os.environ.copy()
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, *arguments]
    begin = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
