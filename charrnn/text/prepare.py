"""Turn text into a prepared corpus, unless that has been done before.

The text is read from its beginning several times:

1. Hash it. If no folder holds this text prepared with these options, go on.
2. Count the units (characters, or lines in lines mode), which decides where the split is.
3. Count the characters of each split. Those of the training part are the vocabulary.
4. Write the ids.

If the lines are to be shuffled, the text is copied in its new order after the second step, and the
copy is read from then on.

A corpus is built in a scratch folder beside its place and renamed when all of it is on the disk.
Memory does not grow with the text, except for 16 bytes a line if the lines are shuffled.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from charrnn import __version__
from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.files import raise_write_error, scratch_folder, sync_folder, write_json_atomically
from charrnn.text.array_file import new_array_file
from charrnn.text.corpus import (
    FEWEST_UNITS,
    FORMAT_VERSION,
    MANIFEST_FILE,
    PREPARED_FOLDER,
    SPLITS,
    START_TYPE,
    VOCABULARY_FILE,
    Corpus,
    Manifest,
    Mode,
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
from charrnn.text.decoding import without_empty_lines
from charrnn.text.reading import NEWLINE, Integers, TextReader, Texts, encode
from charrnn.text.shuffle import shuffled
from charrnn.text.sources import is_url, open_sources
from charrnn.text.vocabulary import CODE_POINTS, Vocabulary, code_points_of


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
    options = reader.options
    train, valid, empty_lines = _divide(reader)
    texts: Texts = reader.texts
    if options.shuffle_seed is not None:
        texts = shuffled(texts, train + valid, options.shuffle_seed, scratch, reader.progress)
    counts = _count_characters(_split(texts("counting"), train, options.mode), options.mode)
    vocabulary = Vocabulary.from_counts(
        counts["train"], min_count=options.min_count, lines=options.mode == "lines"
    )
    splits = SplitRecords(
        train=_split_record(counts["train"], train, vocabulary),
        valid=_split_record(counts["valid"], valid, vocabulary),
    )
    folder = scratch / "corpus"
    folder.mkdir()
    _write_splits(folder, _split(texts("encoding"), train, options.mode), splits, vocabulary)
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
        characters=splits.train.ids + splits.valid.ids,
        distinct_characters=int(np.count_nonzero(counts["train"] + counts["valid"])),
        empty_lines=empty_lines,
        vocabulary_size=len(vocabulary),
        dtype=vocabulary.id_type.name,
        splits=splits,
        files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    )
    write_json_atomically(folder / MANIFEST_FILE, asdict(manifest))
    return folder


def _divide(reader: TextReader) -> tuple[int, int, int]:
    """Count the units for training and for validation, and the empty lines, which are no units.

    Raises:
        UserError: There are too few for two splits.
    """
    has_lines = reader.options.mode == "lines"
    units = newlines = 0
    for text in reader.with_empty_lines("reading"):
        newlines += text.count("\n")
        units += without_empty_lines(text).count("\n") if has_lines else len(text)
    train = int(units * (1 - reader.options.valid_fraction))
    valid = units - train
    if min(train, valid) < FEWEST_UNITS[reader.options.mode]:
        name = ", ".join(reader.sources.names)
        if reader.sources.size == 0:
            raise UserError(f"{name} is empty", hint="there is nothing to learn from")
        unit = "lines" if has_lines else "characters"
        raise UserError(
            f"{name} is too short: it has {train} {unit} for training and {valid} for validation",
            hint="use a longer text, or another data.valid_fraction",
        )
    return train, valid, newlines - units if has_lines else 0


def _split(texts: Iterator[str], train_units: int, mode: Mode) -> Iterator[tuple[SplitName, str]]:
    """Yield each part with its split, the one that the split falls in cut in two."""
    left = train_units
    for text in texts:
        units = text.count("\n") if mode == "lines" else len(text)
        if units <= left:
            yield "train", text
        elif left == 0:
            yield "valid", text
        else:
            cut = left
            if mode == "lines":
                cut = int(np.flatnonzero(code_points_of(text) == NEWLINE)[left - 1]) + 1
            yield "train", text[:cut]
            yield "valid", text[cut:]
        left = max(left - units, 0)


def _count_characters(
    parts: Iterator[tuple[SplitName, str]], mode: Mode
) -> dict[SplitName, Integers]:
    """Return for each split how often it has every code point; lines are counted without ends."""
    counts = {split: np.zeros(CODE_POINTS, np.int64) for split in SPLITS}
    for split, text in parts:
        found = np.bincount(code_points_of(text))
        counts[split][: len(found)] += found
    if mode == "lines":
        for count in counts.values():
            count[NEWLINE] = 0
    return counts


def _split_record(counts: Integers, units: int, vocabulary: Vocabulary) -> SplitRecord:
    known = [ord(char) for char in vocabulary.known]
    return SplitRecord(
        ids=int(counts.sum()),
        lines=units if vocabulary.has_lines else None,
        unknown=int(counts.sum() - counts[known].sum()),
    )


def _write_splits(
    folder: Path,
    parts: Iterator[tuple[SplitName, str]],
    sizes: SplitRecords,
    vocabulary: Vocabulary,
) -> None:
    """Write the ids, and in lines mode where lines start.

    Raises:
        OSError: The disk is full, for example.
    """
    with ExitStack() as stack:
        ids_files, starts_files = {}, {}
        for split in SPLITS:
            ids, lines = sizes[split].ids, sizes[split].lines
            file = new_array_file(folder / ids_file(split), vocabulary.id_type, ids)
            ids_files[split] = stack.enter_context(file)
            if lines is not None:
                file = new_array_file(folder / starts_file(split), START_TYPE, lines + 1)
                starts_files[split] = stack.enter_context(file)
                starts_files[split].write(np.zeros(1, START_TYPE).data)
        written = dict.fromkeys(SPLITS, 0)
        for split, text in parts:
            part, ends = encode(text, vocabulary)
            ids_files[split].write(part.data)
            if vocabulary.has_lines:
                starts_files[split].write((ends + written[split]).astype(START_TYPE).data)
            written[split] += len(part)
