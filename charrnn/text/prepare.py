"""Turn text into a prepared corpus, unless that has been done before.

1. Hash the text. If no folder holds this text prepared with these options, go on.
2. Read it: count its characters, and the units (characters, or lines in lines mode) that the two
   splits share.
3. Read it again: write the ids of all its characters to a scratch file.
4. Count the characters of the training part, which become the vocabulary; write each split from
   the scratch file, in the ids of that vocabulary and in the order that its lines are to have.

A corpus is built in a scratch folder beside its place and renamed when all of it is on the disk.
Memory does not grow with the text, except by 8 bytes a line in lines mode, or 16 if the lines are
shuffled.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from charrnn import __version__
from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.files import raise_write_error, scratch_folder, sync_folder, write_json_atomically
from charrnn.text.array_file import write_array
from charrnn.text.corpus import (
    FEWEST_UNITS,
    FORMAT_VERSION,
    MANIFEST_FILE,
    PREPARED_FOLDER,
    START_TYPE,
    VOCABULARY_FILE,
    Corpus,
    Manifest,
    SourceRecord,
    SplitName,
    SplitRecord,
    SplitRecords,
    TextOptions,
    find_prepared,
    ids_file,
    open_corpus,
    read_manifest,
    starts_file,
)
from charrnn.text.reading import Integers, TextReader
from charrnn.text.sources import is_url, open_sources
from charrnn.text.vocabulary import (
    CODE_POINTS,
    STREAM_SPECIALS,
    IdArray,
    Vocabulary,
    code_points_of,
)

BLOCK_IDS = 128 * 1024
"""About so many ids are copied at a time; larger blocks cost the system more than they save."""

Units = range | Integers
"""Numbers of characters (stream) or of lines."""


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus, and whether it had to be made."""

    corpus: Corpus
    fresh: bool
    """False: it had been prepared before, and nothing was done."""


def prepare(data: DataConfig, *, out: Path | None = None, progress: Progress = silent) -> Prepared:
    """Turn the configured text into ids on disk, unless that has been done before.

    Args:
        data: Where the text comes from and how it is read.
        out: The folder to make; left out, one under `data/prepared/`.
        progress: Opens a display for each pass.

    Raises:
        UserError: The text, the options or `out` are not as they must be.
        RunFailedError: The network or the disk failed; nothing half-made is left.
    """
    if out is None and (corpus := _known_download(data)):
        return Prepared(corpus, fresh=False)
    options = TextOptions.from_config(data)
    sha256 = None if data.sha256 is None else data.sha256.lower()
    with open_sources(data.sources, sha256=sha256, progress=progress) as sources:
        hashes, corpus_sha256 = sources.sha256s(progress)
        if sha256 not in {None, corpus_sha256}:
            raise UserError(
                f"{', '.join(sources.names)} is not the text that was expected: "
                f"its SHA-256 is {corpus_sha256}, data.sha256 says {sha256}",
                hint="change data.sha256, or set it to null, if this text is meant",
            )
        target = out or PREPARED_FOLDER / _folder_name(sources.slug, hashes, options)
        if _is_occupied(target):
            return Prepared(_same_corpus(target, hashes, options), fresh=False)
        corpus = _build(target, hashes, corpus_sha256, TextReader(sources, options, progress))
        return Prepared(corpus, fresh=True)


def _known_download(data: DataConfig) -> Corpus | None:
    """Find the corpus of a download whose hash is known, so that the network is not needed."""
    if data.sha256 is None or len(data.sources) != 1 or not is_url(data.sources[0]):
        return None
    corpus = find_prepared(data, data.sha256.lower())
    return corpus if corpus is not None and len(corpus.manifest.sources) == 1 else None


def _folder_name(slug: str, hashes: list[str], options: TextOptions) -> str:
    identity = json.dumps([FORMAT_VERSION, hashes, asdict(options)])
    return f"{slug}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _is_occupied(path: Path) -> bool:
    """Tell whether a folder cannot be put at `path`: only an empty one may be there."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_symlink() or path.exists()


def _same_corpus(target: Path, hashes: list[str], options: TextOptions) -> Corpus:
    """Open the corpus at `target`, which must be the very one that is asked for."""
    is_ours = target.parent == PREPARED_FOLDER
    hint = f"remove {target}" if is_ours else "choose another folder"
    try:
        manifest = read_manifest(target)
        found = [source.sha256 for source in manifest.sources]
        if (found, manifest.options) == (hashes, options):
            return open_corpus(target)
    except UserError as error:
        raise UserError(f"{target} is in the way: {error.message}", hint=hint) from error
    raise UserError(f"{target} is in the way: it holds another prepared corpus", hint=hint)


def _build(target: Path, hashes: list[str], corpus_sha256: str, reader: TextReader) -> Corpus:
    """Build the corpus in a scratch folder, and put it in its place.

    Raises:
        UserError: The text is too short, or nothing in it is frequent enough.
        RunFailedError: The disk is full, for example.
    """
    parent = target.absolute().parent
    try:
        with scratch_folder(parent) as scratch:
            folder = _write_corpus(scratch, hashes, corpus_sha256, reader)
            try:
                folder.rename(target)
            except OSError:
                if not _is_occupied(target):
                    raise
                # Another process has prepared the same text in the meantime.
                return _same_corpus(target, hashes, reader.options)
            sync_folder(parent)
            return open_corpus(target)
    except OSError as error:
        raise_write_error(target.parent, error)


def _write_corpus(scratch: Path, hashes: list[str], corpus_sha256: str, reader: TextReader) -> Path:
    """Write everything that belongs to a corpus to a folder in `scratch`; return it."""
    options, has_lines = reader.options, reader.options.mode == "lines"
    counts, units, empty_lines = _measure(reader)
    train_units = _training_units(units, reader)
    order: Units = range(units)
    if options.shuffle_seed is not None:
        order = shuffled_order(units, options.shuffle_seed)
    train, valid = order[:train_units], order[train_units:]
    text = _encode(reader, counts, units if has_lines else None, scratch / "ids")
    valid_counts = text.count(valid)
    train_counts = counts - valid_counts
    vocabulary = Vocabulary.from_counts(train_counts, min_count=options.min_count, lines=has_lines)
    folder = scratch / "corpus"
    folder.mkdir()
    splits = SplitRecords(
        train=_write_split(folder, "train", text, train, train_counts, vocabulary),
        valid=_write_split(folder, "valid", text, valid, valid_counts, vocabulary),
    )
    write_json_atomically(folder / VOCABULARY_FILE, vocabulary.to_json())
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        charrnn=__version__,
        sources=tuple(
            SourceRecord(name=source.name, sha256=sha256, bytes=source.size)
            for source, sha256 in zip(reader.sources.sources, hashes, strict=True)
        ),
        corpus_sha256=corpus_sha256,
        options=options,
        characters=int(counts.sum()),
        distinct_characters=int(np.count_nonzero(counts)),
        empty_lines=empty_lines,
        vocabulary_size=len(vocabulary),
        dtype=vocabulary.id_type.name,
        splits=splits,
        files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    )
    write_json_atomically(folder / MANIFEST_FILE, asdict(manifest))
    return folder


def _measure(reader: TextReader) -> tuple[Integers, int, int]:
    """Count how often each code point occurs, the units, and the empty lines, which are none."""
    counts, units, empty_lines = np.zeros(CODE_POINTS, np.int64), 0, 0
    for part in reader.parts("reading"):
        found = np.bincount(code_points_of(part.chars))
        counts[: len(found)] += found
        units += len(part.chars if part.line_ends is None else part.line_ends)
        empty_lines += part.empty_lines
    return counts, units, empty_lines


def _training_units(units: int, reader: TextReader) -> int:
    """Return how many of the units are for training.

    Raises:
        UserError: There are too few for two splits.
    """
    mode, sources = reader.options.mode, reader.sources
    train = int(units * (1 - reader.options.valid_fraction))
    valid = units - train
    if min(train, valid) < FEWEST_UNITS[mode]:
        name = ", ".join(sources.names)
        if sources.size == 0:
            raise UserError(f"{name} is empty", hint="there is nothing to learn from")
        unit = "lines" if mode == "lines" else "characters"
        raise UserError(
            f"{name} is too short: it has {train} {unit} for training and {valid} for validation",
            hint="use a longer text, or another data.valid_fraction",
        )
    return train


def shuffled_order(lines: int, seed: int) -> Integers:
    """Return the numbers of all lines in the order that the seed gives them.

    NumPy promises that PCG64's raw output never changes, which it does not for its own shuffles;
    so this order, and with it the split, is the same with every version.
    """
    keys = (np.random.PCG64(seed).random_raw(lines) >> np.uint64(32)).astype(np.uint32)
    return np.argsort(keys, kind="stable")


@dataclass(frozen=True)
class _EncodedText:
    """The ids of a whole text, in its own order, in a file."""

    path: Path
    vocabulary: Vocabulary
    """All the characters of the text."""
    starts: Integers | None
    """Lines mode: where each line starts, and where the last one ends; else None."""

    def ids(self, units: Units) -> Iterator[IdArray]:
        """Yield the ids of these units, a block at a time."""
        kind = self.vocabulary.id_type
        with self.path.open("rb") as file:
            for begins, ends in self._spans(units):
                is_cut = begins[1:] != ends[:-1]  # what follows on is read in one go
                firsts, lasts = begins[np.append(True, is_cut)], ends[np.append(is_cut, True)]
                offsets, sizes = firsts * kind.itemsize, (lasts - firsts) * kind.itemsize
                runs = map(os.pread, repeat(file.fileno()), sizes.tolist(), offsets.tolist())
                yield np.frombuffer(b"".join(runs), kind)

    def line_starts(self, lines: Units) -> Iterator[Integers]:
        """Yield where each of these lines starts, one after the other, and where the last ends."""
        last = np.zeros(1, np.int64)
        yield last
        for begins, ends in self._spans(lines):
            starts = last + np.cumsum(ends - begins)
            last = starts[-1:]
            yield starts

    def _spans(self, units: Units) -> Iterator[tuple[Integers, Integers]]:
        """Yield where units begin and end in the file, about `BLOCK_IDS` ids at a time."""
        if self.starts is None:
            for first in range(units[0], units[-1] + 1, BLOCK_IDS):
                yield np.array([first]), np.array([min(first + BLOCK_IDS, units[-1] + 1)])
        else:
            many = max(1, BLOCK_IDS * len(self.starts) // int(self.starts[-1]))
            for first in range(0, len(units), many):
                lines = np.asarray(units[first : first + many])
                yield self.starts[lines], self.starts[lines + 1]

    def count(self, units: Units) -> Integers:
        """Count how often each code point occurs in these units."""
        counts = np.zeros(len(self.vocabulary), np.int64)
        for ids in self.ids(units):
            counts += np.bincount(ids, minlength=len(counts))
        by_code_point = np.zeros(CODE_POINTS, np.int64)
        points = [ord(char) for char in self.vocabulary.known]
        by_code_point[points] = counts[len(STREAM_SPECIALS) :]
        return by_code_point


def _encode(reader: TextReader, counts: Integers, lines: int | None, path: Path) -> _EncodedText:
    """Write the ids of the whole text to `path`; `lines` says how many it has in lines mode.

    Raises:
        UserError: There is half of a surrogate pair in it.
        OSError: The disk is full, for example.
    """
    vocabulary = Vocabulary.from_counts(counts, min_count=1, lines=False)
    starts = None if lines is None else np.zeros(lines + 1, np.int64)
    written = line = 0
    with path.open("wb") as file:
        for part in reader.parts("encoding"):
            file.write(vocabulary.encode(part.chars).data)
            if starts is not None and part.line_ends is not None:
                starts[line + 1 :][: len(part.line_ends)] = part.line_ends + written
                line += len(part.line_ends)
            written += len(part.chars)
    return _EncodedText(path, vocabulary, starts)


def _write_split(
    folder: Path,
    name: SplitName,
    text: _EncodedText,
    units: Units,
    counts: Integers,
    vocabulary: Vocabulary,
) -> SplitRecord:
    """Write the ids of a split, and in lines mode where its lines start.

    Raises:
        OSError: The disk is full, for example.
    """
    size = int(counts.sum())
    known = [ord(char) for char in vocabulary.known]
    new_ids = np.pad(vocabulary.encode("".join(text.vocabulary.known)), (len(STREAM_SPECIALS), 0))
    ids = (np.take(new_ids, block) for block in text.ids(units))
    write_array(folder / ids_file(name), vocabulary.id_type, size, ids)
    lines = None
    if vocabulary.has_lines:
        lines = len(units)
        starts = text.line_starts(units)
        write_array(folder / starts_file(name), START_TYPE, lines + 1, starts)
    return SplitRecord(ids=size, lines=lines, unknown=size - int(counts[known].sum()))
