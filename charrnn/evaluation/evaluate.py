"""The loss of a text under a network: stateful, in windows, and line by line.

Written against the Network protocol, so that `charrnn eval` and the validation of a training run
count the same things in the same way, on NumPy's network or torch's. Every target is counted
exactly once, padding never, and how many rows are read side by side changes nothing but the time.

Shapes: S parts of the state, L layers, B batch, T time, H hidden, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from charrnn.evaluation.scoring import (
    Counts,
    Rows,
    Score,
    Starts,
    Tally,
    columns_at_once,
    count_ids,
    has_end,
    longest_first,
    read_columns,
)
from charrnn.evaluation.stateful import ParallelReading
from charrnn.network import FloatArray, IdArray, Network
from charrnn.text.vocabulary import Vocabulary

Progress = Callable[[int], None]
"""Told how many targets were scored since it was told last."""

ROWS_AT_ONCE = 32
"""Streams, windows or lines that are read side by side, in one thread."""
ROWS_PER_THREAD = 16
"""Fewer rows than these would cost a thread more than another one saves."""
SHORTEST_STREAM = 1024
REMEMBERED_BYTES = 64 << 20
LONGEST_SEGMENT = 1 << 22
"""Targets that are read before what is known of each is let go of."""


def unheard(_targets: int) -> None:
    """Ignore progress."""


def score_text(  # noqa: PLR0913 - what it takes beyond the text is named
    network: Network,
    ids: IdArray,
    starts: Starts | None,
    vocabulary: Vocabulary,
    *,
    cut_at: int | None = None,
    window: int | None = None,
    rows: int = ROWS_AT_ONCE,
    progress: Progress = unheard,
) -> Score:
    """Score a text as its kind and `window` ask for: by lines, in windows, or stateful.

    Args:
        network: what predicts.
        ids: the text.
        starts: where its lines or examples begin and the last one ends, or None for a stream.
        vocabulary: what the ids mean.
        cut_at: the length of examples that were cut, whose end is no target.
        window: targets in a window; None carries the state through a stream.
        rows: how many streams, windows or lines to read side by side at most.
        progress: told of every batch of targets scored.
    """
    if starts is not None:
        return score_lines(
            network, ids, starts, vocabulary, cut_at=cut_at, batch_size=rows, progress=progress
        )
    unknown_id = vocabulary.unk_id
    if window is not None:
        return score_windows(
            network, ids, window, unknown_id=unknown_id, batch_size=rows, progress=progress
        )
    return score_stream(network, ids, unknown_id=unknown_id, streams=rows, progress=progress)


def score_stream(
    network: Network,
    ids: IdArray,
    *,
    unknown_id: int,
    streams: int = ROWS_AT_ONCE,
    chunk: int | None = None,
    progress: Progress = unheard,
) -> Score:
    """Score one text with the state carried through it from a zero state: stateful evaluation.

    The text is read in parallel streams, and corrected until the result is that of reading it
    character by character, up to float32 rounding (see `stateful`).

    Args:
        network: what predicts.
        ids: the text, N ids; the N - 1 that have a predecessor are the targets.
        unknown_id: the id of <unk>.
        streams: how many streams to read side by side at most; short texts take fewer.
        chunk: characters between two comparisons of the states; chosen from the vocabulary's
            size if left out.
        progress: told of every batch of targets scored for the first time.
    """
    chunk = chunk or columns_at_once(network, streams)
    stretches = _stretches(network, ids, chunk)
    readings = read_stretches(network, stretches, streams=streams, chunk=chunk, progress=progress)
    return sum((reading.score(unknown_id) for reading in readings), Score())


def nats_of_stream(
    network: Network, ids: IdArray, *, streams: int = ROWS_AT_ONCE, progress: Progress = unheard
) -> FloatArray:
    """Score one text as `score_stream` does; the nats of each target, (N - 1,)."""
    chunk = columns_at_once(network, streams)
    stretches = _stretches(network, ids, chunk)
    readings = read_stretches(network, stretches, streams=streams, chunk=chunk, progress=progress)
    return np.concatenate([reading.nats() for reading in readings])


def read_stretches(
    network: Network,
    stretches: Iterable[IdArray],
    *,
    streams: int,
    chunk: int,
    progress: Progress = unheard,
) -> Iterator[ParallelReading]:
    """Read a text that comes in stretches, with the state carried from each to the next.

    Args:
        network: what predicts.
        stretches: each begins with the last id of the one before it, and has whole chunks of
            targets, or fewer than one chunk; the last may have any number.
        streams: how many streams to read side by side at most.
        chunk: characters between two comparisons of the states.
        progress: told of every batch of targets scored for the first time.
    """
    state_SL1H = network.initial_state(1)
    for stretch in stretches:
        row_length = _row_length(len(stretch) - 1, streams, chunk)
        reading = ParallelReading(network, stretch, state_SL1H, row_length=row_length, chunk=chunk)
        reading.run(progress)
        yield reading
        state_SL1H = reading.last_state()


def score_windows(
    network: Network,
    ids: IdArray,
    window: int,
    *,
    unknown_id: int,
    batch_size: int = ROWS_AT_ONCE,
    progress: Progress = unheard,
) -> Score:
    """Score one text in windows of `window` targets, each from a zero state.

    The first input of a window is the last target of the one before it, so each of the N - 1
    targets of N ids is counted once; the last window may be shorter. This is what networks
    without a state, transformers, are measured with.
    """
    rows = Rows.stretches(ids, min(window, len(ids)))
    unknown_chars = int(count_ids(ids[1:], network.vocabulary_size)[unknown_id])
    return _score_rows(network, rows, batch_size, progress, unknown_chars)


def score_lines(
    network: Network,
    ids: IdArray,
    starts: Starts,
    vocabulary: Vocabulary,
    *,
    cut_at: int | None = None,
    batch_size: int = ROWS_AT_ONCE,
    progress: Progress = unheard,
) -> Score:
    """Score lines or examples, each from a zero state and <bos>, its end <eos> the last target.

    Args:
        network: what predicts.
        ids: the characters of all lines, one line after the other.
        starts: where each line begins in `ids`, and after the last where it ends.
        vocabulary: what the ids mean.
        cut_at: the length of those that were cut, whose end is no target.
        batch_size: how many lines to read side by side at most.
        progress: told of every batch of targets scored.
    """
    rows = Rows.lines(ids, starts, vocabulary, cut_at)
    unknown_chars = int(count_ids(ids, network.vocabulary_size)[vocabulary.unk_id])
    return _score_rows(network, rows, batch_size, progress, unknown_chars)


def nats_of_lines(
    network: Network,
    ids: IdArray,
    starts: Starts,
    vocabulary: Vocabulary,
    *,
    cut_at: int | None = None,
    batch_size: int = ROWS_AT_ONCE,
) -> FloatArray:
    """Score lines as `score_lines` does; the nats of each target, line after line, ends included.

    Without cut ones, the target t of line i stands at `starts[i] + i + t`.
    """
    rows = Rows.lines(ids, starts, vocabulary, cut_at)
    ends_before = np.concatenate([[0], np.cumsum(has_end(starts, cut_at))])
    borders = np.asarray(starts).astype(np.int64) + ends_before
    firsts = borders[:-1][longest_first(np.diff(borders))]
    nats_N = np.zeros(int(borders[-1]), np.float32)
    for which, times_T, tally in _read_rows(network, rows, batch_size):
        counted_BT = times_T < rows.lengths[which, None]
        nats_N[(firsts[which, None] + times_T)[counted_BT]] = tally.nats_BT[counted_BT]
    return nats_N


def score_sample(  # noqa: PLR0913 - what it takes beyond the text is named
    network: Network,
    ids: IdArray,
    starts: Starts | None,
    vocabulary: Vocabulary,
    *,
    chars: int,
    cut_at: int | None = None,
    rows: int = ROWS_AT_ONCE,
    progress: Progress = unheard,
) -> Score:
    """Score about so many characters of a text, spread evenly over it: an estimate of its loss.

    A text of lines is read in every n-th of them, the longest being first; a stream in `rows`
    stretches, each from a zero state. Unknown characters are not counted.
    """
    if starts is None:
        sample = Rows.spread(ids, rows, max(1, chars // rows))
    else:
        sample = Rows.lines(ids, starts, vocabulary, cut_at).every(-(-len(ids) // chars))
    return _score_rows(network, sample, rows, progress, unknown_chars=0)


def _score_rows(
    network: Network, rows: Rows, batch_size: int, progress: Progress, unknown_chars: int
) -> Score:
    """Score rows that have nothing to do with each other."""
    score = Score(unknown_chars=unknown_chars)
    for _, _, tally in _read_rows(network, rows, batch_size):
        score += Score(float(tally.nats_B.sum()), tally.targets, int(tally.correct_B.sum()))
        progress(tally.targets)
    return score


def _read_rows(
    network: Network, rows: Rows, batch_size: int
) -> Iterator[tuple[Counts, Counts, Tally]]:
    """Yield rows, steps in time and their tally, letting go of each row when it ends."""
    for first in range(0, len(rows.lengths), batch_size):
        which = np.arange(first, min(first + batch_size, len(rows.lengths)))
        chunk = columns_at_once(network, len(which))
        state_SLBH = network.initial_state(len(which))
        longest = int(rows.lengths[first])
        for begin in range(0, longest, chunk):
            which = which[rows.lengths[which] > begin]
            times_T = np.arange(begin, min(begin + chunk, longest))
            tally, state_SLBH = read_columns(
                network, rows, which, times_T, state_SLBH[:, :, : len(which)]
            )
            yield which, times_T, tally


def segment_length(network: Network, chunk: int) -> int:
    """How many targets, in whole chunks, can be read at once with every chunk's state in memory."""
    chunks = min(REMEMBERED_BYTES // network.initial_state(1).nbytes, LONGEST_SEGMENT // chunk)
    return max(1, chunks) * chunk


def _stretches(network: Network, ids: IdArray, chunk: int) -> Iterator[IdArray]:
    segment = segment_length(network, chunk)
    return (ids[at : at + segment + 1] for at in range(0, len(ids) - 1, segment))


def _row_length(targets: int, streams: int, chunk: int) -> int:
    """How many targets each row has, in whole chunks, for rows worth being read in parallel."""
    row_count = max(1, min(streams, targets // SHORTEST_STREAM))
    chunks = -(-targets // (row_count * chunk))
    return chunks * chunk


def rows_for(threads: int) -> int:
    """How many rows to read side by side, so that every thread has its share."""
    return max(ROWS_AT_ONCE, ROWS_PER_THREAD * threads)


class ThreadedNetwork:
    """A network that shares out the rows of large batches among threads.

    Every thread has single-threaded products of its own, so that none waits for another before a
    whole chunk of time is done. NumPy and torch release Python's lock while they compute.
    """

    def __init__(self, network: Network, threads: int) -> None:
        self._network = network
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    @property
    def vocabulary_size(self) -> int:
        """The number of ids the network can read and predict."""
        return self._network.vocabulary_size

    def initial_state(self, batch_size: int) -> FloatArray:
        """The state before any character: zeros, shape (S, L, B, H)."""
        return self._network.initial_state(batch_size)

    def advance(self, ids_BT: IdArray, state_SLBH: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read T ids in each of B rows; logits (B, T, V) and the state after, as `Network` says."""
        parts = min(self._threads, len(ids_BT) // ROWS_PER_THREAD)
        if parts <= 1:
            return self._network.advance(ids_BT, state_SLBH)
        answers = list(
            self._pool.map(
                self._network.advance,
                np.array_split(ids_BT, parts),
                np.array_split(state_SLBH, parts, axis=2),
            )
        )
        logits, states = zip(*answers, strict=True)
        return np.concatenate(logits), np.concatenate(states, axis=2)
