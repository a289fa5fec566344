"""Folders as a source: which of their files are read."""

from pathlib import Path

import pytest

from charrnn.text.folder import files_in
from tests.corpora import stream_corpus
from tests.models import write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.md", "drafts/c.txt", "letters/2019/d.txt", "letters/e.txt~"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(folder: Path, include: list[str], exclude: list[str]) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_in(folder, include, exclude)]


ALL = ["a.txt", "b.md", "drafts/c.txt", "letters/2019/d.txt", "letters/e.txt~"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], ALL),
        (["*.txt"], [], ["a.txt", "drafts/c.txt", "letters/2019/d.txt"]),
        (["*.txt", "*.md"], ["drafts"], ["a.txt", "b.md", "letters/2019/d.txt"]),
        (["letters"], [], ["letters/2019/d.txt", "letters/e.txt~"]),
        (["letters/*.txt"], [], ["letters/2019/d.txt"]),
        (["**/*.txt"], ["letters/20*"], ["a.txt", "drafts/c.txt"]),
        (["*.txt"], ["*/*"], ["a.txt"]),
        ([], ["*~", "?.md"], ["a.txt", "drafts/c.txt", "letters/2019/d.txt"]),
        (["*.TXT"], [], []),
    ],
)
def test_patterns_choose_by_name_folder_and_path(
    folder: Path, include: list[str], exclude: list[str], expected: list[str]
) -> None:
    assert names(folder, include, exclude) == expected


def test_what_charrnn_made_is_left_out_whatever_it_is_called(folder: Path) -> None:
    corpus = stream_corpus(folder / "kept")
    (folder / "kept/stream.txt").unlink()
    write_run(folder / "my model")
    write_run(folder / "begun")
    for late in ("config.yaml", "model.json", "model.safetensors"):
        (folder / "begun" / late).unlink(missing_ok=True)
    (folder / "begun/.lock").touch()
    assert corpus.path.is_dir()
    assert names(folder, [], []) == ALL


def test_a_folder_with_a_vocabulary_of_its_own_is_read(folder: Path) -> None:
    for name in ("vocabulary.json", "notes.txt"):
        path = folder / "lessons" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    assert "lessons/vocabulary.json" in names(folder, [], [])
