"""What the size that charrnn chooses costs against the best that was picked by hand.

    python benchmarks/sizes.py [--minutes 2] [--seeds 1 2 3] [--shakespeare tinyshakespeare.txt]
                               [--corpora shakespeare-100k shakespeare stdlib names python-docs]

On each corpus: `charrnn train --minutes M` without a size, with every seed; then what somebody who
knows the field and charrnn's settings would try in the same minutes (or, on a short text, in some
hundred steps, lest it is read too often), with the first seed; then the best of that with the other
seeds. Prints the validation loss, mean and range, in nats per character, and how far charrnn's
choice is above the best pick.

Nothing else should run on the machine meanwhile: the time is part of the result.
"""

import argparse
import sysconfig
import tempfile
import urllib.request
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import yaml
from _trainings import charrnn, set_options, with_spread

ROOT = Path(__file__).parent.parent
SHORT_TEXT, LONG_TEXT = 100_000, 10_000_000
"""Characters of the beginning of Tiny Shakespeare, and of Python's standard library."""
EVALUATIONS = 8
"""As `--minutes` has them."""


class Pick(NamedTuple):
    """One network or several, the shares of units and recurrent weights dropped, and how."""

    hidden_size: int
    ensemble_size: int
    dropout: float
    weight_dropout: float
    optimizer: str = "muon"
    steps: int | None = None
    """How many, for a text that is not to be read for all of the time."""

    def __str__(self) -> str:
        networks = f"{self.ensemble_size} x {self.hidden_size}"
        steps = f", {self.steps} steps" if self.steps else ""
        return f"{networks}, {self.dropout}, {self.weight_dropout}, {self.optimizer}{steps}"

    @property
    def settings(self) -> dict[str, object]:
        """All that is set for it: what suits its optimiser, and a mean of late weights."""
        of_optimizer: dict[str, object] = {"batch_size": 32, "learning_rate": 0.004}
        if self.optimizer == "muon":
            of_optimizer = {"batch_size": 64, "learning_rate": 0.0075, "adamw_rate_factor": 4}
        model = ("hidden_size", "ensemble_size", "dropout", "weight_dropout")
        return {
            **{f"model.{name}": getattr(self, name) for name in model},
            **{f"train.{name}": value for name, value in of_optimizer.items()},
            "train.optimizer": self.optimizer,
            "train.final_learning_rate_fraction": 0.3,
            "train.average_fraction": 0.2,
            "train.logit_scale": 0.95,
        }


PICKS = {
    "shakespeare-100k": (
        Pick(256, 2, 0.15, 0.4, steps=704),
        Pick(256, 4, 0.15, 0.4, steps=704),
        Pick(256, 1, 0.15, 0.4, "adamw", steps=1400),
    ),
    "shakespeare": (
        Pick(384, 1, 0.0, 0.05),
        Pick(384, 2, 0.05, 0.1),
        Pick(512, 1, 0.05, 0.1),
    ),
    "stdlib": (
        Pick(384, 1, 0.0, 0.0),
        Pick(512, 1, 0.0, 0.0),
        Pick(384, 2, 0.0, 0.0),
    ),
    "names": (
        Pick(128, 1, 0.3, 0.3, "adamw"),
        Pick(256, 1, 0.3, 0.3, "adamw"),
        Pick(128, 4, 0.3, 0.3, "adamw"),
        Pick(128, 1, 0.3, 0.3),
    ),
    "python-docs": (
        Pick(384, 1, 0.15, 0.3),
        Pick(384, 2, 0.1, 0.2),
        Pick(256, 4, 0.15, 0.3),
        Pick(384, 1, 0.15, 0.3, "adamw"),
    ),
}


def data_settings(corpus: str, shakespeare: str | None, folder: Path) -> dict[str, object]:
    """Where a corpus comes from and how it is read; what has to be made of it is in the folder."""
    if corpus == "python-docs":
        return {"data.source": "builtin:python-docs"}
    if corpus == "names":
        names = ROOT / "data" / "names.txt"
        return {"data.source": names, "data.mode": "lines", "data.shuffle": "true"}
    text = folder / f"{corpus}.txt"
    if corpus == "stdlib":
        text.write_text(standard_library(LONG_TEXT))
    else:
        length = SHORT_TEXT if corpus == "shakespeare-100k" else None
        text.write_text(tiny_shakespeare(shakespeare)[:length])
    return {"data.source": text}


def tiny_shakespeare(path: str | None) -> str:
    """The text in a file, or where the recipe has it from."""
    if path:
        return Path(path).read_text()
    config = yaml.safe_load((ROOT / "configs" / "shakespeare.yaml").read_text())
    with urllib.request.urlopen(config["data"]["source"]) as answer:
        text: str = answer.read().decode()
    return text


def standard_library(characters: int) -> str:
    """The beginning of Python's standard library, its modules in the order of their paths."""
    folder = Path(sysconfig.get_path("stdlib"))
    modules: list[str] = []
    for path in sorted(folder.rglob("*.py")):
        if "site-packages" not in path.parts:
            modules.append(path.read_text(errors="replace"))
        if sum(map(len, modules)) >= characters:
            break
    return "".join(modules)[:characters]


def valid_loss(
    settings: dict[str, object], minutes: float, seed: int, pick: Pick | None
) -> tuple[float, dict[str, Any]]:
    """The lowest validation loss of a training, and the configuration that it took."""
    time = ["--minutes", minutes]
    if pick:
        settings = settings | pick.settings
        if pick.steps:
            time = ["--set", f"train.steps={pick.steps}"]
            settings["train.eval_every_steps"] = pick.steps // EVALUATIONS
    options = set_options(settings | {"train.seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        answer = charrnn("train", *time, *options, "--out", run)
        config = yaml.safe_load((run / "config.yaml").read_text())
    return answer["valid_loss_nats"], config


def chosen_pick(config: dict[str, Any]) -> Pick:
    """What charrnn chose, as somebody would have picked it."""
    named = config["model"] | config["train"]
    return Pick(**{name: named[name] for name in Pick._fields})


def compare(corpus: str, settings: dict[str, object], minutes: float, seeds: list[int]) -> None:
    """Print one table."""
    what = "networks x units, dropout, weight dropout, optimiser"
    print(f"\n{corpus}, {minutes:g} minutes | {what} | loss")
    print("---|---|---")
    chosen = [valid_loss(settings, minutes, seed, None) for seed in seeds]
    ours = [loss for loss, _ in chosen]
    print(f"charrnn's choice | {chosen_pick(chosen[0][1])} | {with_spread(ours)}", flush=True)
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
        with tempfile.TemporaryDirectory() as folder:
            settings = data_settings(corpus, options.shakespeare, Path(folder))
            compare(corpus, settings, options.minutes, options.seeds)


if __name__ == "__main__":
    main()
