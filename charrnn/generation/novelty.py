"""How much of an output stands verbatim in the training text, and the longest such span.

Rabin-Karp with the parts swapped: the output is small, so the hashes of its windows fit in a table,
and the training text is read once in chunks, every window of it hashed (at a few nanoseconds each)
and looked up. Windows whose hashes agree are compared character by character, so the answer is
exact, and memory depends on the output alone. A window is a stretch of a given number of characters
in a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.network import IdArray

CHUNK = 1 << 18
"""Windows of the training text that are hashed at once: what fits in a processor's cache."""
COMPARED_AT_ONCE = 1 << 20
"""Most characters compared at once."""

HashArray = npt.NDArray[np.uint64]
PlaceArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Novelty:
    """What an output has in common with the training text.

    Attributes:
        span: the number of characters from which on a common span counts as copied.
        copied_share: the share of the output's characters, 0 to 1, that lie in copied spans.
        longest: the length of the longest common span, whether it counts as copied or not.
        longest_at_output: the place in the output where that span begins; None if there is none.
        longest_at_train: a place in the training text where it stands; None if there is none.
    """

    span: int
    copied_share: float
    longest: int
    longest_at_output: int | None
    longest_at_train: int | None


def measure_novelty(
    train_ids: IdArray, output_ids: IdArray, span: int, *, starts: IdArray | None = None
) -> Novelty:
    """Compare an output with the training text.

    Args:
        train_ids: the ids of the training text, one after another; may be memory-mapped.
        output_ids: the ids of the output, without the seed.
        span: the least number of characters in a row that counts as copied.
        starts: where each line begins in `train_ids`, and behind the last one its end; a span
            then never reaches across lines. None: one continuous text.

    Raises:
        UserError: `span` is less than 1.
    """
    if span < 1:
        raise UserError("--novelty must be at least 1 character.", hint="50 is a good number.")
    text = _Text(train_ids, starts)
    output = np.asarray(output_ids).astype(np.int64)
    copied = _copied_windows(text, output, span)
    longest = _longest_span(text, output, span, copied)
    return Novelty(
        span=span,
        copied_share=_share_covered(copied, span, len(output)),
        longest=longest.length,
        longest_at_output=longest.at_output,
        longest_at_train=longest.at_train,
    )


class _Text:
    """The training text, read in chunks."""

    def __init__(self, ids: IdArray, starts: IdArray | None) -> None:
        self._ids = ids
        # Signed, for numpy compares unsigned with signed numbers as floats.
        self._starts = None if starts is None else starts.astype(np.int64, copy=False)

    def chunks(self, length: int) -> Iterator[tuple[int, IdArray]]:
        """Stretches of the text, each with its place, that together hold every window once."""
        for place in range(0, len(self._ids) - length + 1, CHUNK):
            yield place, np.asarray(self._ids[place : place + CHUNK + length - 1])

    def within_line(self, places: PlaceArray, length: int) -> BoolArray:
        """Whether the windows at `places` each lie in a single line."""
        if self._starts is None:
            return np.ones(len(places), dtype=np.bool_)
        line_ends = self._starts[np.searchsorted(self._starts, places, side="right")]
        return places + length <= line_ends


class _Windows:
    """The distinct windows of one length at some places of the output.

    Attributes:
        places: the places in the output, but for those left over.
        number_of: for each of the places, which distinct window stands there.
        left_over: places whose window has the hash of another one (hardly ever any).
    """

    def __init__(self, output: IdArray, places: PlaceArray, length: int) -> None:
        hashes = _hashes(output, length)[places]
        self._hashes, first, number_of = np.unique(hashes, return_index=True, return_inverse=True)
        self._length = length
        self._output = output
        self._first = places[first]
        alike = _equal(output, places, output, self._first[number_of], length)
        self.places, self.left_over = places[alike], places[~alike]
        self.number_of: PlaceArray = number_of[alike]

    def find_in(self, text: _Text) -> Iterator[tuple[PlaceArray, PlaceArray]]:
        """Search the text: per chunk the numbers of newly found windows, and where they stand."""
        missing = np.ones(len(self._hashes), dtype=np.bool_)
        for offset, chunk in text.chunks(self._length):
            numbers, places = self._candidates(chunk, missing)
            in_line = text.within_line(places + offset, self._length)
            numbers, places = self._verified(chunk, numbers[in_line], places[in_line])
            if len(numbers):
                missing[numbers] = False
                yield numbers, places + offset
            if not missing.any():
                return

    def places_of(self, numbers: PlaceArray) -> PlaceArray:
        """A place in the output for each of the given windows."""
        return self._first[numbers]

    def _candidates(self, chunk: IdArray, missing: BoolArray) -> tuple[PlaceArray, PlaceArray]:
        """The missing windows whose hashes occur in a chunk, and where, in order of place."""
        hashes = _hashes(chunk, self._length)
        places = _possible(hashes, self._hashes[missing])
        numbers = np.searchsorted(self._hashes, hashes[places]).clip(max=len(self._hashes) - 1)
        hit = (self._hashes[numbers] == hashes[places]) & missing[numbers]
        return numbers[hit], places[hit]

    def _verified(
        self, chunk: IdArray, numbers: PlaceArray, places: PlaceArray
    ) -> tuple[PlaceArray, PlaceArray]:
        """The windows that truly stand in a chunk, each with the first of its places.

        One candidate of each window is compared at a time; nearly always the first one is true.
        """
        found = [(numbers[:0], places[:0])]
        while len(numbers):
            tried, first = np.unique(numbers, return_index=True)
            true = _equal(chunk, places[first], self._output, self._first[tried], self._length)
            found.append((tried[true], places[first][true]))
            open_ones = ~np.isin(numbers, tried[true])
            open_ones[first] = False
            numbers, places = numbers[open_ones], places[open_ones]
        return np.concatenate([n for n, _ in found]), np.concatenate([p for _, p in found])


def _distinct_windows(output: IdArray, places: PlaceArray, length: int) -> Iterator[_Windows]:
    """The windows at `places` of the output; several sets only if different ones share a hash."""
    while len(places):
        windows = _Windows(output, places, length)
        yield windows
        places = windows.left_over


def _copied_windows(text: _Text, output: IdArray, span: int) -> BoolArray:
    """For every window of `span` characters of the output, whether it stands in the text."""
    copied = np.zeros(max(len(output) - span + 1, 0), dtype=np.bool_)
    for windows in _distinct_windows(output, np.arange(len(copied)), span):
        found = np.zeros(len(windows.places) + 1, dtype=np.bool_)
        for numbers, _ in windows.find_in(text):
            found[numbers] = True
        copied[windows.places] = found[windows.number_of]
    return copied


def _share_covered(copied: BoolArray, span: int, length: int) -> float:
    """The share of `length` characters that lie in at least one copied window."""
    if not copied.any():
        return 0.0
    begun = np.cumsum(copied)
    begun_and_ended = np.zeros(length, dtype=begun.dtype)
    begun_and_ended[span:] = begun[: length - span]
    begun_so_far = np.concatenate([begun, np.full(span - 1, begun[-1])])
    return float(np.mean(begun_so_far > begun_and_ended))


@dataclass(frozen=True)
class _Span:
    length: int
    at_output: int | None
    at_train: int | None


def _longest_span(text: _Text, output: IdArray, span: int, copied: BoolArray) -> _Span:
    """The longest span of the output that stands in the text, by bisection over its length.

    `copied` says which windows of `span` characters stand in the text: that bounds the length from
    one side and leaves few places for longer windows.
    """
    known, limit = (span - 1, _longest_run(copied) + span - 1) if copied.any() else (0, span - 1)
    limit = min(limit, len(output))
    longest = _Span(0, None, None)
    probe = limit  # an output that copies mostly copies in one piece: then this settles it
    while known < limit:
        found = _first_match(text, output, _places_for(probe, span, copied, len(output)), probe)
        if found is None:
            limit = probe - 1
        else:
            longest, known = found, probe
        probe = (known + limit + 1) // 2
    return longest


def _places_for(length: int, span: int, copied: BoolArray, output_length: int) -> PlaceArray:
    """The places of the output where a window of `length` characters may stand in the text.

    All windows of `span` characters within it must.
    """
    if length < span:
        return np.arange(output_length - length + 1)
    inside = length - span + 1
    sums = np.concatenate([[0], np.cumsum(copied)])
    return np.flatnonzero(sums[inside:] - sums[:-inside] == inside)


def _longest_run(flags: BoolArray) -> int:
    """The greatest number of true values in a row."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _first_match(text: _Text, output: IdArray, places: PlaceArray, length: int) -> _Span | None:
    """A window at one of `places` that stands in the text: the first one found."""
    for windows in _distinct_windows(output, places, length):
        for numbers, at_train in windows.find_in(text):
            first = int(at_train.argmin())
            at_output = int(windows.places_of(numbers)[first])
            return _Span(length, at_output, int(at_train[first]))
    return None


_BASE = 0x9E3779B97F4A7C15
_INVERSE_BASE = pow(_BASE, -1, 1 << 64)


def _hashes(ids: IdArray, length: int) -> HashArray:
    """A hash of every window of `length` ids: a polynomial in an odd base, modulo 2**64.

    With c(j) the code of id j and b the base, the window at i has the hash
    c(i) + c(i+1) b + c(i+2) b**2 + ..., taken from running sums of c(j) b**j.
    """
    sums = np.zeros(len(ids) + 1, dtype=np.uint64)
    np.cumsum(_codes(ids) * _powers(_BASE, len(ids)), out=sums[1:])
    hashes = sums[length:] - sums[:-length]
    hashes *= _powers(_INVERSE_BASE, len(hashes))
    return hashes


def _codes(ids: IdArray) -> HashArray:
    """A 64-bit number for every id, without pattern (the finaliser of splitmix64)."""
    codes = ids.astype(np.uint64) + np.uint64(1)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        codes *= np.uint64(factor)
        codes ^= codes >> np.uint64(29)
    return codes


@lru_cache(maxsize=8)
def _powers(base: int, count: int) -> HashArray:
    """The powers 0 to `count` - 1 of an odd base, modulo 2**64."""
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)


def _possible(hashes: HashArray, wanted: HashArray) -> PlaceArray:
    """The places of all hashes that are wanted, and of a few that are not.

    A table of the leading bits, small enough for the cache, sorts out nearly all others.
    """
    bits = min(max(len(wanted).bit_length() + 5, 16), 24)
    shift = np.uint64(64 - bits)
    is_wanted = np.zeros(1 << bits, dtype=np.bool_)
    is_wanted[wanted >> shift] = True
    return np.flatnonzero(is_wanted[hashes >> shift])


def _equal(
    left: IdArray, left_places: PlaceArray, right: IdArray, right_places: PlaceArray, length: int
) -> BoolArray:
    """Whether the windows at pairs of places of two arrays of ids are the same."""
    equal = np.empty(len(left_places), dtype=np.bool_)
    within = np.arange(length)
    at_once = max(COMPARED_AT_ONCE // length, 1)
    for begin in range(0, len(equal), at_once):
        pairs = slice(begin, begin + at_once)
        left_ids = left[left_places[pairs, np.newaxis] + within]
        right_ids = right[right_places[pairs, np.newaxis] + within]
        equal[pairs] = (left_ids == right_ids).all(axis=1)
    return equal
