"""What a prepared corpus is made of, and how: the record that `manifest.json` holds."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.files import check_format_version, read_json_object
from charrnn.messages import format_path
from charrnn.text.decoding import ErrorHandling, canonical_encoding
from charrnn.validation import damaged, record_from_json

FORMAT_VERSION = 1
LIMIT_BYTES = 16 * 1024 * 1024
MANIFEST_FILE = "manifest.json"
VOCABULARY_FILE = "vocabulary.json"

PREPARE_HINT = "prepare the text again"

Mode = Literal["stream", "lines"]
Count = Annotated[int, Meta(ge=0, lt=2**60)]
SplitName = Literal["train", "valid"]
SPLITS: tuple[SplitName, ...] = ("train", "valid")

FEWEST_UNITS: dict[Mode, int] = {"stream": 2, "lines": 1}
"""The characters (stream) or lines that a split needs. The first character of a stream is never
predicted, so that a second one must follow."""


def ids_file(split: SplitName) -> str:
    """The name of the file with a split's ids."""
    return f"{split}_ids.npy"


def starts_file(split: SplitName) -> str:
    """The name of the file that says where a split's lines start."""
    return f"{split}_starts.npy"


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Everything in the configuration that decides which ids a text becomes."""

    mode: Mode
    valid_fraction: float
    encoding: str
    errors: ErrorHandling
    normalize: Literal["none", "nfc"]
    min_count: int
    shuffle_seed: int | None
    """None: the lines stay in their order."""

    @classmethod
    def from_config(cls, data: DataConfig) -> Self:
        """Take them from the configuration, each in its one canonical form.

        Raises:
            UserError: They contradict each other, or name an unknown encoding.
        """
        if data.shuffle and data.mode != "lines":
            raise UserError(
                "data.shuffle shuffles lines, and data.mode is stream",
                hint="set data.mode=lines, or data.shuffle=false",
            )
        return cls(
            mode=data.mode,
            valid_fraction=float(data.valid_fraction),
            encoding=canonical_encoding(data.encoding),
            errors=data.errors,
            normalize=data.normalize,
            min_count=data.min_count,
            shuffle_seed=data.shuffle_seed if data.shuffle else None,
        )


@dataclass(frozen=True, kw_only=True)
class SourceRecord:
    """One of the sources, as it was read."""

    name: str
    sha256: str
    bytes: Count


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """The size of a split."""

    ids: Count
    """Characters in it."""
    lines: Count | None
    """Lines in it; None in stream mode."""
    unknown: Count
    """Characters in it that the vocabulary does not have."""

    def fits(self, mode: Mode) -> bool:
        """Tell whether a split of a corpus can have this size."""
        units = self.ids if mode == "stream" else self.lines
        return (
            units is not None
            and (self.lines is None) == (mode == "stream")
            and FEWEST_UNITS[mode] <= units <= self.ids
            and self.unknown <= self.ids
        )


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
    """SHA-256 of the sources' bytes, one after the other."""
    options: TextOptions
    characters: Count
    """Characters in both splits together; in lines mode without line ends."""
    distinct_characters: Count
    empty_lines: Count
    """Lines mode: lines that were left out because nothing stood in them."""
    vocabulary_size: Count
    dtype: str
    """NumPy's name of the type of an id."""
    splits: SplitRecords
    files: dict[str, Count]
    """The other files of the folder, with their sizes in bytes."""

    def describes(self, sources: tuple[SourceRecord, ...], options: TextOptions) -> bool:
        """Tell whether this corpus is what these sources, read with these options, become."""
        hashes = [source.sha256 for source in sources]
        return [source.sha256 for source in self.sources] == hashes and self.options == options

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as `manifest.json` holds it."""
        return asdict(self)


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
    value = read_json_object(file, folder, limit=LIMIT_BYTES)
    check_format_version(
        value, file, reads=FORMAT_VERSION, hint="prepare the text again with this charrnn"
    )
    manifest = record_from_json(Manifest, value, source=format_path(file), hint=PREPARE_HINT)
    mode = manifest.options.mode
    for split in SPLITS:
        if not manifest.splits[split].fits(mode):
            what = f"splits.{split} is none of mode {mode}"
            raise damaged(format_path(file), what, hint=PREPARE_HINT)
    return manifest
