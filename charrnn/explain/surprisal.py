"""What each character of a text cost, in bits: the negative logarithm of its probability."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from charrnn.explain.cells import Floats, softmax
from charrnn.explain.picture import Channel, ColouredText, Picture, Table
from charrnn.explain.subject import Subject
from charrnn.network import IdArray

LIKELIEST = 5
DEAREST = 10
MOST_BITS = 8.0
"""The cost at which the colour is full: a character that was given one chance in 256."""
LONGEST_SHOWN = 200
COLUMNS_AT_ONCE = 64

Likeliest = list[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Surprisal:
    """The cost of every character."""

    run: str
    source: str
    characters: Sequence[str]
    bits: Sequence[float | None]
    """None where nothing could be predicted: the first character of a stream."""
    likeliest: Sequence[Likeliest | None]
    """The likeliest characters in the place of each, for as many as are shown."""

    @property
    def bits_per_char(self) -> float:
        """The mean over what could be predicted."""
        known = [bits for bits in self.bits if bits is not None]
        return sum(known) / len(known)

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": self.run,
            "source": self.source,
            "bits_per_char": self.bits_per_char,
            "characters": self.characters,
            "bits": self.bits,
            "likeliest": self.likeliest,
        }

    def picture(self) -> Picture:
        """The beginning of the text, coloured; the dearest words and lines of all of it."""
        shown = len(self.likeliest)
        part = "" if shown == len(self.bits) else f", the first {shown:,} characters"
        text = ColouredText(
            title=f"{self.source}{part}",
            characters=self.characters[:shown],
            channels=[Channel(name="bits", values=self.bits[:shown], most=MOST_BITS)],
            likeliest=self.likeliest,
            unit="bits",
        )
        sentences = [
            f"{len(self.bits):,} characters cost {self.bits_per_char:.3f} bits each on average.",
            "A probability p costs -log2 p bits: 1 bit for one chance in two, 8 for one in 256.",
        ]
        words = nlargest(
            DEAREST, _pieces(self.characters, self.bits, " \n\t"), key=lambda w: w.bits
        )
        lines = nlargest(
            DEAREST, _pieces(self.characters, self.bits, "\n"), key=lambda p: p.per_char
        )
        tables = [
            Table(
                title="The dearest words",
                columns=("bits", "at", "word"),
                rows=[(f"{word.bits:.1f}", f"{word.begin:,}", word.text) for word in words],
            ),
            Table(
                title="The dearest lines",
                columns=("per char", "line", "text"),
                rows=[(f"{line.per_char:.2f}", f"{line.number:,}", line.text) for line in lines],
            ),
        ]
        return Picture(
            title=f"Surprisal: {self.run}", sentences=sentences, text=text, tables=tables
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


def _pieces(
    characters: Sequence[str], bits: Sequence[float | None], separators: str
) -> Iterator[Piece]:
    """Cut a text at separators, which count for nothing; pieces without a cost are left out."""
    ends = [at for at, char in enumerate(characters) if char in separators]
    for number, (before, end) in enumerate(pairwise([-1, *ends, len(characters)]), start=1):
        costs = [cost for cost in bits[before + 1 : end] if cost is not None]
        if costs:
            text = "".join(characters[before + 1 : end][:LONGEST_SHOWN])
            yield Piece(number, before + 1, text, sum(costs), sum(costs) / len(costs))


def explain_surprisal(subject: Subject, show: int) -> Surprisal:
    """Compute what each character cost, and the likeliest ones for the first `show`."""
    bits: list[float | None] = (subject.nats_N.astype(np.float64) / np.log(2)).tolist()
    characters = subject.target_characters
    likeliest: list[Likeliest | None] = [*likeliest_of(subject, show)]
    if not subject.is_lines:
        characters = [subject.text.characters[0], *characters]
        bits = [None, *bits]
        likeliest = [None, *likeliest][:show]
    return Surprisal(
        run=subject.run,
        source=subject.source,
        characters=characters,
        bits=bits,
        likeliest=likeliest,
    )


def likeliest_of(subject: Subject, most: int) -> list[Likeliest]:
    """The likeliest characters in the place of each of the first `most` targets."""
    found: list[Likeliest] = []
    documents = subject.documents.tolist()
    for begin, end in pairwise(documents):
        state = subject.network.initial_state(1)
        for at in range(begin, min(end, most), COLUMNS_AT_ONCE):
            inputs = subject.inputs_N[None, at : min(at + COLUMNS_AT_ONCE, end, most)]
            logits_BTV, state = subject.network.advance(inputs, state)
            found.extend(_likeliest(logits_BTV[0], subject.glyphs))
        if end >= most:
            break
    return found


def _likeliest(logits_TV: Floats, glyphs: Sequence[str]) -> list[Likeliest]:
    probabilities_TV = softmax(logits_TV)
    best_TK: IdArray = np.argsort(-probabilities_TV, axis=1, kind="stable")[:, :LIKELIEST]
    values_TK = np.take_along_axis(probabilities_TV, best_TK, axis=1)
    return [
        [(glyphs[id_], value) for id_, value in zip(ids, values, strict=True)]
        for ids, values in zip(best_TK.tolist(), values_TK.tolist(), strict=True)
    ]
