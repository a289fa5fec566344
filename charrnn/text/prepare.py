"""Turn text into a prepared corpus: what is asked for, whether it is there, and making it.

The text is read from its beginning several times: to hash it, and if no folder holds this text
prepared with these options, in the passes of `charrnn.text.passes`. A corpus is built in a scratch
folder beside its place and renamed when all of it is on the disk.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from charrnn import __version__
from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.files import raise_write_error, sync_folder, write_json_atomically
from charrnn.text.corpus import PREPARED_FOLDER, Corpus, find_prepared, open_corpus
from charrnn.text.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    VOCABULARY_FILE,
    Manifest,
    SourceRecord,
    TextOptions,
    read_manifest,
)
from charrnn.text.passes import (
    count_characters,
    divide,
    frequent_characters,
    split_records,
    write_splits,
)
from charrnn.text.reading import TextReader
from charrnn.text.scratch import scratch_folder
from charrnn.text.sources import Sources, is_url, open_sources


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus, and whether it had to be made."""

    corpus: Corpus
    fresh: bool
    """False: it had been prepared before, and nothing was done."""


@dataclass(frozen=True)
class Fingerprint:
    """The SHA-256 of every source, and of all their bytes one after the other."""

    sources: tuple[SourceRecord, ...]
    corpus_sha256: str


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
        fingerprint = take_fingerprint(sources, progress)
        _check_sha256(fingerprint, sha256, sources)
        target = out or PREPARED_FOLDER / _folder_name(sources.slug, fingerprint, options)
        if _is_occupied(target):
            return Prepared(_same_corpus(target, fingerprint, options), fresh=False)
        corpus = _build(target, fingerprint, TextReader(sources, options, progress))
        return Prepared(corpus, fresh=True)


def _known_download(data: DataConfig) -> Corpus | None:
    """Find the corpus of a download whose hash is known, so that the network is not needed."""
    if data.sha256 is None or len(data.sources) != 1 or not is_url(data.sources[0]):
        return None
    corpus = find_prepared(data, data.sha256.lower())
    return corpus if corpus is not None and len(corpus.manifest.sources) == 1 else None


def take_fingerprint(sources: Sources, progress: Progress) -> Fingerprint:
    """Read all sources and hash them."""
    records, whole = [], hashlib.sha256()
    with progress("checking", sources.size, unit="bytes") as advance:
        for source in sources.sources:
            single = hashlib.sha256()
            for chunk in source.chunks():
                single.update(chunk)
                if len(sources.sources) > 1:
                    whole.update(chunk)
                advance(len(chunk))
            records.append(
                SourceRecord(name=source.name, sha256=single.hexdigest(), bytes=source.size)
            )
    corpus_sha256 = records[0].sha256 if len(records) == 1 else whole.hexdigest()
    return Fingerprint(tuple(records), corpus_sha256)


def _check_sha256(fingerprint: Fingerprint, expected: str | None, sources: Sources) -> None:
    if expected not in {None, fingerprint.corpus_sha256}:
        raise UserError(
            f"{', '.join(sources.names)} is not the text that was expected: "
            f"its SHA-256 is {fingerprint.corpus_sha256}, data.sha256 says {expected}",
            hint="change data.sha256, or set it to null, if this text is meant",
        )


def _folder_name(slug: str, fingerprint: Fingerprint, options: TextOptions) -> str:
    hashes = [source.sha256 for source in fingerprint.sources]
    identity = json.dumps([FORMAT_VERSION, hashes, asdict(options)])
    return f"{slug}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _is_occupied(path: Path) -> bool:
    """Tell whether a folder cannot be put at `path`: only an empty one may be there."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_symlink() or path.exists()


def _same_corpus(target: Path, fingerprint: Fingerprint, options: TextOptions) -> Corpus:
    """Open the corpus at `target`, which must be the very one that is asked for."""
    is_ours = target.parent == PREPARED_FOLDER
    hint = f"remove {target}" if is_ours else "choose another folder"
    try:
        if read_manifest(target).describes(fingerprint.sources, options):
            return open_corpus(target)
    except UserError as error:
        raise UserError(f"{target} is in the way: {error.message}", hint=hint) from error
    raise UserError(f"{target} is in the way: it holds another prepared corpus", hint=hint)


def _build(target: Path, fingerprint: Fingerprint, reader: TextReader) -> Corpus:
    """Build the corpus in a scratch folder, and put it in its place.

    Raises:
        UserError: The text is too short, or nothing in it is frequent enough.
        RunFailedError: The disk is full, for example.
    """
    try:
        with scratch_folder(target.absolute().parent) as scratch:
            folder = scratch / "corpus"
            folder.mkdir()
            _fill(folder, fingerprint, reader)
            try:
                folder.rename(target)
            except OSError:
                if not _is_occupied(target):
                    raise
                # Another process has prepared the same text in the meantime.
                return _same_corpus(target, fingerprint, reader.options)
            sync_folder(target.absolute().parent)
            return open_corpus(target)
    except OSError as error:
        raise_write_error(target.parent, error)


def _fill(folder: Path, fingerprint: Fingerprint, reader: TextReader) -> None:
    """Write everything that belongs to a corpus."""
    division = divide(reader)
    counts = count_characters(reader, division)
    vocabulary = frequent_characters(counts["train"], reader.options)
    splits = split_records(counts, division, vocabulary)
    write_splits(folder, reader, division, splits, vocabulary)
    write_json_atomically(folder / VOCABULARY_FILE, vocabulary.to_json())
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        charrnn=__version__,
        sources=fingerprint.sources,
        corpus_sha256=fingerprint.corpus_sha256,
        options=reader.options,
        characters=splits.train.ids + splits.valid.ids,
        distinct_characters=int(np.count_nonzero(counts["train"] + counts["valid"])),
        empty_lines=division.empty_lines,
        vocabulary_size=len(vocabulary),
        dtype=vocabulary.id_type.name,
        splits=splits,
        files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    )
    write_json_atomically(folder / MANIFEST_FILE, manifest.to_json())
