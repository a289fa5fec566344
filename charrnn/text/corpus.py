"""The prepared corpus: a folder with ids, vocabulary and manifest, made once and then only read.

    data/prepared/NAME/
      manifest.json        what it was made of, how, and the sizes of everything (Manifest)
      vocabulary.json      the characters in id order
      train_ids.npy        the ids of the training split, of the smallest sufficient type
      valid_ids.npy
      train_starts.npy     lines mode: line i is ids[starts[i]:starts[i + 1]], without its end
      valid_starts.npy

A corpus is built in a scratch folder beside its place and renamed when all of it is on the disk.
NAME holds a hash of text and options, so that nothing is ever overwritten.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from charrnn import __version__
from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.files import raise_write_error, read_json_object, sync_folder, write_json_atomically
from charrnn.text.array_file import Array, ArrayOpener, load_array, map_array
from charrnn.text.encoding import Encoded, Encoder
from charrnn.text.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    VOCABULARY_FILE,
    Manifest,
    SplitName,
    TextOptions,
    ids_file,
    read_manifest,
    starts_file,
)
from charrnn.text.progress import Progress, silent
from charrnn.text.scratch import scratch_folder
from charrnn.text.sources import Request, is_url, open_sources
from charrnn.text.split_file import START_TYPE
from charrnn.text.survey import Fingerprint, Survey, survey, take_fingerprint
from charrnn.text.vocabulary import IdArray, Vocabulary

PREPARED_FOLDER = Path("data/prepared")


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
        for name in "train", "valid":
            self._ids(name, map_array)
            self._starts(name, map_array)


@dataclass(frozen=True)
class Prepared:
    """The answer to a request for a corpus."""

    corpus: Corpus
    fresh: bool
    """False: it had been prepared before, and nothing was done."""


def prepare(data: DataConfig, *, out: Path | None = None, progress: Progress = silent) -> Prepared:
    """Turn the configured text into ids on disk, unless that has been done before.

    Args:
        data: Where the text comes from and how it is read.
        out: The folder to make; left out, one under `data/prepared/`.
        progress: Opens a display for each long stretch of work.

    Raises:
        UserError: The text, the options or `out` are not as they must be.
        RunFailedError: The network or the disk failed; nothing half-made is left.
    """
    if out is None and (corpus := _known_download(data)):
        return Prepared(corpus, fresh=False)
    options = TextOptions.from_config(data)
    names = data.sources
    sha256 = None if data.sha256 is None else data.sha256.lower()
    with open_sources(names, sha256=sha256, progress=progress) as request:
        job = _Job(request, options, sha256, out, progress)
        if corpus := job.found():
            return Prepared(corpus, fresh=False)
        return Prepared(job.built(), fresh=True)


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


def _known_download(data: DataConfig) -> Corpus | None:
    """Find the corpus of a download whose hash is known, so that the network is not needed."""
    names = data.sources
    if data.sha256 is None or len(names) != 1 or not is_url(names[0]):
        return None
    corpus = find_prepared(data, data.sha256.lower())
    return corpus if corpus is not None and len(corpus.manifest.sources) == 1 else None


@dataclass(frozen=True)
class _Job:
    """One request for a corpus, from the sources to the folder."""

    request: Request
    options: TextOptions
    sha256: str | None
    out: Path | None
    progress: Progress

    def found(self) -> Corpus | None:
        """Return the corpus if it is there; read the sources only if it may be."""
        if not self._may_be_there():
            return None
        fingerprint = take_fingerprint(self.request, self.progress)
        self._check_sha256(fingerprint)
        target = self._target(fingerprint)
        return self._same_corpus(target, fingerprint) if _is_occupied(target) else None

    def built(self) -> Corpus:
        """Build the corpus in a scratch folder, and put it in its place."""
        parent = PREPARED_FOLDER if self.out is None else self.out.absolute().parent
        try:
            with scratch_folder(parent) as scratch:
                folder = scratch / "corpus"
                folder.mkdir()
                return self._put_in_place(folder, self._write(folder))
        except OSError as error:
            raise_write_error(parent, error)

    def _may_be_there(self) -> bool:
        if self.out is not None:
            return _is_occupied(self.out)
        return any(PREPARED_FOLDER.glob(f"{self.request.slug}-*"))

    def _target(self, fingerprint: Fingerprint) -> Path:
        if self.out is not None:
            return self.out
        hashes = [source.sha256 for source in fingerprint.sources]
        identity = json.dumps([FORMAT_VERSION, hashes, asdict(self.options)])
        key = hashlib.sha256(identity.encode()).hexdigest()[:8]
        return PREPARED_FOLDER / f"{self.request.slug}-{key}"

    def _write(self, folder: Path) -> Fingerprint:
        seen = survey(self.request, self.options, self.progress)
        self._check_sha256(seen.fingerprint)
        encoder = Encoder(self.request, self.options, seen, folder, self.progress)
        encoded = encoder.encode()
        write_json_atomically(folder / VOCABULARY_FILE, encoded.vocabulary.to_json())
        manifest = _manifest(self.options, seen, encoded, folder)
        write_json_atomically(folder / MANIFEST_FILE, manifest.to_json())
        return seen.fingerprint

    def _put_in_place(self, folder: Path, fingerprint: Fingerprint) -> Corpus:
        target = self._target(fingerprint)
        try:
            folder.rename(target)
        except OSError:
            if _is_occupied(target):  # somebody else was faster
                return self._same_corpus(target, fingerprint)
            raise
        sync_folder(target.absolute().parent)
        return open_corpus(target)

    def _same_corpus(self, target: Path, fingerprint: Fingerprint) -> Corpus:
        """Open the corpus at `target`, which must be the very one that is asked for."""
        hint = f"remove {target}" if self.out is None else "choose another folder"
        try:
            manifest = read_manifest(target)
            if manifest.describes(fingerprint.sources, self.options):
                return open_corpus(target)
        except UserError as error:
            raise UserError(f"{target} is in the way: {error.message}", hint=hint) from error
        raise UserError(f"{target} is in the way: it holds another prepared corpus", hint=hint)

    def _check_sha256(self, fingerprint: Fingerprint) -> None:
        if self.sha256 not in {None, fingerprint.corpus_sha256}:
            raise UserError(
                f"{', '.join(self.request.names)} is not the text that was expected: "
                f"its SHA-256 is {fingerprint.corpus_sha256}, data.sha256 says {self.sha256}",
                hint="change data.sha256, or set it to null, if this text is meant",
            )


def _manifest(options: TextOptions, seen: Survey, encoded: Encoded, folder: Path) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        charrnn=__version__,
        sources=seen.fingerprint.sources,
        corpus_sha256=seen.fingerprint.corpus_sha256,
        options=options,
        characters=seen.census.characters,
        distinct_characters=seen.census.distinct(),
        empty_lines=seen.empty_lines,
        vocabulary_size=len(encoded.vocabulary),
        dtype=encoded.vocabulary.id_type.name,
        splits=encoded.splits,
        files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    )


def _is_occupied(path: Path) -> bool:
    """Tell whether a folder cannot be put at `path`: only an empty one may be there."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_symlink() or path.exists()


def _divides(starts: Array, size: int) -> bool:
    """Tell whether `starts` cuts `size` ids into lines of at least one each."""
    return (
        int(starts[0]) == 0 and int(starts[-1]) == size and bool(np.all(starts[1:] > starts[:-1]))
    )


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged: {reason}", hint="prepare the text again")
