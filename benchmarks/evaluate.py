"""How fast stateful evaluation is when it is read in parallel, and what making it exact costs.

    python benchmarks/evaluate.py
    python benchmarks/evaluate.py --run runs/shakespeare --rounds 5
    python benchmarks/evaluate.py --recurrent-scale 1

The same text is scored with the same weights in turns: one character after the other in NumPy,
the same in torch (64 characters a call, as evaluation is usually written), and in parallel streams
as `charrnn eval` does it. Medians over the rounds are compared. Without --run the network is
random, its forget gates spread so that it remembers some hundred characters, as trained ones do.
Recurrent weights as large as in the last line make it chaotic: it never forgets, no two ways to
add up give the same loss, and the parallel reading is at its worst.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charrnn.machine import use_one_blas_thread

use_one_blas_thread()

import numpy as np  # noqa: E402 - BLAS reads its number of threads when NumPy is imported

from charrnn.config.load import read_run_config  # noqa: E402
from charrnn.evaluation.eval_text import own_split  # noqa: E402
from charrnn.evaluation.evaluate import ThreadedNetwork, rows_for, score_stream  # noqa: E402
from charrnn.evaluation.scoring import Score  # noqa: E402
from charrnn.inference.network import NumpyNetwork  # noqa: E402
from charrnn.network import FloatArray, IdArray, Network  # noqa: E402
from charrnn.processors import free_threads  # noqa: E402
from charrnn.run.model_card import FORMAT_VERSION, ModelCard  # noqa: E402
from charrnn.run.paths import CONFIG_FILE  # noqa: E402
from charrnn.run.reader import TrainedModel, read_model  # noqa: E402
from charrnn.text.sources import python_docs  # noqa: E402
from charrnn.text.vocabulary import Vocabulary  # noqa: E402

LONGEST_MEMORY_BIAS = 4.0


@dataclass(frozen=True)
class Reader:
    """One way to score a text, and how long it took."""

    name: str
    network: "CountingNetwork"
    streams: int
    seconds: list[float]
    scores: list[Score]

    def read(self, ids: IdArray) -> None:
        """Score the text once more."""
        self.network.characters = 0
        begin = time.perf_counter()
        self.scores.append(score_stream(self.network, ids, unknown_id=1, streams=self.streams))
        self.seconds.append(time.perf_counter() - begin)

    @property
    def speed(self) -> float:
        """Characters per second, the median of the rounds."""
        return self.scores[0].chars / statistics.median(self.seconds)


class CountingNetwork:
    """A network that counts the characters it is given to read."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.characters = 0

    @property
    def vocabulary_size(self) -> int:
        """The number of ids."""
        return self._network.vocabulary_size

    def initial_state(self, batch_size: int) -> FloatArray:
        """Zeros."""
        return self._network.initial_state(batch_size)

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read, and count what is read."""
        self.characters += ids_BT.size
        return self._network.advance(ids_BT, state_SLBH)


def main() -> None:
    """Measure and print."""
    options = read_options()
    model, ids = subject(options)
    ids = ids[: options.characters]
    readers = [reader for make in (sequential, in_torch, in_parallel) if (reader := make(model))]
    for _ in range(options.rounds):
        for reader in readers:
            reader.read(ids)
    card = model.card
    print(f"{card.cell} {card.layers} x {card.hidden_size}, {len(ids):,} characters")
    slowest, exact = readers[0].speed, readers[0].scores[0].loss_nats
    for reader in readers:
        extra = reader.network.characters / reader.scores[0].chars - 1
        print(
            f"  {reader.name:<26}{reader.speed:>9,.0f} characters/s {reader.speed / slowest:>6.2f}x"
            f"   read twice {extra:>6.1%}   loss {reader.scores[0].loss_nats:.7f}"
            f" ({reader.scores[0].loss_nats - exact:+.1e})"
        )


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, help="a run directory; left out, a random network")
    parser.add_argument("--cell", default="lstm", choices=["lstm", "gru", "rnn"])
    parser.add_argument("--hidden-size", type=int, default=384)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--recurrent-scale", type=float, default=0.2, metavar="X")
    parser.add_argument("--characters", type=int, default=111_540, help="of the text, at most")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def subject(options: argparse.Namespace) -> tuple[TrainedModel, IdArray]:
    """The network to measure, and the ids of a text for it."""
    if options.run is not None:
        model = read_model(options.run)
        data = read_run_config(options.run / CONFIG_FILE).data
        return model, own_split(model, data, "valid").ids
    vocabulary = Vocabulary.from_characters(python_docs(), lines=False)
    card = ModelCard(
        format_version=FORMAT_VERSION,
        charrnn_version="",
        cell=options.cell,
        input="embedding",
        embedding_size=64,
        hidden_size=options.hidden_size,
        layers=options.layers,
        tie_weights=False,
        mode="stream",
        vocabulary_size=len(vocabulary),
        corpus_sha256="",
        step=0,
        valid_loss_nats=0.0,
        weights_sha256="",
    )
    model = TrainedModel(
        path=Path(),
        card=card,
        vocabulary=vocabulary,
        weights=random_weights(card, options.recurrent_scale),
    )
    return model, vocabulary.encode(python_docs())


def random_weights(card: ModelCard, recurrent_scale: float) -> Mapping[str, FloatArray]:
    """Weights of a network that remembers about as long as a trained one."""
    rng = np.random.default_rng(1)
    weights = {
        name: (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
        for name, shape in card.shapes().items()
    }
    for layer in range(card.layers):
        weights[f"rnn.weight_hh_l{layer}"] *= np.float32(recurrent_scale)
    if card.cell != "rnn":  # an LSTM's second gate keeps the state when open, and so does a GRU's
        gate = slice(card.hidden_size, 2 * card.hidden_size)
        for layer in range(card.layers):
            bias = weights[f"rnn.bias_ih_l{layer}"]
            bias[gate] = rng.uniform(0, LONGEST_MEMORY_BIAS, card.hidden_size)
    return weights


def sequential(model: TrainedModel) -> Reader:
    """One character after the other."""
    return Reader("NumPy, one by one", CountingNetwork(NumpyNetwork.of(model)), 1, [], [])


def in_torch(model: TrainedModel) -> Reader | None:
    """The same in torch, with as many threads as it likes."""
    try:
        import torch

        from charrnn.training.model import load_network
    except ImportError:
        return None
    torch.set_num_threads(free_threads())
    return Reader("torch, one by one", CountingNetwork(load_network(model, "cpu")), 1, [], [])


def in_parallel(model: TrainedModel) -> Reader:
    """As `charrnn eval` does it."""
    threads = free_threads()
    network = CountingNetwork(ThreadedNetwork(NumpyNetwork.of(model), threads))
    streams = rows_for(threads)
    return Reader(f"NumPy, {streams} streams", network, streams, [], [])


if __name__ == "__main__":
    main()
