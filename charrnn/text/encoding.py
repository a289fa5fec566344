"""From a surveyed text to ids on disk: where it is split, which characters count, both files.

In order, the text is read once more and written as it comes. Shuffled, it takes two more passes:
only when it is known which lines are for training is the vocabulary, and only then can the lines
become ids, which are gathered in their new order.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from charrnn.errors import UserError
from charrnn.text.census import Census
from charrnn.text.code_points import is_surrogate
from charrnn.text.manifest import SPLITS, SplitName, SplitRecord, TextOptions
from charrnn.text.pieces import FEWEST_UNITS, Piece
from charrnn.text.progress import Progress
from charrnn.text.shuffle import LineNumbers, LineStore, line_lengths, random_order
from charrnn.text.sources import Request
from charrnn.text.split_file import SplitFile
from charrnn.text.survey import Survey, read_pieces
from charrnn.text.threads import Background
from charrnn.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Encoded:
    """What was written."""

    vocabulary: Vocabulary
    splits: dict[str, SplitRecord]


@dataclass(frozen=True)
class Encoder:
    """Writes the ids of a surveyed text to files in `folder`."""

    request: Request
    options: TextOptions
    survey: Survey
    folder: Path
    progress: Progress

    def encode(self) -> Encoded:
        """Choose the vocabulary and write both splits.

        Raises:
            UserError: The text is too short, or nothing in it is frequent enough.
            OSError: The disk is full, for example.
        """
        train_units = self._train_units()
        if self.options.shuffle_seed is None:
            return self._encode_in_order(train_units)
        order = random_order(self.survey.census.units, self.options.shuffle_seed)
        return self._encode_shuffled(order[:train_units], order[train_units:])

    def _encode_in_order(self, train_units: int) -> Encoded:
        vocabulary = self._vocabulary(self.survey.census.settled_before(train_units))
        with self._split_files(vocabulary) as files, Background() as background:
            for split, piece in divided(self._pieces("encoding"), train_units):
                ids = vocabulary.encode_code_points(piece.points)
                background.do(files[split].write, ids, piece.ends)
        return _encoded(vocabulary, files)

    def _encode_shuffled(self, train: LineNumbers, valid: LineNumbers) -> Encoded:
        vocabulary = self._vocabulary(self._frequent_in_lines(train))
        path = self.folder / "unshuffled"
        store = self._store_lines(path, vocabulary)
        total = self.survey.census.characters
        with (
            self._split_files(vocabulary) as files,
            self.progress("shuffling", total, unit="characters") as advance,
        ):
            for split, lines in zip(SPLITS, (train, valid), strict=True):
                for ids, ends in store.gathered(lines):
                    files[split].write(ids, ends)
                    advance(len(ids))
        path.unlink()
        return _encoded(vocabulary, files)

    def _train_units(self) -> int:
        """Return how many characters or lines are for training, the first ones."""
        total = self.survey.census.units
        train = int(total * (1 - self.options.valid_fraction))
        if min(train, total - train) < FEWEST_UNITS[self.options.mode]:
            raise self._too_short(train, total - train)
        return train

    def _too_short(self, train: int, valid: int) -> UserError:
        name = ", ".join(self.request.names)
        if self.request.size == 0:
            return UserError(f"{name} is empty", hint="there is nothing to learn from")
        unit = "lines" if self.options.mode == "lines" else "characters"
        return UserError(
            f"{name} is too short: it has {train} {unit} for training and {valid} for validation",
            hint="use a longer text, or another data.valid_fraction",
        )

    def _vocabulary(self, characters: list[str]) -> Vocabulary:
        if not characters:
            raise UserError(
                f"no character is seen {self.options.min_count:,} times in the training part",
                hint="lower data.min_count",
            )
        for char in characters:
            if is_surrogate(ord(char)):
                raise UserError(
                    f"the text holds U+{ord(char):04X}, half of a pair and no character",
                    hint=f"{self.options.encoding} may be the wrong data.encoding",
                )
        return Vocabulary.from_characters(characters, lines=self.options.mode == "lines")

    def _frequent_in_lines(self, train: LineNumbers) -> list[str]:
        """Return the characters that these lines hold often enough."""
        # One more entry than there are lines: in the last piece nothing follows the last end.
        is_train = np.zeros(self.survey.census.units + 1, np.bool_)
        is_train[train] = True
        census = Census(self.options.min_count)
        first_line = 0
        for piece in self._pieces("counting"):
            census.add(Piece(_points_in_lines(piece, is_train[first_line:])))
            first_line += piece.units
        return census.settled_before(census.units)

    def _store_lines(self, path: Path, vocabulary: Vocabulary) -> LineStore:
        lengths = np.empty(self.survey.census.units, np.uint32)
        first_line = carried = 0
        with path.open("wb") as file, Background() as background:
            for piece in self._pieces("encoding"):
                background.do(file.write, vocabulary.encode_code_points(piece.points).data)
                sizes = _sizes(piece)
                sizes[0] += carried
                carried = int(sizes[-1])
                lengths[first_line : first_line + piece.units] = line_lengths(sizes[:-1])
                first_line += piece.units
        return LineStore(path, vocabulary.id_type, lengths)

    def _pieces(self, description: str) -> Iterator[Piece]:
        with self.progress(description, self.request.size, unit="bytes") as advance:
            yield from read_pieces(
                self.request, self.options, lambda _source, chunk: advance(len(chunk))
            )

    @contextmanager
    def _split_files(self, vocabulary: Vocabulary) -> Iterator[dict[SplitName, SplitFile]]:
        with ExitStack() as stack:
            yield {
                split: stack.enter_context(
                    SplitFile(self.folder, split, vocabulary, self.options.mode)
                )
                for split in SPLITS
            }


def divided(pieces: Iterable[Piece], train_units: int) -> Iterator[tuple[SplitName, Piece]]:
    """Yield each piece with the split it belongs to, the one that the split falls in cut in two."""
    left = train_units
    for piece in pieces:
        if piece.units < left:
            yield "train", piece
        elif left == 0:
            yield "valid", piece
        else:
            train, valid = piece.cut_after(left)
            yield "train", train
            yield "valid", valid
        left = max(left - piece.units, 0)


def _sizes(piece: Piece) -> npt.NDArray[np.int64]:
    """Return how many of the piece's characters each line has, the unfinished last one too."""
    assert piece.ends is not None
    return np.diff(piece.ends, prepend=0, append=len(piece.points))


def _points_in_lines(
    piece: Piece, is_wanted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.unsignedinteger]:
    """Return the characters of those lines of the piece that are wanted."""
    sizes = _sizes(piece)
    return piece.points[np.repeat(is_wanted[: len(sizes)], sizes)]


def _encoded(vocabulary: Vocabulary, files: dict[SplitName, SplitFile]) -> Encoded:
    return Encoded(vocabulary, {split: file.record() for split, file in files.items()})
