"""Many texts side by side, each with the very bits that it would have in any other company.

A product of R rows reads the weights once for all of them, which is several times cheaper than R
products of one row. But BLAS adds in another order when there are more or fewer rows, or when a
row stands elsewhere among them, and a last bit that differs can become another character. So a
sample has a fixed place, which depends on its number alone: always the same row of a product with
the same number of rows. The first samples have tiles of their own that are small, the very first
ones tiles of one row, so that a few texts are made as quickly as one, and as the same text.

Shapes: R rows, V vocabulary, S parts of the state, L layers, H hidden.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.generation.jobs import Job, log_normalizers
from charrnn.generation.rules import Rules
from charrnn.generation.sampling import BoolArray, Sampler
from charrnn.generation.stream import Stream
from charrnn.inference.network import stepper_for
from charrnn.network import FloatArray, Network

TILE_ROWS = (1, 1, 1, 1, 8, 32, 64)
"""The rows of the first tiles; all samples beyond them take turns in tiles like the last."""


class Place(NamedTuple):
    """Where a sample is computed: the number of a tile, and a row in it."""

    tile: int
    row: int


def place_of(sample: int) -> Place:
    """The place of a sample."""
    for tile, rows in enumerate(TILE_ROWS):
        if sample < rows:
            return Place(tile, sample)
        sample -= rows
    return Place(len(TILE_ROWS) - 1, sample % TILE_ROWS[-1])


class Tile:
    """A product's rows, each with a job or idle."""

    def __init__(self, network: Network, rules: Rules, rows: int) -> None:
        """Begin with all rows idle; `rows` is 2 or more."""
        self.jobs: dict[int, Job] = {}
        """The jobs at work, by row."""
        self._unread: dict[int, list[int]] = {}
        self._rules = rules
        self._network = network
        self._stepper = stepper_for(network, rows)
        self._ids_R = np.zeros(rows, np.intp)
        self._uniforms_R = np.ones(rows)
        self._allowed_RV = np.ones((rows, network.vocabulary_size), np.bool_)
        self._is_masked = rules.goes_on_V is not None or rules.usable_V is not None
        self._is_masked |= rules.constraint is not None
        self._sampler = Sampler(
            rules.options,
            first_id=rules.first_id,
            vocabulary_size=network.vocabulary_size,
            rows=rows,
        )

    def begin(self, row: int, job: Job) -> None:
        """Put a job into an idle row."""
        start_SL1H = job.opening.state_SL1H
        self._stepper.set_row(
            row, self._network.initial_state(1) if start_SL1H is None else start_SL1H
        )
        first, *rest = job.opening.ids
        self._ids_R[row] = first
        self._unread[row] = rest[::-1]
        self.jobs[row] = job
        job.begin()

    def advance(self) -> list[Job]:
        """Read one id in every row, of a seed or drawn; return the jobs that have ended."""
        self._stepper.read(self._ids_R)
        writing = [row for row in self.jobs if not self._unread[row]]
        for row in self.jobs.keys() - writing:
            self._ids_R[row] = self._unread[row].pop()
        if not writing:
            return []
        drawn = self._draw(writing)
        return [job for row, id_ in drawn if (job := self._take(row, id_))]

    def _draw(self, writing: list[int]) -> list[tuple[int, int]]:
        """Draw an id for each row that writes."""
        for row in writing:
            self._uniforms_R[row] = self.jobs[row].uniforms.next()
        logits_RV = self._stepper.predict()
        drawn_R = self._sampler.draw_rows(logits_RV, self._uniforms_R, self._allowed(writing))
        self._score(writing, logits_RV, drawn_R)
        self._ids_R[writing] = drawn_R[writing]
        return list(zip(writing, drawn_R[writing].tolist(), strict=True))

    def _allowed(self, writing: list[int]) -> BoolArray | None:
        if not self._is_masked:
            return None
        self._allowed_RV[...] = True
        for row in writing:
            allowed_V = self.jobs[row].draft.allowed()
            if allowed_V is not None:
                self._allowed_RV[row] = allowed_V
        return self._allowed_RV

    def _score(
        self, writing: list[int], logits_RV: FloatArray, drawn_R: npt.NDArray[np.intp]
    ) -> None:
        if not self.jobs[writing[0]].is_scored:
            return
        chosen_R = logits_RV[np.arange(len(drawn_R)), drawn_R]
        scores = (chosen_R - log_normalizers(logits_RV)).tolist()
        for row in writing:
            self.jobs[row].note(scores[row])

    def _take(self, row: int, id_: int) -> Job | None:
        """Go on with a drawn id; the job, if that was its end."""
        job = self.jobs[row]
        job.take(id_)
        if job.draft.ended_by is None:
            return None
        del self.jobs[row], self._unread[row]
        return job


class Bench:
    """The tiles that one thread works at, made when they are first needed."""

    def __init__(self, network: Network, rules: Rules) -> None:
        self._network = network
        self._rules = rules
        self._tiles: dict[int, Tile] = {}
        self._streams: dict[int, Stream] = {}
        self.taken: set[Place] = set()
        """The places where jobs are at work."""

    def begin(self, place: Place, job: Job) -> None:
        """Put a job at its place, which is free."""
        rows = TILE_ROWS[place.tile]
        if rows == 1:
            self._streams[place.tile] = Stream(self._network, self._rules, job)
        else:
            if place.tile not in self._tiles:
                self._tiles[place.tile] = Tile(self._network, self._rules, rows)
            self._tiles[place.tile].begin(place.row, job)
        self.taken.add(place)

    def advance(self) -> list[Job]:
        """Move every job on by one character; return those that have ended."""
        ended = [job for tile in self._tiles.values() if tile.jobs for job in tile.advance()]
        for number, stream in list(self._streams.items()):
            stream.advance()
            if stream.has_ended:
                ended.append(stream.job)
                del self._streams[number]
        self.taken -= {place_of(job.uniforms.sample) for job in ended}
        return ended
