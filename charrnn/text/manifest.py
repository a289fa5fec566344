"""What a prepared corpus is made of, and how: the record that `manifest.json` holds."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.files import check_format_version, read_json_object
from charrnn.messages import format_path, format_value
from charrnn.text.decoding import ErrorHandling, canonical_encoding
from charrnn.text.pieces import FEWEST_UNITS, Mode
from charrnn.text.records import record_from_json

FORMAT_VERSION = 1
LIMIT_BYTES = 16 * 1024 * 1024
MOST_CHARACTERS = 2**60
MANIFEST_FILE = "manifest.json"
VOCABULARY_FILE = "vocabulary.json"

SplitName = Literal["train", "valid"]
SPLITS: tuple[SplitName, ...] = ("train", "valid")


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
    bytes: int


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """The size of a split."""

    ids: int
    """Characters in it."""
    lines: int | None
    """Lines in it; None in stream mode."""
    unknown: int
    """Characters in it that the vocabulary does not have."""

    def fits(self, mode: Mode) -> bool:
        """Tell whether a split of a corpus can have this size."""
        units = self.ids if mode == "stream" else self.lines
        return (
            units is not None
            and (self.lines is None) == (mode == "stream")
            and FEWEST_UNITS[mode] <= units <= self.ids
            and 0 <= self.unknown <= self.ids < MOST_CHARACTERS
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The record of a prepared corpus."""

    format_version: int
    charrnn: str
    """The version that prepared it."""
    sources: tuple[SourceRecord, ...]
    corpus_sha256: str
    """SHA-256 of the sources' bytes, one after the other."""
    options: TextOptions
    characters: int
    """Characters in both splits together; in lines mode without line ends."""
    distinct_characters: int
    empty_lines: int
    """Lines mode: lines that were left out because nothing stood in them."""
    vocabulary_size: int
    dtype: str
    """NumPy's name of the type of an id."""
    splits: dict[str, SplitRecord]
    files: dict[str, int]
    """The other files of the folder, with their sizes in bytes."""

    @property
    def train(self) -> SplitRecord:
        """The training split."""
        return self.splits["train"]

    @property
    def valid(self) -> SplitRecord:
        """The validation split."""
        return self.splits["valid"]

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
    try:
        manifest: Manifest = record_from_json(Manifest, value)
        _check_meaning(manifest)
    except ValueError as error:
        raise UserError(
            f"{format_path(file)} is damaged: {error}", hint="prepare the text again"
        ) from error
    return manifest


def _check_meaning(manifest: Manifest) -> None:
    """Refuse numbers that no text could have.

    Raises:
        ValueError: Naming the first that is wrong.
    """
    if not manifest.sources:
        raise ValueError("it has no sources")
    if set(manifest.splits) != set(SPLITS):
        raise ValueError("splits are not train and valid")
    for name, split in manifest.splits.items():
        if not split.fits(manifest.options.mode):
            raise ValueError(f"splits.{name} is none of mode {manifest.options.mode}")
    counts = (manifest.characters, manifest.empty_lines, *(each.bytes for each in manifest.sources))
    if min(counts) < 0:
        raise ValueError(f"it counts {format_value(min(counts))}")
