"""What a large text costs: the memory and the time of `prepare`, `train` and `eval`, by unit.

    python benchmarks/large.py
    python benchmarks/large.py --text enwik8 --units byte
    python benchmarks/large.py --hidden-size 384 --set train.batch_size=64

The text is the Python reference, its lines in ever other orders, with typographic quotation marks,
or a file of your own. The network is small, so that what is measured is the text: more weights take
more time, and as much memory again as they do with a short text. Each command runs in a process of
its own; its peak is that of its resident memory, its time the processor's and the clock's. `eval`
scores all of the file, and not the split, or the last megabytes of it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prepare import MAXRSS_UNIT, MEGABYTE, write_text

STEPS = 200
VALID = 5 * MEGABYTE


def main() -> None:
    """Measure and print."""
    options = read_options()
    folder = Path(tempfile.mkdtemp(prefix="charrnn-benchmark-", dir=options.folder))
    try:
        text = (
            options.text
            or write_text(folder / "text.txt", "typographic", options.megabytes * MEGABYTE).path
        )
        print(f"{text.stat().st_size / MEGABYTE:,.0f} MB")
        for unit in options.units:
            measure(text.absolute(), unit, folder / unit, options)
    finally:
        shutil.rmtree(folder)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", type=Path, help="a file of your own")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the text")
    parser.add_argument("--units", nargs="+", default=["character", "byte"], help="one or both")
    parser.add_argument("--scored", type=int, help="megabytes to score; left out, all of them")
    parser.add_argument("--hidden-size", type=int, default=16, help="units of the network")
    parser.add_argument("--folder", default=None, help="where to work, on which disk")
    parser.add_argument("--set", action="append", default=[], help="as for charrnn train")
    return parser.parse_args()


def measure(text: Path, unit: str, folder: Path, options: argparse.Namespace) -> None:
    """Prepare a text, train on it, and score it."""
    folder.mkdir()
    data = [f"data.unit={unit}", f"data.valid_chars={VALID}"]
    network = ["model.cell=rnn", f"model.hidden_size={options.hidden_size}"]
    steps = [f"train.steps={STEPS}", f"train.warmup_steps={STEPS // 10}", *options.set]
    run(folder, unit, "prepare", text, "--out", "prepared", *set_options(data))
    run(folder, unit, "train", "prepared", "--out", "run", *set_options(network + steps))
    scored = text
    if options.scored is not None:
        scored = folder / "scored.txt"
        with text.open("rb") as file:
            file.seek(-options.scored * MEGABYTE, os.SEEK_END)
            scored.write_bytes(file.read())
    run(folder, unit, "eval", scored, "--run", "run")


def set_options(settings: list[str]) -> list[str]:
    """Settings as the options that set them."""
    return [f"--set={setting}" for setting in settings]


def run(folder: Path, unit: str, *arguments: object) -> None:
    """Run a command in a process of its own, and print what it took."""
    command = [sys.executable, "-m", "charrnn", *map(str, arguments), "--quiet"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"charrnn {arguments[0]} ended with {process.returncode}")
    peak = usage.ru_maxrss * MAXRSS_UNIT / MEGABYTE
    spent = usage.ru_utime + usage.ru_stime
    name = f"{unit} {arguments[0]}"
    print(f"{name:<18} {peak:6,.0f} MB {spent:8,.1f} s of processor {seconds:8,.1f} s", flush=True)


if __name__ == "__main__":
    main()
