"""A text as a run's network reads it: what all views but one are about.

It is a sequence of pairs, an input and the target that follows it, in documents: one in stream
mode, one a line in lines mode, where the first input is <bos> and the last target <eos>.

Shapes: N pairs of the text, B rows read side by side, T time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np

from charrnn.config.load import read_run_config
from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.evaluation.eval_text import EvalText, own_split, parts_of_text
from charrnn.evaluation.evaluate import (
    ThreadedNetwork,
    nats_of_lines,
    nats_of_stream,
    rows_for,
)
from charrnn.evaluation.scoring import Counts, Flags, Starts, check_finite, has_end
from charrnn.explain.cells import TracedNetwork
from charrnn.explain.picture import Numbers
from charrnn.inference.network import NumpyNetwork
from charrnn.messages import format_name
from charrnn.network import FloatArray, IdArray
from charrnn.processors import free_threads
from charrnn.run.paths import CONFIG_FILE
from charrnn.run.reader import TrainedModel
from charrnn.text.reading import Part
from charrnn.text.vocabulary import BYTES, REPLACEMENT, Vocabulary, label_of_byte

MOST_CHARACTERS = 1_000_000
"""What is read of a text; a longer one, an endless one too, is explained by its beginning."""
SAMPLE = 100_000
"""Pairs of which the views that look into the network take all that they need."""
FEWEST = 100
"""Pairs without which a mean over places says nothing."""
ROWS = 64
WARM_UP = 256
"""Pairs that a row reads before it counts: by then the network has forgotten the zero state."""
COLUMNS_AT_ONCE = 32

Places = Counts
Read = TypeVar("Read")


class TooLittleError(UserError):
    """A run or a text does not have what a view shows."""


class Text(NamedTuple):
    """A text, and its ids."""

    characters: str
    """Its units, a byte as the character of its number. Without line ends in lines mode; of a
    split, which is known by its ids, <unk> is U+FFFD."""
    ids: IdArray
    starts: Starts | None
    """Lines mode: where in `ids` each line starts, and where the last one ends; else None."""

    def beginning(self, most: int) -> "Text":
        """Take the beginning; whole lines in lines mode, but for a first one that is long."""
        characters, ids, starts = self
        if len(ids) > most and starts is not None:
            starts = starts[starts <= most] if starts[1] <= most else np.array([0, most])
            most = int(starts[-1])
        return Text(characters[:most], ids[:most], starts)


@dataclass(frozen=True)
class Reading:
    """A run, and a text that its network reads."""

    model: TrainedModel
    data: DataConfig
    name: str
    """The text's name, in words."""
    text: Text
    is_cut: bool = False
    """Whether this is only the beginning of it."""
    data_dir: Path | None = None
    """Where prepared corpora are kept, if not where charrnn looks by itself."""

    @classmethod
    def of(
        cls,
        model: TrainedModel,
        name: str | None,
        progress: Progress = silent,
        data_dir: Path | None = None,
    ) -> Self:
        """Read the text `name`, or if that is None the run's validation split.

        Raises:
            UserError: The text cannot be read, or there is nothing in it to predict.
        """
        data = read_run_config(model.path / CONFIG_FILE).data
        if name is None:
            own = own_split(model, data, "valid", progress, data_dir=data_dir)
            names = ", ".join(each.rsplit("/", 1)[-1] for each in data.sources)
            shown = f"the validation split of {format_name(names)}"
            ids, starts = _uncut(own)
            text = Text(model.vocabulary.decode(ids[:MOST_CHARACTERS]), ids, starts)
        else:
            shown = "stdin" if name == "-" else format_name(name)
            parts = parts_of_text(name, model, data, progress, "explain VIEW")
            text = _read_beginning(parts, model.vocabulary, MOST_CHARACTERS + 1)
        reading = cls(model, data, shown, text, data_dir=data_dir).beginning(MOST_CHARACTERS)
        reading.require(1)
        return reading

    def require(self, pairs: int) -> None:
        """Make sure that there are so many characters to predict.

        Raises:
            TooLittleError: There are fewer.
        """
        if (found := len(self.targets_N)) < pairs:
            raise TooLittleError(
                f"{self.source} is too short",
                hint=f"it has {found} {self.unit}s to predict, and {pairs} is the least here",
            )

    @property
    def run(self) -> str:
        """The run's name, for people."""
        return self.model.path.name or str(self.model.path)

    @property
    def source(self) -> str:
        """What is read, in words."""
        if not self.is_cut:
            return self.name
        return f"the first {len(self.text.ids):,} {self.unit}s of {self.name}"

    @property
    def unit(self) -> str:
        """What the text is counted in: character or byte."""
        return self.model.vocabulary.unit

    @property
    def about(self) -> Numbers:
        """What the numbers of a view begin with."""
        return {"run": self.run, "source": self.source, "text_unit": self.unit}

    @property
    def is_lines(self) -> bool:
        """Whether each line is read for itself."""
        return self.text.starts is not None

    @cached_property
    def network(self) -> ThreadedNetwork:
        """The run's network."""
        return ThreadedNetwork(NumpyNetwork.of(self.model), free_threads())

    @cached_property
    def traced(self) -> TracedNetwork:
        """The same network, with all that it computes."""
        return TracedNetwork(self.model)

    # --- The pairs -------------------------------------------------------------------------------

    @cached_property
    def documents(self) -> Places:
        """Where each document begins among the pairs, and where the last one ends."""
        if self.text.starts is None:
            return np.array([0, max(0, len(self.text.ids) - 1)])
        return self._starts + np.arange(len(self._starts))

    @cached_property
    def inputs_N(self) -> IdArray:
        """The id that is read before each target."""
        bos_id = self.model.vocabulary.bos_id
        if bos_id is None:
            return self.text.ids[:-1]
        return np.insert(self.text.ids, self._starts[:-1], bos_id)

    @cached_property
    def targets_N(self) -> IdArray:
        """The ids that are predicted."""
        eos_id = self.model.vocabulary.eos_id
        if eos_id is None:
            return self.text.ids[1:]
        return np.insert(self.text.ids, self._starts[1:], eos_id)

    @property
    def _starts(self) -> Places:
        return np.asarray(self.text.starts).astype(np.int64)

    # --- What they are to a reader ---------------------------------------------------------------

    @cached_property
    def content(self) -> str:
        """The text, with its line ends."""
        characters, _, starts = self.text
        if starts is None:
            return characters
        return "".join(f"{characters[begin:end]}\n" for begin, end in pairwise(starts.tolist()))

    @property
    def content_bytes(self) -> bytes:
        """The bytes of the text, with its line ends."""
        return self.content.encode("latin-1" if self.unit == "byte" else "utf-8")

    @property
    def characters(self) -> list[str]:
        """What stands for each unit of the content, for people."""
        if self.unit == "character":
            return list(self.content)
        labels = {chr(byte): label_of_byte(byte) for byte in range(BYTES)}
        return [labels[unit] for unit in self.content]

    @property
    def input_characters(self) -> list[str]:
        """What is read before each target; a line, from the end of the one before it."""
        return [*(["\n"] if self.is_lines else []), *self.characters[:-1]]

    def glyph(self, id_: int) -> str:
        """What an id is when it is predicted: the end of a line is a line end."""
        vocabulary = self.model.vocabulary
        if id_ == vocabulary.unk_id:
            return REPLACEMENT
        return "\n" if id_ == vocabulary.eos_id else vocabulary.label(id_)

    # --- Reading ---------------------------------------------------------------------------------

    @cached_property
    def nats_N(self) -> FloatArray:
        """What each target costs, as `charrnn eval` counts it.

        Raises:
            RunFailedError: The weights are such that the predictions overflow.
        """
        rows, text = rows_for(free_threads()), self.text
        if text.starts is None:
            nats_N = nats_of_stream(self.network, text.ids, streams=rows)
        else:
            known = self.model.vocabulary
            nats_N = nats_of_lines(self.network, text.ids, text.starts, known, batch_size=rows)
        check_finite(float(nats_N.mean(dtype=np.float64)), self.model.path)
        return nats_N

    @property
    def loss_nats(self) -> float:
        """The mean of what the targets cost."""
        return float(self.nats_N.mean(dtype=np.float64))

    def sample(self) -> Self:
        """The beginning of the text that is enough to look into the network."""
        return self.beginning(SAMPLE)

    def beginning(self, most: int) -> Self:
        """The beginning of the text, or all of it if it is no longer."""
        text = self.text.beginning(most)
        return (
            self if len(text.ids) == len(self.text.ids) else replace(self, text=text, is_cut=True)
        )

    def read(
        self, advance: Callable[[IdArray, FloatArray], tuple[Read, FloatArray]]
    ) -> Iterator[tuple[Places, Flags, Read]]:
        """Read the text in rows side by side, some columns at a time.

        A row of a stream begins `WARM_UP` pairs before it counts.

        Args:
            advance: `NumpyNetwork.advance` or `TracedNetwork.advance`.

        Yields:
            Which pair of the text stands where, (B, T); which of them count, so that every pair
            counts once; and what `advance` returned.
        """
        for begins_B, counts_from_B, ends_B in self._rows():
            state_SLBH = self.network.initial_state(len(begins_B))
            for at in range(0, int((ends_B - begins_B).max()), COLUMNS_AT_ONCE):
                places_BT = begins_B[:, None] + np.arange(at, at + COLUMNS_AT_ONCE)
                counted_BT = (places_BT >= counts_from_B[:, None]) & (places_BT < ends_B[:, None])
                ids_BT = self.inputs_N.take(places_BT, mode="clip")
                result, state_SLBH = advance(ids_BT, state_SLBH)
                yield places_BT, counted_BT, result

    def _rows(self) -> Iterator[tuple[Places, Places, Places]]:
        """Yield where each row of a batch begins, where it begins to count, and where it ends."""
        if self.is_lines:
            order = np.argsort(-np.diff(self.documents), kind="stable")
            for at in range(0, len(order), ROWS):
                which = order[at : at + ROWS]
                yield self.documents[which], self.documents[which], self.documents[which + 1]
            return
        pairs = len(self.targets_N)
        length = max(WARM_UP, -(-pairs // ROWS))
        counts_from_B = np.arange(0, pairs, length)
        ends_B = np.minimum(counts_from_B + length, pairs)
        yield np.maximum(0, counts_from_B - WARM_UP), counts_from_B, ends_B


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be explained, and how."""

    models: Sequence[TrainedModel]
    text: str | None = None
    """The text's name, or for `step` the text itself; None: the runs' validation splits."""
    data_dir: Path | None = None
    """Where prepared corpora are kept, if not where charrnn looks by itself."""
    show: int
    """Characters of a text that are shown."""
    unit: int | None = None
    """The hidden unit whose activation is shown; None: the one that follows something best."""
    all_units: bool = False
    """Whether all of them can be chosen where the numbers are shown."""
    progress: Progress = silent

    @property
    def model(self) -> TrainedModel:
        """The one run."""
        return self.models[0]

    @cached_property
    def readings(self) -> list[Reading]:
        """Each run with its text."""
        return [Reading.of(each, self.text, self.progress, self.data_dir) for each in self.models]

    @property
    def reading(self) -> Reading:
        """The one run with its text."""
        return self.readings[0]


def _uncut(split: EvalText) -> tuple[IdArray, Starts | None]:
    """The ids of a split and where each line starts, without examples that were cut."""
    if split.starts is None or split.cut_at is None:
        return split.ids, split.starts
    lengths, kept = np.diff(split.starts), has_end(split.starts, split.cut_at)
    starts: Starts = np.cumsum(np.concatenate([[0], lengths[kept]]))
    return split.ids[np.repeat(kept, lengths)], starts


def _read_beginning(parts: Iterator[Part], vocabulary: Vocabulary, most: int) -> Text:
    """Read a text in parts until there is enough of it."""
    length = 0
    chars, lengths = [""], [np.zeros(1, np.int64)]
    for part in parts:
        chars.append(part.chars)
        if part.lengths is not None:
            lengths.append(part.lengths[part.lengths > 0])
        length += len(part.chars)
        if length >= most:
            break
    text = "".join(chars)
    starts = np.cumsum(np.concatenate(lengths)) if vocabulary.has_lines else None
    return Text(text, vocabulary.encode(text), starts)
