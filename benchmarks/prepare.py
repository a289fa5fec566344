"""How fast `charrnn prepare` is, against the way it is usually done, and how much memory it takes.

    python benchmarks/prepare.py --megabytes 1000
    python benchmarks/prepare.py --text cyrillic --set data.mode=lines

The usual way is `np.array([stoi[char] for char in text], dtype=np.uint16)`, with the text decoded
and in memory already and nothing written; it is timed on the text's first ten million characters.
charrnn is timed from outside, as the command is run: start of the process, reading (from the page
cache), hashing, decoding, counting, encoding, writing, fsync. Both run in processes of their own,
in turns.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn.text.sources import python_docs

MEGABYTE = 1_000_000
SLICE_CHARACTERS = 10 * MEGABYTE
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024

LATIN = "abcdefghijklmnopqrstuvwxyz"
CYRILLIC = str.maketrans(LATIN, "абцдефгхийклмнопярстужвьыз")
CHINESE = {code: 0x4E00 + code % 97 * 31 for code in range(ord("!"), 0x7F)}

ALPHABETS: dict[str, Callable[[str], str]] = {
    "ascii": lambda text: text,
    "typographic": lambda text: text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
    "cyrillic": lambda text: text.translate(CYRILLIC),
    "chinese": lambda text: text.translate(CHINESE),
}


@dataclass(frozen=True)
class Text:
    """A generated text on disk."""

    path: Path
    characters: int

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.path.stat().st_size


def main() -> None:
    """Measure and print."""
    options = read_options()
    if options.usual:
        print(usual_way(Path(options.usual)))
        return
    folder = Path(tempfile.mkdtemp(prefix="charrnn-benchmark-", dir=options.folder))
    try:
        text = write_text(folder / "text.txt", options.text, options.megabytes * MEGABYTE)
        measure(text, folder / "prepared", options)
    finally:
        shutil.rmtree(folder)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=200, help="size of the text")
    parser.add_argument("--text", choices=ALPHABETS, default="ascii", help="what it is made of")
    parser.add_argument("--rounds", type=int, default=3, help="measurements; the median counts")
    parser.add_argument("--folder", default=None, help="where to work, on which disk")
    parser.add_argument("--set", action="append", default=[], help="as for charrnn prepare")
    parser.add_argument("--usual", metavar="FILE", help="only time the usual way, on this text")
    return parser.parse_args()


def write_text(path: Path, alphabet: str, size: int) -> Text:
    """Write `size` bytes or little more: the Python reference, its lines in ever other orders."""
    plain = python_docs().encode("ascii", "ignore").decode("ascii")
    lines = ALPHABETS[alphabet](plain).splitlines(keepends=True)
    generator = np.random.default_rng(1)
    characters = 0
    with path.open("wb") as file:
        while file.tell() < size:
            block = "".join(lines[number] for number in generator.permutation(len(lines)))
            file.write(block.encode("utf-8"))
            characters += len(block)
        file.flush()
        os.fsync(file.fileno())
    return Text(path, characters)


def measure(text: Text, out: Path, options: argparse.Namespace) -> None:
    """Time both ways in turns and print the medians."""
    usual, ours, peaks = [], [], []
    for _ in range(options.rounds):
        usual.append(run_usual_way(text))
        seconds, peak = run_prepare(text, out, options.set)
        ours.append(seconds / text.characters)
        peaks.append(peak)
        print(f"  usual {usual[-1] * 1e9:6.1f}, charrnn {ours[-1] * 1e9:6.2f} ns a character")
    theirs, own = statistics.median(usual), statistics.median(ours)
    size = f"{text.size / MEGABYTE:,.0f} MB, {text.characters:,} characters"
    print(f"text        {options.text}, {size}")
    print(f"usual way   {1e-6 / theirs:,.1f} million characters/s")
    print(f"charrnn     {1e-6 / own:,.1f} million characters/s", end=", ")
    print(f"{text.size / MEGABYTE / (own * text.characters):,.0f} MB/s")
    print(f"ratio       {theirs / own:.1f}")
    print(f"peak memory {max(peaks) / MEGABYTE:,.0f} MB resident")


def usual_way(path: Path) -> float:
    """Encode a text as nearly every character-level project does; return seconds a character."""
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read(SLICE_CHARACTERS)
    stoi = {char: id_ for id_, char in enumerate(sorted(set(text)))}
    start = time.perf_counter()
    np.array([stoi[char] for char in text], dtype=np.uint16)
    return (time.perf_counter() - start) / len(text)


def run_usual_way(text: Text) -> float:
    """Time the usual way in a process of its own."""
    command = [sys.executable, __file__, "--usual", str(text.path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_prepare(text: Text, out: Path, overrides: list[str]) -> tuple[float, int]:
    """Run the command in a process of its own; return its seconds and peak memory in bytes.

    Linux counts the memory of the process that starts another as that one's own until it is
    running; so the peak is never less than what this process has, which is little.
    """
    command = [sys.executable, "-m", "charrnn", "prepare", str(text.path), "--out", str(out)]
    command += ["--quiet", *(word for override in overrides for word in ("--set", override))]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"charrnn prepare ended with {process.returncode}")
    shutil.rmtree(out)
    return seconds, usage.ru_maxrss * MAXRSS_UNIT


if __name__ == "__main__":
    main()
