"""The same text under simpler models: counts, compressors, and the network.

Every model has seen the training part and nothing else. A compressor is given it by compressing
it in front of the text: what counts is by how many bytes the result grows.
"""

import gzip
import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.evaluation.eval_text import own_split
from charrnn.explain.ngrams import HIGHEST_ORDER, MOST_TRAINING, kneser_ney, sequence_of
from charrnn.explain.picture import Bars, Picture, Table
from charrnn.explain.subject import Subject, text_of_ids

NETWORK = "charrnn"
LONGEST_WINDOW = 27
"""zstd looks for what it has seen in the last 2**27 bytes."""

Compress = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a text costs under one model."""

    name: str
    bits: float
    alone: float | None = None
    """A compressor's bits without the training part."""


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """What a text costs under each model."""

    run: str
    source: str
    chars: int
    utf8_bytes: int
    training_chars: int
    models: Sequence[Baseline]
    missing: Sequence[str]
    """Compressors that are not installed."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "source": self.source,
            "chars": self.chars,
            "training_chars": self.training_chars,
            "models": [
                {
                    "name": model.name,
                    "bits_per_char": model.bits / self.chars,
                    "bits_per_byte": model.bits / self.utf8_bytes,
                    "bits_per_char_alone": None
                    if model.alone is None
                    else model.alone / self.chars,
                }
                for model in self.models
            ],
        }

    def picture(self) -> Picture:
        """A bar for each model, the best last."""
        models = sorted(self.models, key=lambda model: -model.bits)
        table = Table(
            title="The best last",
            columns=("model", "bits per character", "bits per byte", "without the training part"),
            rows=[
                (
                    model.name,
                    f"{model.bits / self.chars:.3f}",
                    f"{model.bits / self.utf8_bytes:.3f}",
                    "" if model.alone is None else f"{model.alone / self.chars:.3f}",
                )
                for model in models
            ],
        )
        bars = Bars(
            title="Bits per character of the same text",
            x_label="bits per character",
            names=[model.name for model in models],
            values=[model.bits / self.chars for model in models],
            highlighted=NETWORK,
        )
        return Picture(
            title=f"Baselines: {self.run} on {self.source}",
            sentences=self._sentences(),
            charts=[bars],
            tables=[table],
        )

    def _sentences(self) -> list[str]:
        network = next(model for model in self.models if model.name == NETWORK)
        best = min((model for model in self.models if model is not network), key=lambda m: m.bits)
        ratio = best.bits / network.bits
        verdict = f"{ratio - 1:.1%} more" if ratio >= 1 else f"{1 - ratio:.1%} fewer"
        sentences = [
            f"The best of the others, {best.name}, needs {verdict} bits than the network.",
            f"All of them were given {self.training_chars:,} characters of the training part.",
            "Order n is an n-gram model that sees n characters.",
        ]
        if self.missing:
            sentences.append(
                f"{' and '.join(self.missing)} left out: "
                "`pip install 'charrnn-cli[plots]'` brings what is missing."
            )
        return sentences


def explain_baselines(subject: Subject) -> Baselines:
    """Score a text under the network, n-gram models and compressors.

    Raises:
        UserError: The run's own corpus, for its training part, cannot be had.
    """
    training = training_part(subject)
    chars = len(subject.targets_N)
    models = [Baseline(name="uniform", bits=chars * float(np.log2(_alphabet(subject))))]
    models += [
        Baseline(name="unigram" if order == 0 else f"n-gram order {order}", bits=bits)
        for order, bits in enumerate(ngram_bits(training, subject))
    ]
    before, text = training.content.encode(), subject.content.encode()
    missing = []
    for name, compress in compressors().items():
        if compress is None:
            missing.append(name)
            continue
        grown = len(compress(before + text)) - len(compress(before))
        models.append(Baseline(name=name, bits=8 * grown, alone=8 * len(compress(text))))
    network_bits = float(subject.nats_N.sum(dtype=np.float64) / np.log(2))
    models.append(Baseline(name=NETWORK, bits=network_bits))
    return Baselines(
        run=subject.run,
        source=subject.source,
        chars=chars,
        utf8_bytes=len(text),
        training_chars=len(training.text.ids),
        models=models,
        missing=missing,
    )


def training_part(subject: Subject) -> Subject:
    """The training part of the run's own corpus, the end of it if it is long."""
    own = own_split(subject.model, subject.data, "train")
    ids, starts = own.ids, own.starts
    if len(ids) > MOST_TRAINING:
        begin = len(ids) - MOST_TRAINING
        if starts is not None:
            line = int(np.searchsorted(starts, begin))
            begin = int(starts[line])
            starts = starts[line:] - starts[line]
        ids = ids[begin:]
    text = text_of_ids(ids, starts, subject.model.vocabulary, MOST_TRAINING)
    return Subject(subject.model, subject.data, "the training part", text)


def ngram_bits(training: Subject, subject: Subject, highest: int = HIGHEST_ORDER) -> list[float]:
    """The bits of a text under n-gram models of the orders 0 to `highest`."""
    probabilities = kneser_ney(
        sequence_of(training, highest),
        sequence_of(subject, highest),
        alphabet=_alphabet(subject),
        ids=len(subject.model.vocabulary),
        highest=highest,
    )
    return [float(-np.log2(probability_M).sum()) for probability_M in probabilities]


def _alphabet(subject: Subject) -> int:
    """How many ids can come: all but <pad> and <bos>."""
    vocabulary = subject.model.vocabulary
    return len(vocabulary) - (2 if vocabulary.has_lines else 1)


def compressors() -> dict[str, Compress | None]:
    """The compressors, each at its strongest; None for one that is not installed."""
    return {
        "gzip": lambda data: gzip.compress(data, 9, mtime=0),
        "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
        "zstd": _zstd(),
        "PPMd": _ppmd(),
    }


def _zstd() -> Compress | None:
    try:
        import zstandard
    except ImportError:
        return None
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, window_log=LONGEST_WINDOW, enable_ldm=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress


def _ppmd() -> Compress | None:
    try:
        import pyppmd
    except ImportError:
        return None
    return lambda data: pyppmd.compress(data, max_order=8, mem_size=256 << 20)
