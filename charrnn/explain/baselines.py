"""The same text under simpler models: counts, compressors, and the network.

Every model has seen the training part and nothing else. A compressor is given it by compressing
it in front of the text: what counts is by how many bytes the result grows. Unlike the others a
compressor goes on learning while it reads the text.
"""

import gzip
import lzma
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from charrnn.evaluation.eval_text import own_split
from charrnn.explain.ngrams import HIGHEST_ORDER, MOST_TRAINING, kneser_ney, sequence_of
from charrnn.explain.picture import Bars, Numbers, Picture, Table
from charrnn.explain.reading import Reading, Request, Text

SUMMARY = "the same text under n-gram models and compressors"
NETWORK = "charrnn"
FEWEST_COMPRESSED = 200
"""Of a shorter text too much is rounding: compressors write whole bytes, xz four at a time."""
LONGEST_WINDOW = 27
"""zstd looks for what it has seen in the last 2**27 bytes."""

Compress = Callable[[bytes], bytes]


def numbers(request: Request) -> Numbers:
    """Score a text under the network, n-gram models and compressors.

    Raises:
        UserError: The run's own corpus, for its training part, cannot be had.
    """
    reading = request.reading
    is_long = len(reading.targets_N) >= FEWEST_COMPRESSED
    training = training_part(reading)
    before, text = training.content_bytes, reading.content_bytes
    chars = len(reading.targets_N)
    size = chars if reading.model.vocabulary.unit == "byte" else len(text)
    bits = {"uniform": chars * float(np.log2(_alphabet(reading)))}
    for order, cost in enumerate(ngram_bits(training, reading)):
        bits[f"n-gram order {order}" if order else "unigram"] = cost
    alone = {}
    known = compressors()
    for name, compress in known.items():
        if compress is not None and is_long:
            bits[name] = 8.0 * (len(compress(before + text)) - len(compress(before)))
            alone[name] = 8.0 * len(compress(text))
    bits[NETWORK] = chars * reading.loss_nats / np.log(2)
    return {
        **reading.about,
        "chars": chars,
        "training_chars": len(training.text.ids),
        "missing": [name for name, compress in known.items() if compress is None],
        "models": [
            {
                "name": name,
                "bits_per_char": cost / chars,
                "bits_per_byte": cost / size,
                "bits_per_char_alone": alone[name] / chars if name in alone else None,
            }
            for name, cost in bits.items()
        ],
    }


def picture(numbers: Numbers) -> Picture:
    """Draw a bar for each model, the best last."""
    models = sorted(numbers["models"], key=lambda model: -model["bits_per_char"])
    network = next(model for model in models if model["name"] == NETWORK)
    best = [model for model in models if model is not network][-1]
    more = best["bits_per_char"] / network["bits_per_char"] - 1
    sign = "more" if more >= 0 else "fewer"
    unit = numbers["text_unit"]
    sentences = [
        f"The best of the others, {best['name']}, needs {abs(more):.1%} {sign} bits.",
        f"All were given {numbers['training_chars']:,} {unit}s of the training part.",
        f"Order n is an n-gram model that sees n {unit}s.",
    ]
    if numbers["chars"] < FEWEST_COMPRESSED:
        sentences.append(f"Compressors are compared on {FEWEST_COMPRESSED:,} {unit}s or more.")
    elif numbers["missing"]:
        missing = " and ".join(numbers["missing"])
        sentences.append(f"Without {missing}: `pip install 'charrnn-cli[plots]'` brings them.")
    measures = ("bits_per_byte",) if unit == "byte" else ("bits_per_char", "bits_per_byte")
    rows = [
        (
            model["name"],
            *(f"{model[each]:.3f}" for each in measures),
            f"{model['bits_per_char_alone']:.3f}" if model["bits_per_char_alone"] else "",
        )
        for model in models
    ]
    columns = ("model", *(each.replace("_", " ") for each in measures), "without training part")
    bars = Bars(
        title=f"Bits per {unit} of the same text",
        names=[model["name"] for model in models],
        values=[model["bits_per_char"] for model in models],
        highlighted=NETWORK,
    )
    return Picture(
        title=f"Baselines: {numbers['run']} on {numbers['source']}",
        sentences=sentences,
        charts=[bars],
        tables=[Table("The best last", columns, rows)],
    )


def training_part(reading: Reading) -> Reading:
    """The training part of the run's own corpus, the end of it if it is long."""
    own = own_split(reading.model, reading.data, "train", data_dir=reading.data_dir)
    ids, starts = own.ids, own.starts
    if len(ids) > MOST_TRAINING:
        begin = len(ids) - MOST_TRAINING
        if starts is not None:
            line = int(np.searchsorted(starts, begin))
            begin = int(starts[line])
            starts = starts[line:] - starts[line]
        ids = ids[begin:]
    text = Text(reading.model.vocabulary.decode(ids), ids, starts)
    return replace(reading, name="the training part", text=text, is_cut=False)


def ngram_bits(training: Reading, reading: Reading, highest: int = HIGHEST_ORDER) -> list[float]:
    """The bits of a text under n-gram models of the orders 0 to `highest`."""
    probabilities = kneser_ney(
        sequence_of(training, highest),
        sequence_of(reading, highest),
        alphabet=_alphabet(reading),
        ids=len(reading.model.vocabulary),
        highest=highest,
    )
    return [float(-np.log2(probability_M).sum()) for probability_M in probabilities]


def _alphabet(reading: Reading) -> int:
    """How many ids can come: all but <pad> and <bos>."""
    vocabulary = reading.model.vocabulary
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
