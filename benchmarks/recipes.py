"""How low the loss goes in a time: the shipped recipes, trained as a user trains them.

    python benchmarks/recipes.py --source tinyshakespeare.txt --svg docs/recipes.svg
    python benchmarks/recipes.py --recipes configs/shakespeare.yaml:3 --seeds 1
    python benchmarks/recipes.py --recipes configs/shakespeare.yaml --runs runs

Each recipe is `CONFIG:MINUTES`, or `CONFIG` for as many steps as it says, however long they take.
Every training is `charrnn train --config CONFIG --minutes MINUTES` in a process of its own, scored
by `charrnn eval` over the whole validation split: stateful, and in cold windows of 256 characters,
the protocol of networks without a state. Prints the mean over the seeds and the spread from the
lowest to the highest, in nats per character; `--svg` draws the validation loss, one curve a recipe,
of its first seed: against the seconds of training, or, where a recipe has no minutes, against the
characters it has read, which are the same on every machine.

With minutes, nothing else should run on the machine meanwhile: the time is part of the result.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from _trainings import charrnn, set_options, with_spread

WINDOW = 256
CONFIGS = Path(__file__).parent.parent / "configs"
RECIPES = (
    f"{CONFIGS / 'shakespeare-1min.yaml'}:1.1",
    f"{CONFIGS / 'shakespeare.yaml'}:3",
    f"{CONFIGS / 'shakespeare-15min.yaml'}:15",
)
WIDTH, HEIGHT, MARGIN = 720, 400, 60
AXES = {
    "seconds of training": (10, 30, 60, 180, 900),
    "million characters read": (1, 2, 5, 10, 20, 50),
}
"""What may be drawn across, and what is marked there."""
COLORS = ("#4269d0", "#d1a000", "#c24a3a", "#3ca951", "#8a5fbf", "#555555")


class Trained(NamedTuple):
    """One training, scored."""

    step: int
    chars: int
    seconds: float
    stateful: float
    windowed: float
    curve: list[tuple[float, float, float]]
    """Seconds, millions of characters and validation loss of each evaluation."""


def train(recipe: str, seed: int, source: str | None, run: Path) -> Trained:
    """Train one recipe with one seed."""
    config, _, minutes = recipe.partition(":")
    settings: dict[str, object] = {"train.seed": seed}
    if source:
        settings["data.source"] = source
    options = set_options(settings)
    if minutes:
        options += ["--minutes", minutes]
    answer = charrnn("train", "--config", config, *options, "--out", run)
    stateful = charrnn("eval", "--run", run)
    windowed = charrnn("eval", "--run", run, "--window", WINDOW)
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    curve = [
        (each["seconds"], each["chars"] / 1e6, each["valid_loss_nats"])
        for each in lines
        if "valid_loss_nats" in each
    ]
    return Trained(
        answer["step"],
        answer["chars"],
        answer["seconds"],
        stateful["loss_nats"],
        windowed["loss_nats"],
        curve,
    )


def drawn(curves: dict[str, list[tuple[float, float]]], axis: str) -> str:
    """The curves as SVG: seconds or characters on a logarithmic axis, loss on a linear one."""
    points = [point for curve in curves.values() for point in curve]
    first, last = (math.log(pick(place for place, _ in points)) for pick in (min, max))
    low, high = (pick(loss for _, loss in points) for pick in (min, max))
    low, high = math.floor(low * 20) / 20, math.ceil(high * 20) / 20

    def across(place: float) -> float:
        return MARGIN + (math.log(place) - first) / (last - first) * (WIDTH - 2 * MARGIN)

    def down(loss: float) -> float:
        return HEIGHT - MARGIN - (loss - low) / (high - low) * (HEIGHT - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 15}" text-anchor="middle">{axis}</text>',
        f'<text x="{MARGIN}" y="{MARGIN / 2}">validation loss, nats per character</text>',
    ]
    for mark in AXES[axis]:
        if first <= math.log(mark) <= last:
            parts.append(_line(across(mark), MARGIN, across(mark), HEIGHT - MARGIN))
            parts.append(_label(across(mark), HEIGHT - MARGIN + 18, f"{mark}", "middle"))
    ticks = round((high - low) * 20)
    for tick in range(ticks + 1):
        loss = low + tick / 20
        parts.append(_line(MARGIN, down(loss), WIDTH - MARGIN, down(loss)))
        parts.append(_label(MARGIN - 8, down(loss) + 4, f"{loss:.2f}", "end"))
    for index, (name, curve) in enumerate(curves.items()):
        color = COLORS[index % len(COLORS)]
        path = " ".join(f"{across(place):.1f},{down(loss):.1f}" for place, loss in curve)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(
            f'<text x="{WIDTH - MARGIN - 220}" y="{MARGIN + 18 * index + 14}" fill="{color}">'
            f"{name}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#555555">{text}</text>'


def _file_name(recipe: str) -> str:
    """What the runs of a recipe are called."""
    config, _, minutes = recipe.partition(":")
    return Path(config).stem + (f"-{minutes}-minutes" if minutes else "")


def main() -> None:
    """Train, score, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipes", nargs="+", default=RECIPES, metavar="CONFIG[:MINUTES]")
    parser.add_argument("--source", help="the text, in place of what the configurations name")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--svg", type=Path, help="where to draw the curves")
    parser.add_argument(
        "--runs", type=Path, help="where to keep the trainings, if they are to stay"
    )
    options = parser.parse_args()
    curves = {}
    print("recipe | seconds | steps | million characters | stateful | cold windows of 256")
    print("---|---|---|---|---|---")
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as folder:
            runs = options.runs or Path(folder)
            trained = [
                train(recipe, seed, options.source, runs / f"{_file_name(recipe)}-seed-{seed}")
                for seed in options.seeds
            ]
        name = Path(recipe).name.replace(":", ", ") + (" min" if ":" in recipe else "")
        curves[name] = trained[0].curve
        print(
            f"{name} | {mean(each.seconds for each in trained):,.0f} "
            f"| {mean(each.step for each in trained):,.0f} "
            f"| {mean(each.chars for each in trained) / 1e6:.1f} "
            f"| {with_spread([each.stateful for each in trained])} "
            f"| {with_spread([each.windowed for each in trained])}",
            flush=True,
        )
    if options.svg:
        at = int(any(":" not in recipe for recipe in options.recipes))
        of_axis = {
            name: [(place[at], loss) for *place, loss in curve] for name, curve in curves.items()
        }
        options.svg.write_text(drawn(of_axis, list(AXES)[at]))


if __name__ == "__main__":
    main()
