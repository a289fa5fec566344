"""How long `charrnn train --minutes M` takes, from start to end, on six texts.

    python benchmarks/minutes.py [--minutes 0.2 0.5 1] [--texts english names] [--busy]

A row for each text and time: the seconds asked for, those taken by the whole command, imports and
preparing included, and their quotient; the part of them in which steps were taken; the network, its
steps and its validation loss; `refused` if hardly a step would fit. A text that has been read sixty
times (or in 500 steps) is done before its time is over, which `read` shows: the characters learned
from. With `--busy` another training computes meanwhile on all processors; without, nothing else
should run.
"""

import argparse
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import yaml
from _trainings import charrnn, set_options

from charrnn.text.sources import python_docs

NAMES = Path(__file__).parent.parent / "data" / "names.txt"
FIRST_IDEOGRAPH, IDEOGRAPHS, COMMON = 0x4E00, 20_000, 500
TEXTS = ("small", "english", "megabyte", "20-megabytes", "ideographs", "names")


def write_text(name: str, folder: Path) -> dict[str, object]:
    """Write a text to a folder, and return the settings that read it."""
    if name == "names":
        return {"data.source": NAMES, "data.mode": "lines", "data.shuffle": "true"}
    file = folder / f"{name}.txt"
    match name:
        case "small":
            text = python_docs()[:8_000]
        case "english":
            text = python_docs()[:60_000]
        case "megabyte":
            text = source_code(1_000_000)
        case "20-megabytes":
            text = source_code(20_000_000)
        case _:
            text = ideographs()
    file.write_text(text, encoding="utf-8")
    return {"data.source": file}


def source_code(characters: int) -> str:
    """So many characters of Python's standard library, again and again if it has no more."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    parts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    once = "".join(parts)
    return (once * (characters // len(once) + 1))[:characters]


def ideographs() -> str:
    """A text of 26,650 characters, 20,001 of them distinct."""
    source = random.Random(1)
    all_of_them = [chr(FIRST_IDEOGRAPH + index) for index in range(IDEOGRAPHS)]
    common = list(accumulate(1 / rank for rank in range(1, COMMON + 1)))
    text = all_of_them + source.choices(all_of_them[:COMMON], cum_weights=common, k=6_000)
    source.shuffle(text)
    return "".join("".join(text[begin : begin + 40]) + "\n" for begin in range(0, len(text), 40))


@contextmanager
def other_training(folder: Path) -> Iterator[None]:
    """Let another training compute meanwhile."""
    options = set_options({"train.steps": 10**9, **write_text("english", folder)})
    command = [sys.executable, "-m", "charrnn", "train", *options, "--quiet"]
    process = subprocess.Popen(command, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def print_row(name: str, minutes: float, folder: Path) -> None:
    """Train once, and print what came of it."""
    options = set_options(write_text(name, folder))
    with tempfile.TemporaryDirectory(dir=folder) as working:
        begin = time.monotonic()
        try:
            answer = charrnn(
                "train", "--minutes", minutes, *options, "--out=run", cwd=Path(working)
            )
        except subprocess.CalledProcessError:
            print(f"{name} | {60 * minutes:.0f} | refused | | | | | |", flush=True)
            return
        taken = time.monotonic() - begin
        config = yaml.safe_load((Path(working) / "run/config.yaml").read_text(encoding="utf-8"))
    asked = 60 * minutes
    print(
        f"{name} | {asked:.0f} | {taken:.1f} | {taken / asked:.2f} | {answer['seconds']:.1f} | "
        f"{config['model']['hidden_size']} | {answer['step']:,} | {answer['chars']:,} | "
        f"{answer['valid_loss_nats']:.4f}",
        flush=True,
    )


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", nargs="+", type=float, default=[0.2, 0.5, 1.0])
    parser.add_argument("--texts", nargs="+", choices=TEXTS, default=list(TEXTS))
    parser.add_argument("--busy", action="store_true", help="beside another training")
    options = parser.parse_args()
    print("text | asked, s | taken, s | taken / asked | training, s | units | steps | read | loss")
    print("---|---|---|---|---|---|---|---|---")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.busy:
            with other_training(folder):
                _print_rows(options.texts, options.minutes, folder)
        else:
            _print_rows(options.texts, options.minutes, folder)


def _print_rows(texts: list[str], minutes: list[float], folder: Path) -> None:
    for text in texts:
        for each in minutes:
            print_row(text, each, folder)


if __name__ == "__main__":
    main()
