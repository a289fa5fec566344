"""A split as it is written: the ids of its characters, and in lines mode where its lines start."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from charrnn.text.array_file import ArrayFile
from charrnn.text.manifest import SplitName, SplitRecord, ids_file, starts_file
from charrnn.text.pieces import Mode, Places
from charrnn.text.vocabulary import IdArray, Vocabulary

START_TYPE = np.uint64


class SplitFile:
    """Writes one split; its files are on the disk when the `with` block ends well."""

    def __init__(self, folder: Path, split: SplitName, vocabulary: Vocabulary, mode: Mode) -> None:
        self._vocabulary = vocabulary
        self._unknown = 0
        with ExitStack() as files:
            self._ids = files.enter_context(ArrayFile(folder / ids_file(split), vocabulary.id_type))
            self._starts: ArrayFile | None = None
            if mode == "lines":
                self._starts = files.enter_context(
                    ArrayFile(folder / starts_file(split), START_TYPE)
                )
                self._starts.append(np.zeros(1, START_TYPE))
            self._files = files.pop_all()

    def write(self, ids: IdArray, ends: Places | None) -> None:
        """Write the next ids; in lines mode `ends` says where lines end in them."""
        if self._starts is not None and ends is not None:
            self._starts.append(ends + self._ids.length)
        self._ids.append(ids)
        self._unknown += int(np.count_nonzero(ids == self._vocabulary.unk_id))

    def record(self) -> SplitRecord:
        """Return the size of what has been written."""
        lines = None if self._starts is None else self._starts.length - 1
        return SplitRecord(ids=self._ids.length, lines=lines, unknown=self._unknown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, traceback)
