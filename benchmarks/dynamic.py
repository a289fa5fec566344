r"""How far dynamic evaluation goes at which rate, decay and length of a segment.

    charrnn train --config shakespeare-1min --set data.source=training-part.txt \
        --set data.sha256=null --set train.steps=1200 --out runs/part
    python benchmarks/dynamic.py --run runs/part --characters 40000

So the settings of charrnn were chosen: on the training part of Tiny Shakespeare, whose own last
tenth was held out and is the validation split of such a run. docs/evaluation.md has the table.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from charrnn.config.load import read_run_config
from charrnn.evaluation.eval_text import own_split
from charrnn.evaluation.evaluate import score_stream
from charrnn.inference.network import NumpyNetwork
from charrnn.run.paths import CONFIG_FILE
from charrnn.run.reader import read_model
from charrnn.training.dynamic import DynamicNetwork, DynamicOptions

CHOICES = [
    DynamicOptions(rate=3e-4, decay=0),
    DynamicOptions(rate=3e-4, decay=3e-4),
    DynamicOptions(rate=3e-4, decay=1e-3),
    DynamicOptions(rate=2e-4, decay=3e-4),
    DynamicOptions(rate=4e-4, decay=2e-3),
    DynamicOptions(rate=2e-4, decay=3e-4, segment=10),
    DynamicOptions(rate=4e-4, decay=6e-4, segment=40),
]


def main() -> None:
    """Print the loss of each choice on the beginning of a validation split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--characters", type=int, default=40_000)
    arguments = parser.parse_args()
    model = read_model(arguments.run)
    data = read_run_config(arguments.run / CONFIG_FILE).data
    ids = own_split(model, data, "valid").ids[: arguments.characters]
    stateful = score_stream(NumpyNetwork.of(model), ids, unknown_id=model.vocabulary.unk_id)
    print(f"stateful: {stateful.loss_nats:.4f} nats per character")
    for options in CHOICES:
        begin = time.perf_counter()
        score = DynamicNetwork(model, options).read(ids, None)
        speed = score.chars / (time.perf_counter() - begin)
        told = ", ".join(f"{name} {value:g}" for name, value in asdict(options).items())
        print(f"{told}: {score.loss_nats:.4f}, {speed:,.0f} characters per second", flush=True)


if __name__ == "__main__":
    main()
