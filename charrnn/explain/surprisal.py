"""What each character of a text cost, in bits: the negative logarithm of its probability."""

from collections.abc import Iterator
from heapq import nlargest
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charrnn.explain.cells import softmax
from charrnn.explain.picture import ColouredText, Numbers, Picture, Table
from charrnn.explain.subject import Request, Subject

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
    subject = request.subject
    bits: list[float | None] = (subject.nats_N.astype(np.float64) / np.log(2)).tolist()
    bits_per_char = float(subject.nats_N.mean(dtype=np.float64) / np.log(2))
    likeliest: list[Likeliest | None] = [*likeliest_of(subject, request.show)]
    if not subject.is_lines:
        bits = [None, *bits]
        likeliest = [None, *likeliest][: request.show]
    return {
        "run": subject.run,
        "source": subject.source,
        "bits_per_char": bits_per_char,
        "characters": subject.characters,
        "bits": bits,
        "likeliest": likeliest,
    }


def picture(numbers: Numbers) -> Picture:
    """Show the beginning of the text, coloured, and the dearest words and lines of all of it."""
    characters, bits, shown = numbers["characters"], numbers["bits"], len(numbers["likeliest"])
    part = "" if shown == len(bits) else f", the first {shown:,} characters"
    words = nlargest(DEAREST, _pieces(numbers, " \n\t"), key=lambda piece: piece.bits)
    lines = nlargest(DEAREST, _pieces(numbers, "\n"), key=lambda piece: piece.per_char)
    word_rows = [(f"{word.bits:.1f}", f"{word.begin:,}", word.text) for word in words]
    line_rows = [(f"{line.per_char:.2f}", f"{line.number:,}", line.text) for line in lines]
    return Picture(
        title=f"Surprisal: {numbers['run']}",
        sentences=[
            f"{len(bits):,} characters cost {numbers['bits_per_char']:.3f} bits each on average.",
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


class Piece(NamedTuple):
    """A word or a line, and what it cost."""

    number: int
    """From 1."""
    begin: int
    """The place of its first character in the text."""
    text: str
    bits: float
    per_char: float


def _pieces(numbers: Numbers, separators: str) -> Iterator[Piece]:
    """Cut a text at separators, which count for nothing; pieces without a cost are left out."""
    characters, bits = numbers["characters"], numbers["bits"]
    ends = [at for at, char in enumerate(characters) if char in separators]
    for number, (before, end) in enumerate(pairwise([-1, *ends, len(characters)]), start=1):
        costs = [cost for cost in bits[before + 1 : end] if cost is not None]
        if costs:
            text = "".join(characters[before + 1 : end][:LONGEST_SHOWN])
            yield Piece(number, before + 1, text, sum(costs), sum(costs) / len(costs))


def likeliest_of(subject: Subject, most: int) -> Iterator[Likeliest]:
    """Yield the likeliest characters in the place of each of the first `most` targets."""
    for begin, end in pairwise(subject.documents.tolist()):
        state = subject.network.initial_state(1)
        for at in range(begin, min(end, most), COLUMNS_AT_ONCE):
            inputs = subject.inputs_N[None, at : min(at + COLUMNS_AT_ONCE, end, most)]
            logits_BTV, state = subject.network.advance(inputs, state)
            probabilities_TV = softmax(logits_BTV[0])
            best_TK = np.argsort(-probabilities_TV, axis=1, kind="stable")[:, :LIKELIEST]
            values_TK = np.take_along_axis(probabilities_TV, best_TK, axis=1)
            for ids, values in zip(best_TK.tolist(), values_TK.tolist(), strict=True):
                yield list(zip(map(subject.glyph, ids), values, strict=True))
        if end >= most:
            return
