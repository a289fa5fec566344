"""What each line of a text costs, while the text comes in: bounded memory for any length.

A run that has learned what lines look like gives an odd one (a strange log entry, a typo, a forged
name) more bits than its neighbours. In stream mode the state is carried through the whole text, in
lines mode each line begins from a zero state, as in `charrnn eval`; the bits of all lines add up
to what that reports.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from charrnn.evaluation.evaluate import (
    ROWS_AT_ONCE,
    nats_of_lines,
    read_stretches,
    segment_length,
)
from charrnn.evaluation.scoring import columns_at_once, has_end
from charrnn.network import FloatArray, IdArray, Network
from charrnn.text.reading import Part
from charrnn.text.vocabulary import Vocabulary, code_points_of

LONGEST_SHOWN = 10_000
"""Characters of a line that are kept; a longer one is scored whole and shown cut off."""
NATS_TO_BITS = 1 / np.log(2)


@dataclass(frozen=True, slots=True)
class LineCost:
    """One line, or example, and what it cost."""

    number: int
    """Its place in the text, from 1; empty lines count."""
    text: str
    bits: float
    """The cost of its characters, its end among them."""
    chars: int
    """How many characters, or bytes of a run of bytes, were predicted, its end among them."""

    @property
    def bits_per_char(self) -> float:
        """The bits divided by the characters; 0 where nothing could be predicted."""
        return self.bits / self.chars if self.chars else 0.0


def cost_by_line(
    network: Network,
    vocabulary: Vocabulary,
    parts: Iterable[Part],
    *,
    cut_at: int | None = None,
    rows: int = ROWS_AT_ONCE,
) -> Iterator[LineCost]:
    """Yield what each line, or each example, costs, in the order of the text.

    Args:
        network: what predicts.
        vocabulary: the run's; it also says whether each line is read for itself.
        parts: the text.
        cut_at: the length of examples that were cut, whose end is no target.
        rows: how many streams or lines to read side by side at most.
    """
    if vocabulary.has_lines:
        return _separate_lines(network, vocabulary, parts, cut_at, rows)
    return _lines_of_stream(network, vocabulary, (part.chars for part in parts), rows)


def _separate_lines(
    network: Network, vocabulary: Vocabulary, parts: Iterable[Part], cut_at: int | None, rows: int
) -> Iterator[LineCost]:
    before = 0
    for _, text, lengths in parts:
        assert lengths is not None
        numbers = before + 1 + np.flatnonzero(lengths)
        before += len(lengths)
        if not len(numbers):
            continue
        starts = np.cumsum(np.concatenate([[0], lengths[lengths > 0]]))
        ids = vocabulary.encode(text)
        nats_N = nats_of_lines(network, ids, starts, vocabulary, cut_at=cut_at, batch_size=rows)
        chars = np.diff(starts) + has_end(starts, cut_at)
        bits = np.add.reduceat(nats_N, np.cumsum(chars) - chars, dtype=np.float64) * NATS_TO_BITS
        borders = pairwise(starts.tolist())
        costs = zip(numbers.tolist(), borders, bits.tolist(), chars.tolist(), strict=True)
        for number, (begin, end), cost, count in costs:
            line = vocabulary.text_of(text[begin : min(end, begin + LONGEST_SHOWN)])
            yield LineCost(number, line, cost, count)


def _lines_of_stream(
    network: Network, vocabulary: Vocabulary, texts: Iterable[str], rows: int
) -> Iterator[LineCost]:
    """Cut a stream at its line ends, holding back the beginning of a line whose end is to come."""
    number, held, held_bits = 1, "", 0.0
    held_chars = -1  # the very first character is no target
    for text, nats_N in stream_with_nats(network, vocabulary, texts, rows):
        bits = np.cumsum(np.concatenate([[0], nats_N]), dtype=np.float64)
        bits *= NATS_TO_BITS
        ends = np.flatnonzero(code_points_of(text) == ord("\n")) + 1
        for begin, end in pairwise([0, *ends.tolist()]):
            chars = held_chars + end - begin
            line = (held + text[begin : end - 1])[:LONGEST_SHOWN]
            cost = held_bits + float(bits[end] - bits[begin])
            yield LineCost(number, vocabulary.text_of(line), cost, chars)
            number, held, held_bits, held_chars = number + 1, "", 0.0, 0
        last = int(ends[-1]) if len(ends) else 0
        held = (held + text[last:])[:LONGEST_SHOWN]
        held_bits += float(bits[-1] - bits[last])
        held_chars += len(text) - last
    if held:
        yield LineCost(number, vocabulary.text_of(held), held_bits, held_chars)


def stream_with_nats(
    network: Network, vocabulary: Vocabulary, texts: Iterable[str], rows: int = ROWS_AT_ONCE
) -> Iterator[tuple[str, FloatArray]]:
    """Yield a text in parts, each with the nats of its characters; 0 for the very first.

    The state is carried through the whole text, as in `score_stream`.
    """
    chunk = columns_at_once(network, rows)
    parts: list[str] = []  # what `stretches` has handed out and is not scored yet

    def stretches() -> Iterator[IdArray]:
        before = np.empty(0, vocabulary.id_type)
        for part in _parts(texts, segment_length(network, chunk), chunk):
            ids = np.concatenate([before, vocabulary.encode(part)])
            before = ids[-1:]
            parts.append(part)
            if len(ids) > 1:
                yield ids

    first = True
    for reading in read_stretches(network, stretches(), streams=rows, chunk=chunk):
        text = "".join(parts)
        parts.clear()
        yield text, np.concatenate([[0], reading.nats()]) if first else reading.nats()
        first = False
    if parts:
        yield "".join(parts), np.zeros(1, np.float32)


def _parts(texts: Iterable[str], longest: int, chunk: int) -> Iterator[str]:
    """Cut texts into parts of whole chunks, at most `longest`, and what is left of each."""
    first = True
    for text in texts:
        if first and text:  # the first character is no target: what follows it is
            yield text[0]
            text, first = text[1:], False  # noqa: PLW2901
        whole = len(text) // chunk * chunk
        yield from (text[at : min(at + longest, whole)] for at in range(0, whole, longest))
        if whole < len(text):
            yield text[whole:]
