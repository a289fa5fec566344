"""What faster arithmetic costs: the same training in each kernel and precision, several seeds.

    python benchmarks/precision.py [--source FILE] [--cells lstm gru] [--steps 250] [--seeds 1 2 3]

Each training is `charrnn train` with a fixed number of steps, so what the machine does besides
changes the seconds and nothing else. Prints the validation loss, mean and spread, in nats per
character. What differs between the rows should be less than what differs between seeds. A precision
that does not work on this processor is left out, and said so.
"""

import argparse
import itertools
import subprocess
import tempfile
from pathlib import Path
from statistics import mean

from _trainings import charrnn, set_options

ARITHMETIC = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("native", "float32"),
    ("native", "bfloat16"),
)
WRONG_USAGE = 2
"""The exit code of `charrnn train` where a precision does not work."""


def losses_of(settings: dict[str, object], seeds: list[int]) -> list[float]:
    """The best validation loss of a training with these settings, for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        answers = [
            charrnn(
                "train",
                *set_options({**settings, "train.seed": seed}),
                "--out",
                Path(folder) / f"seed-{seed}",
            )
            for seed in seeds
        ]
    return [float(answer["valid_loss_nats"]) for answer in answers]


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default="builtin:python-docs", help="the text")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru"])
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    options = parser.parse_args()
    print(f"{'cell':6}{'kernel':8}{'precision':11}{'mean':>8}{'lowest':>9}{'highest':>9}")
    for cell, (kernel, precision) in itertools.product(options.cells, ARITHMETIC):
        settings = {
            "data.source": options.source,
            "model.cell": cell,
            "model.hidden_size": options.hidden,
            "train.batch_size": 32,
            "train.steps": options.steps,
            "train.eval_every_steps": options.steps,
            "train.kernel": kernel,
            "train.precision": precision,
        }
        print(f"{cell:6}{kernel:8}{precision:11}", end="", flush=True)
        try:
            losses = losses_of(settings, options.seeds)
        except subprocess.CalledProcessError as error:
            if error.returncode != WRONG_USAGE:
                raise
            print("does not work on this processor")
            continue
        print(f"{mean(losses):8.4f}{min(losses):9.4f}{max(losses):9.4f}", flush=True)


if __name__ == "__main__":
    main()
