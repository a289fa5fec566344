"""The prepared corpus: a folder with ids, vocabulary and manifest, made once and then only read.

    data/prepared/NAME/
      manifest.json        what it was made of, how, and the sizes of everything (Manifest)
      vocabulary.json      the characters in id order
      train_ids.npy        the ids of the training split, of the smallest sufficient type
      valid_ids.npy
      train_starts.npy     lines, examples: number i is ids[starts[i]:starts[i + 1]]
      valid_starts.npy

NAME holds a hash of text and options, so that nothing is ever overwritten.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.files import check_format_version, expanded, read_json_object
from charrnn.messages import format_path
from charrnn.text.array_file import PREPARE_HINT, Array, check_array, load_array
from charrnn.text.decoding import ErrorHandling, canonical_encoding
from charrnn.text.examples import LINE
from charrnn.text.vocabulary import IdArray, Unit, Vocabulary
from charrnn.validation import damaged, record_from_json

PREPARED_FOLDER = Path("data/prepared")
DATA_VARIABLE = "CHARRNN_DATA"
FORMAT_VERSION = 1
MANIFEST_LIMIT_BYTES = 16 * 1024 * 1024
MANIFEST_FILE = "manifest.json"
VOCABULARY_FILE = "vocabulary.json"

Mode = Literal["stream", "lines"]
SplitName = Literal["train", "valid"]
SPLITS: tuple[SplitName, ...] = ("train", "valid")
START_TYPE = np.uint64
Count = Annotated[int, Meta(ge=0, lt=2**60)]

FEWEST_UNITS: dict[Mode, int] = {"stream": 2, "lines": 1}
"""The characters (stream) or examples that a split needs. The first character of a stream is
never predicted, so that a second one must follow."""


def prepared_folder(option: Path | None = None) -> Path:
    """Return where prepared corpora are kept: the one named, `$CHARRNN_DATA`, `data/prepared`."""
    return option or expanded(os.environ.get(DATA_VARIABLE) or PREPARED_FOLDER)


def ids_file(split: SplitName) -> str:
    """The name of the file with a split's ids."""
    return f"{split}_ids.npy"


def starts_file(split: SplitName) -> str:
    """The name of the file that says where a split's examples start."""
    return f"{split}_starts.npy"


# --- What a corpus was made of, and how: the records in manifest.json ----------------------------


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Everything in the configuration that decides which ids a text becomes."""

    mode: Mode
    """lines: examples, whatever divides them."""
    valid_fraction: float
    """0: nothing is held out by share, but by number, or there are sources for validation."""
    encoding: str
    errors: ErrorHandling
    normalize: Literal["none", "nfc"]
    min_count: int
    shuffle_seed: int | None
    """None: the examples stay in their order."""
    separator: str = LINE
    cut_at: int | None = None
    """The length that examples are cut at, if they are."""
    split: Literal["end", "blocks", "files"] = "end"
    unit: Unit = "character"
    valid_chars: int | None = None
    """What is held out at the end of a stream, in units; None: `valid_fraction` says it."""

    @property
    def codec(self) -> str:
        """What files are decoded with: bytes are the characters of their numbers, as in Latin-1."""
        return self.encoding if self.unit == "character" else "latin-1"

    @classmethod
    def from_config(cls, data: DataConfig) -> Self:
        """Take them from the configuration, each in its one canonical form.

        Raises:
            UserError: They contradict each other, or name an unknown encoding.
        """
        if data.shuffle and data.mode == "stream":
            raise UserError(
                "data.shuffle shuffles lines or examples, and data.mode is stream",
                hint="set data.mode=lines, or data.shuffle=false",
            )
        has_valid_source = data.valid_source is not None
        is_shuffled = data.shuffle and not has_valid_source
        is_by_share = not has_valid_source and data.valid_chars is None
        return cls(
            mode="stream" if data.mode == "stream" else "lines",
            valid_fraction=float(data.valid_fraction) if is_by_share else 0.0,
            encoding=canonical_encoding(data.encoding),
            errors=data.errors,
            normalize=data.normalize,
            min_count=data.min_count,
            shuffle_seed=data.shuffle_seed if is_shuffled else None,
            separator=data.separator if data.mode == "examples" else LINE,
            cut_at=data.max_length if data.truncate and data.mode != "stream" else None,
            split="end" if has_valid_source else data.split,
            unit=data.unit,
            valid_chars=data.valid_chars,
        )

    def put_into(self, data: DataConfig) -> DataConfig:
        """Return a configuration whose options are these; what they leave open stays."""
        is_divided_otherwise = self.separator != LINE
        lines: Literal["lines", "examples"] = "examples" if is_divided_otherwise else "lines"
        return replace(
            data,
            mode="stream" if self.mode == "stream" else lines,
            separator=self.separator if is_divided_otherwise else data.separator,
            max_length=self.cut_at or data.max_length,
            truncate=self.cut_at is not None,
            valid_fraction=DataConfig().valid_fraction
            if self.valid_chars
            else self.valid_fraction or data.valid_fraction,
            split=self.split,
            unit=self.unit,
            valid_chars=self.valid_chars,
            encoding=self.encoding,
            errors=self.errors,
            normalize=self.normalize,
            min_count=self.min_count,
            shuffle=self.shuffle_seed is not None,
            shuffle_seed=data.shuffle_seed if self.shuffle_seed is None else self.shuffle_seed,
        )


@dataclass(frozen=True, kw_only=True)
class SourceRecord:
    """One of the sources, as it was read."""

    name: str
    sha256: str
    bytes: Count


@dataclass(frozen=True, kw_only=True)
class LongestExample:
    """The longest line or example of a text."""

    source: str
    number: Count
    """Its number in that source, from 1; empty lines are counted, too."""
    characters: Count


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """The size of a split."""

    ids: Count
    """Characters in it."""
    lines: Count | None
    """Examples in it; None in stream mode."""
    unknown: Count
    """Characters in it that the vocabulary does not have."""


@dataclass(frozen=True, kw_only=True)
class SplitRecords:
    """The sizes of both splits."""

    train: SplitRecord
    valid: SplitRecord

    def __getitem__(self, split: SplitName) -> SplitRecord:
        return self.train if split == "train" else self.valid


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The record of a prepared corpus."""

    format_version: int
    charrnn: str
    """The version that prepared it."""
    sources: Annotated[tuple[SourceRecord, ...], Meta(min_length=1)]
    corpus_sha256: str
    """SHA-256 of the sources' bytes, one after the other; with sources for validation, of the
    SHA-256 of both groups."""
    options: TextOptions
    characters: Count
    """Characters in both splits together; without what stands between examples."""
    distinct_characters: Count
    empty_lines: Count
    """Lines or examples that were left out because nothing stood in them."""
    vocabulary_size: Count
    dtype: str
    """NumPy's name of the type of an id."""
    splits: SplitRecords
    files: dict[str, Count]
    """The other files of the folder, with their sizes in bytes."""
    valid_sources: Count = 0
    """How many of the sources, at their end, are for validation."""
    longest: LongestExample | None = None
    """None for a stream, and for a corpus of an earlier version."""
    cut: Count = 0
    """Examples that reach the length at which they are cut."""


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a prepared corpus.

    Raises:
        UserError: There is none, it is damaged, or a later version wrote it.
    """
    file = folder / MANIFEST_FILE
    if not file.exists():
        raise UserError(
            f"{folder} is not a prepared corpus: it has no {MANIFEST_FILE}",
            hint="`charrnn prepare FILE` makes one and prints its path",
        )
    value = read_json_object(file, folder, limit=MANIFEST_LIMIT_BYTES)
    check_format_version(
        value, file, reads=FORMAT_VERSION, hint="prepare the text again with this charrnn"
    )
    manifest = record_from_json(Manifest, value, source=format_path(file), hint=PREPARE_HINT)
    mode = manifest.options.mode
    for split in SPLITS:
        if not _can_be(manifest.splits[split], mode):
            raise _damaged(file, f"splits.{split} is none of mode {mode}")
    return manifest


def _can_be(split: SplitRecord, mode: Mode) -> bool:
    """Tell whether a split of a corpus can have this size."""
    units = split.ids if mode == "stream" else split.lines
    return (
        units is not None
        and (split.lines is None) == (mode == "stream")
        and FEWEST_UNITS[mode] <= units <= split.ids
        and split.unknown <= split.ids
    )


def _damaged(path: Path, what: str) -> UserError:
    return damaged(format_path(path), what, hint=PREPARE_HINT)


# --- The corpus ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """One split, in memory."""

    ids: IdArray
    starts: Array | None
    """Where in `ids` each example starts, and where the last one ends; None for a stream."""
    cut_at: int | None = None
    """Examples of this length were cut there: what follows their last character is not known."""

    @property
    def longest_line(self) -> int:
        """The characters of the longest example, its end counted; 1 in stream mode."""
        return 1 if self.starts is None else int(np.diff(self.starts).max(initial=0)) + 1


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus, ready to be read."""

    path: Path
    manifest: Manifest
    vocabulary: Vocabulary

    @cached_property
    def train(self) -> Split:
        """The split to learn from."""
        return self._split("train")

    @cached_property
    def valid(self) -> Split:
        """The split to be judged by."""
        return self._split("valid")

    def _split(self, name: SplitName) -> Split:
        """Read a split, and make sure that nothing in it leads outside.

        Raises:
            UserError: A file is missing or damaged.
        """
        ids, *lines = [load_array(*expected) for expected in self.arrays(name)]
        if int(ids.max()) >= len(self.vocabulary):
            raise _damaged(self.path / ids_file(name), "it has an id beyond the vocabulary")
        starts = lines[0] if lines else None
        if starts is not None and not _divides(starts, len(ids)):
            raise _damaged(self.path / starts_file(name), "the lines do not fit the ids")
        return Split(ids, starts, self.manifest.options.cut_at)

    def arrays(self, split: SplitName) -> Iterator[tuple[Path, npt.DTypeLike, int]]:
        """Yield file, type and length of a split's ids, and of the starts of its examples."""
        record = self.manifest.splits[split]
        yield self.path / ids_file(split), self.vocabulary.id_type, record.ids
        if record.lines is not None:
            yield self.path / starts_file(split), START_TYPE, record.lines + 1


def _divides(starts: Array, size: int) -> bool:
    """Tell whether `starts` cuts `size` ids into lines of at least one each."""
    return (
        int(starts[0]) == 0 and int(starts[-1]) == size and bool(np.all(starts[1:] > starts[:-1]))
    )


def open_corpus(path: Path) -> Corpus:
    """Open a prepared corpus, checking the sizes of all that belongs to it.

    Raises:
        UserError: It is no prepared corpus, damaged, or a later version's.
    """
    manifest = read_manifest(path)
    file = path / VOCABULARY_FILE
    vocabulary = Vocabulary.from_json(read_json_object(file, path), source=str(file))
    has_lines = manifest.options.mode == "lines"
    found = (len(vocabulary), vocabulary.has_lines, vocabulary.unit)
    if found != (manifest.vocabulary_size, has_lines, manifest.options.unit):
        raise _damaged(file, f"it is not the vocabulary that {MANIFEST_FILE} describes")
    corpus = Corpus(path, manifest, vocabulary)
    for split in SPLITS:
        for expected in corpus.arrays(split):
            check_array(*expected)
    return corpus


def find_prepared(
    data: DataConfig, corpus_sha256: str, data_dir: Path | None = None
) -> Corpus | None:
    """Find the corpus that `data` and this SHA-256 describe, without reading its source.

    `data_dir` is where prepared corpora are; left out, `prepared_folder` knows.

    Raises:
        UserError: The options of `data` contradict each other.
    """
    options = TextOptions.from_config(data)
    for file in sorted(prepared_folder(data_dir).glob(f"*/{MANIFEST_FILE}")):
        with suppress(UserError):
            manifest = read_manifest(file.parent)
            if (manifest.corpus_sha256, manifest.options) == (corpus_sha256, options):
                return open_corpus(file.parent)
    return None
