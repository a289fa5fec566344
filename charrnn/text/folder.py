"""Which files of a folder are read, and which folders are charrnn's own work.

Left out are hidden files, what charrnn itself made there (prepared texts and runs, known by the
files in them, whatever they are called), and what patterns leave out.
"""

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

PREPARED_MARKS = ("manifest.json", "train_ids.npy")
RUN_MARKS = ("config.yaml", "model.json", ".lock")
"""What a run has beside its vocabulary from its first moment on, or later."""


def is_prepared_text(folder: Path) -> bool:
    """Tell whether a folder is a prepared corpus."""
    return _has(folder, "vocabulary.json") and all(_has(folder, mark) for mark in PREPARED_MARKS)


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run, even one that has just begun."""
    return _has(folder, "vocabulary.json") and any(_has(folder, mark) for mark in RUN_MARKS)


def _has(folder: Path, name: str) -> bool:
    return os.path.exists(folder / name)  # noqa: PTH110 - pathlib's raises where we may not look


def files_in(folder: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Path]:
    """Find the files to read in a folder, however deep, sorted by path.

    A file that several names lead to (links) is read once; links to folders are not followed.

    Args:
        folder: Where to look.
        include: Patterns, one of which a file has to match; none lets every file through.
        exclude: Patterns, none of which a file may match.

    Raises:
        OSError: A folder cannot be looked into.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        wanted = [Path(parent, name) for name in _wanted(folder, parent, folders, exclude)]
        folders[:] = [each.name for each in wanted if not (is_run(each) or is_prepared_text(each))]
        found += [Path(parent, name) for name in _wanted(folder, parent, files, exclude)]
    once: dict[tuple[int, int], Path] = {}
    for path in sorted(found):
        if path.is_file() and (not include or _matches(path.relative_to(folder), include)):
            status = path.stat()
            once.setdefault((status.st_dev, status.st_ino), path)
    return list(once.values())


def _wanted(folder: Path, parent: str, names: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Leave out hidden names and those that patterns exclude."""
    inside = Path(parent).relative_to(folder)
    return [
        name for name in names if not name.startswith(".") and not _matches(inside / name, exclude)
    ]


def _matches(path: PurePath, patterns: Iterable[str]) -> bool:
    """Tell whether a pattern matches a path or one of its parts; `**/` may be no folder at all."""
    names = (*path.parts, path.as_posix())
    return any(
        fnmatchcase(name, pattern.removeprefix("**/")) for pattern in patterns for name in names
    )
