"""What the size that charrnn chooses costs against the best that was picked by hand.

    python benchmarks/sizes.py [--minutes 2] [--seeds 1 2 3] [--shakespeare tinyshakespeare.txt]
                               [--corpora python-docs shakespeare names]

On each corpus, the same minutes for all: `charrnn train --minutes M` without a size, with every
seed; then what somebody who knows the field would try, with the first seed; then the best of that
with the other seeds. Prints the validation loss, mean and range, in nats per character, and how far
charrnn's choice is above the best pick.

Nothing else should run on the machine meanwhile: the time is part of the result.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import yaml
from _trainings import charrnn, set_options, with_spread

ROOT = Path(__file__).parent.parent


class Pick(NamedTuple):
    """A network, the shares of units and of recurrent weights dropped in each step, and how."""

    hidden_size: int
    dropout: float
    weight_dropout: float
    optimizer: str = "adamw"
    batch_size: int = 32
    learning_rate: float = 0.004

    def __str__(self) -> str:
        return ", ".join(map(str, self))


PICKS = {
    "python-docs": (
        Pick(384, 0.15, 0.3),
        Pick(512, 0.1, 0.2),
        Pick(512, 0.15, 0.4),
        Pick(384, 0.15, 0.3, "muon", 64, 0.0075),
    ),
    "shakespeare": (
        Pick(384, 0.1, 0.2),
        Pick(512, 0.05, 0.1),
        Pick(384, 0.0, 0.05, "muon", 64, 0.0075),
        Pick(384, 0.05, 0.1, "muon", 64, 0.0075),
    ),
    "names": (
        Pick(64, 0.3, 0.3),
        Pick(128, 0.3, 0.3),
        Pick(128, 0.4, 0.5),
        Pick(256, 0.3, 0.3),
        Pick(128, 0.3, 0.3, "muon", 64, 0.0075),
    ),
}
OF_TRAINING = frozenset({"optimizer", "batch_size", "learning_rate"})
"""What of a pick belongs to section `train`; the rest is the model's."""


def data_settings(corpus: str, shakespeare: str | None) -> dict[str, object]:
    """Where a corpus comes from and how it is read."""
    if corpus == "python-docs":
        return {"data.source": "builtin:python-docs"}
    if corpus == "names":
        names = ROOT / "data" / "names.txt"
        return {"data.source": names, "data.mode": "lines", "data.shuffle": "true"}
    if shakespeare:
        return {"data.source": shakespeare}
    config = yaml.safe_load((ROOT / "configs" / "shakespeare.yaml").read_text())
    return {f"data.{name}": value for name, value in config["data"].items()}


def valid_loss(
    settings: dict[str, object], minutes: float, seed: int, pick: Pick | None
) -> tuple[float, Pick]:
    """The lowest validation loss of a training, and what was trained."""
    if pick:
        settings = settings | {
            f"{_section(name)}.{name}": value for name, value in pick._asdict().items()
        }
        settings |= {"train.eval_every_steps": 250, "train.patience": 8}
    options = set_options(settings | {"train.seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        answer = charrnn("train", "--minutes", minutes, *options, "--out", run)
        config = yaml.safe_load((run / "config.yaml").read_text())
    trained = Pick(**{name: config[_section(name)][name] for name in Pick._fields})
    return answer["valid_loss_nats"], trained


def _section(name: str) -> str:
    return "train" if name in OF_TRAINING else "model"


def compare(corpus: str, minutes: float, seeds: list[int], shakespeare: str | None) -> None:
    """Print one table."""
    settings = data_settings(corpus, shakespeare)
    what = "units, dropout, weight dropout, optimiser, batch, rate"
    print(f"\n{corpus}, {minutes:g} minutes | {what} | loss")
    print("---|---|---")
    chosen = [valid_loss(settings, minutes, seed, None) for seed in seeds]
    ours = [loss for loss, _ in chosen]
    print(f"charrnn's choice | {chosen[0][1]} | {with_spread(ours)}", flush=True)
    firsts: dict[Pick, float] = {}
    for pick in PICKS[corpus]:
        firsts[pick], _ = valid_loss(settings, minutes, seeds[0], pick)
        print(f"by hand | {pick} | {firsts[pick]:.4f}", flush=True)
    best = min(firsts, key=firsts.__getitem__)
    others = [valid_loss(settings, minutes, seed, best)[0] for seed in seeds[1:]]
    picked = [firsts[best], *others]
    print(f"the best of them | {best} | {with_spread(picked)}")
    print(f"charrnn's choice is {mean(ours) / mean(picked) - 1:+.1%} from it", flush=True)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--corpora", nargs="+", choices=PICKS, default=list(PICKS))
    parser.add_argument("--shakespeare", help="the text, in place of the download")
    options = parser.parse_args()
    for corpus in options.corpora:
        compare(corpus, options.minutes, options.seeds, options.shakespeare)


if __name__ == "__main__":
    main()
