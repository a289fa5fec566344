"""What each character of a text cost, in bits: the negative logarithm of its probability."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charrnn.explain.cells import softmax
from charrnn.explain.picture import ColouredText, Numbers, Picture, Table, whole_characters
from charrnn.explain.reading import Reading, Request

SUMMARY = "the text, each character coloured by what it cost in bits"
LIKELIEST = 5
DEAREST = 10
MOST_BITS = 8.0
"""The cost at which the colour is full: a character that was given one chance in 256."""
COLUMNS_AT_ONCE = 64
LONGEST_SHOWN = 200

Likeliest = list[tuple[str, float]]


def numbers(request: Request) -> Numbers:
    """Compute what each character cost, and the likeliest ones in the place of the first.

    The first character of a stream could not be predicted: its bits are None.
    """
    reading = request.reading
    bits: list[float | None] = (reading.nats_N.astype(np.float64) / np.log(2)).tolist()
    likeliest: list[Likeliest | None] = [*likeliest_of(reading, request.show)]
    if not reading.is_lines:
        bits = [None, *bits]
        likeliest = [None, *likeliest][: request.show]
    return {
        **reading.about,
        "bits_per_char": reading.loss_nats / np.log(2),
        "characters": reading.characters,
        "bits": bits,
        "likeliest": likeliest,
    }


def picture(numbers: Numbers) -> Picture:
    """Show the beginning of the text, coloured, and the dearest words and lines of all of it."""
    unit, count, shown = numbers["text_unit"], len(numbers["bits"]), len(numbers["likeliest"])
    part = "" if shown == count else f", the first {shown:,} shown"
    if unit == "byte":
        numbers = _of_characters(numbers)
    characters, bits, shown = numbers["characters"], numbers["bits"], len(numbers["likeliest"])
    words = _dearest(numbers, " \n\t", per_char=False)
    lines = _dearest(numbers, "\n", per_char=True)
    word_rows = [(f"{word.bits:.1f}", f"{word.begin:,}", word.text) for word in words]
    line_rows = [(f"{line.per_char:.2f}", f"{line.number:,}", line.text) for line in lines]
    return Picture(
        title=f"Surprisal: {numbers['run']}",
        sentences=[
            f"{count:,} {unit}s cost {numbers['bits_per_char']:.3f} bits each on average.",
            "A probability p costs -log2 p bits: 1 bit for one chance in two, 8 for one in 256.",
        ],
        text=ColouredText(
            title=f"{numbers['source']}{part}",
            characters=characters[:shown],
            channels={"bits": bits[:shown]},
            most=MOST_BITS,
            unit="bits",
            likeliest=numbers["likeliest"],
        ),
        tables=[
            Table("The dearest words", ("bits", "at", "word"), word_rows),
            Table("The dearest lines", ("bits per char", "line", "text"), line_rows),
        ],
    )


def _of_characters(numbers: Numbers) -> Numbers:
    """The same of characters in place of bytes: each costs what its bytes cost together."""
    characters, begins = whole_characters(numbers["characters"])
    bits_C = np.add.reduceat(np.array(numbers["bits"], np.float64), begins[:-1])
    likeliest = numbers["likeliest"]
    return numbers | {
        "characters": characters,
        "bits": [None if np.isnan(each) else each for each in bits_C.tolist()],
        "likeliest": [likeliest[at] for at in begins[:-1] if at < len(likeliest)],
    }


class Piece(NamedTuple):
    """A word or a line, and what it cost."""

    number: int
    """From 1."""
    begin: int
    """The place of its first character in the text."""
    text: str
    bits: float
    per_char: float


def _dearest(numbers: Numbers, separators: str, *, per_char: bool) -> list[Piece]:
    """The dearest pieces of a text that is cut at separators, which count for nothing."""
    characters, bits_N = numbers["characters"], np.array(numbers["bits"], np.float64)
    is_end_N = np.fromiter((each in separators for each in characters), bool, len(characters))
    piece_N, known_N = np.cumsum(is_end_N), np.flatnonzero(~(is_end_N | np.isnan(bits_N)))
    counts_P = np.bincount(piece_N[known_N])
    bits_P = np.bincount(piece_N[known_N], bits_N[known_N])
    per_char_P = bits_P / np.maximum(counts_P, 1)
    ends = np.flatnonzero(is_end_N).tolist()
    begins, ends = [0, *(end + 1 for end in ends)], [*ends, len(characters)]
    return [
        Piece(
            number=at + 1,
            begin=begins[at],
            text="".join(characters[begins[at] : ends[at]][:LONGEST_SHOWN]),
            bits=float(bits_P[at]),
            per_char=float(per_char_P[at]),
        )
        for at in np.argsort(-(per_char_P if per_char else bits_P), kind="stable")[
            :DEAREST
        ].tolist()
        if counts_P[at]
    ]


def likeliest_of(reading: Reading, most: int) -> Iterator[Likeliest]:
    """Yield the likeliest characters in the place of each of the first `most` targets."""
    for begin, end in pairwise(reading.documents.tolist()):
        state = reading.network.initial_state(1)
        for at in range(begin, min(end, most), COLUMNS_AT_ONCE):
            inputs = reading.inputs_N[None, at : min(at + COLUMNS_AT_ONCE, end, most)]
            logits_BTV, state = reading.network.advance(inputs, state)
            probabilities_TV = softmax(logits_BTV[0])
            best_TK = np.argsort(-probabilities_TV, axis=1, kind="stable")[:, :LIKELIEST]
            values_TK = np.take_along_axis(probabilities_TV, best_TK, axis=1)
            for ids, values in zip(best_TK.tolist(), values_TK.tolist(), strict=True):
                yield list(zip(map(reading.glyph, ids), values, strict=True))
        if end >= most:
            return
