"""How fast the network of an exported page writes, against charrnn's own on one core.

    python benchmarks/page.py

Opens the page in Chromium (playwright has to be installed, and Chromium on the path). The two take
turns; the median counts.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from _models import card_of, write_run
from playwright.sync_api import Page, sync_playwright

import charrnn
from charrnn.export.html import html_page

SIZES = ("lstm 1x384", "gru 1x256", "rnn 1x256", "lstm 2x512")
TIMED = """async (length) => {
    const begin = performance.now();
    await charrnn.generate("The ", {length, rngSeed: 1});
    return (performance.now() - begin) / 1000;
}"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=int, default=1000, help="characters in a round")
    arguments = parser.parse_args()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for number, size in enumerate(SIZES):
            model = charrnn.load(write_run(Path(folder) / str(number), card_of(size)))
            file = Path(folder) / f"{number}.html"
            file.write_text(html_page(model.trained, model.defaults, name=size), encoding="utf-8")
            page = browser.new_page()
            page.goto(file.as_uri())
            measure(size, page, model, rounds=arguments.rounds, length=arguments.length)
            page.close()


def measure(size: str, page: Page, model: charrnn.Model, *, rounds: int, length: int) -> None:
    """Let both write in turns, and print their speeds."""
    seconds: dict[str, list[float]] = {"page": [], "numpy": []}
    for _ in range(rounds):
        seconds["page"].append(page.evaluate(TIMED, length))
        begin = time.perf_counter()
        for _piece in model.generate("The ", length=length, rng_seed=1):
            pass
        seconds["numpy"].append(time.perf_counter() - begin)
    speeds = {name: length / statistics.median(each) for name, each in seconds.items()}
    print(
        f"{size:12} page {speeds['page']:8,.0f} characters/s, "
        f"charrnn {speeds['numpy']:8,.0f}, 1/{speeds['numpy'] / speeds['page']:.0f}"
    )


if __name__ == "__main__":
    main()
