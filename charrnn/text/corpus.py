"""The prepared corpus: a folder with ids, vocabulary and manifest, made once and then only read.

    data/prepared/NAME/
      manifest.json        what it was made of, how, and the sizes of everything (Manifest)
      vocabulary.json      the characters in id order
      train_ids.npy        the ids of the training split, of the smallest sufficient type
      valid_ids.npy
      train_starts.npy     lines mode: line i is ids[starts[i]:starts[i + 1]], without its end
      valid_starts.npy

NAME holds a hash of text and options, so that nothing is ever overwritten.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.files import read_json_object
from charrnn.messages import format_path
from charrnn.text.array_file import Array, ArrayOpener, load_array, map_array
from charrnn.text.manifest import (
    MANIFEST_FILE,
    PREPARE_HINT,
    SPLITS,
    VOCABULARY_FILE,
    Manifest,
    SplitName,
    TextOptions,
    ids_file,
    read_manifest,
    starts_file,
)
from charrnn.text.vocabulary import IdArray, Vocabulary
from charrnn.validation import damaged

PREPARED_FOLDER = Path("data/prepared")
START_TYPE = np.uint64


@dataclass(frozen=True)
class Split:
    """One split, in memory."""

    ids: IdArray
    starts: Array | None
    """Lines mode: where in `ids` each line starts, and where the last one ends; else None."""

    @property
    def longest_line(self) -> int:
        """The characters of the longest line, its end counted; 1 in stream mode."""
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
        ids = self._ids(name, load_array)
        if len(ids) and int(ids.max()) >= len(self.vocabulary):
            raise _damaged(self.path / ids_file(name), "it has an id beyond the vocabulary")
        starts = self._starts(name, load_array)
        if starts is not None and not _divides(starts, len(ids)):
            raise _damaged(self.path / starts_file(name), "the lines do not fit the ids")
        return Split(ids, starts)

    def _ids(self, name: SplitName, open_array: ArrayOpener) -> IdArray:
        record = self.manifest.splits[name]
        return open_array(self.path / ids_file(name), self.vocabulary.id_type, record.ids)

    def _starts(self, name: SplitName, open_array: ArrayOpener) -> Array | None:
        lines = self.manifest.splits[name].lines
        if lines is None:
            return None
        return open_array(self.path / starts_file(name), START_TYPE, lines + 1)

    def check_files(self) -> None:
        """Check every file's type and size, without reading it.

        Raises:
            UserError: Naming the first that is missing or damaged.
        """
        for name in SPLITS:
            self._ids(name, map_array)
            self._starts(name, map_array)


def open_corpus(path: Path) -> Corpus:
    """Open a prepared corpus, checking the sizes of all that belongs to it.

    Raises:
        UserError: It is no prepared corpus, damaged, or a later version's.
    """
    manifest = read_manifest(path)
    file = path / VOCABULARY_FILE
    vocabulary = Vocabulary.from_json(read_json_object(file, path), source=str(file))
    has_lines = manifest.options.mode == "lines"
    if len(vocabulary) != manifest.vocabulary_size or vocabulary.has_lines != has_lines:
        raise _damaged(file, f"it is not the vocabulary that {MANIFEST_FILE} describes")
    corpus = Corpus(path, manifest, vocabulary)
    corpus.check_files()
    return corpus


def find_prepared(data: DataConfig, corpus_sha256: str) -> Corpus | None:
    """Find the corpus that `data` and this SHA-256 describe, without reading its source.

    Raises:
        UserError: The options of `data` contradict each other.
    """
    options = TextOptions.from_config(data)
    for file in sorted(PREPARED_FOLDER.glob(f"*/{MANIFEST_FILE}")):
        with suppress(UserError):
            manifest = read_manifest(file.parent)
            if (manifest.corpus_sha256, manifest.options) == (corpus_sha256, options):
                return open_corpus(file.parent)
    return None


def _divides(starts: Array, size: int) -> bool:
    """Tell whether `starts` cuts `size` ids into lines of at least one each."""
    return (
        int(starts[0]) == 0 and int(starts[-1]) == size and bool(np.all(starts[1:] > starts[:-1]))
    )


def _damaged(path: Path, what: str) -> UserError:
    return damaged(format_path(path), what, hint=PREPARE_HINT)
