"""Every command that the README prints, run as printed, with trainings cut short."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.corpora import prose
from tests.documents import ROOT, SHORTENED, blocks, commands, run

README = ROOT / "README.md"
IDEAS = ROOT / "docs" / "ideas.md"


def shortened(command: str) -> str:
    command = command.replace("--minutes 2", "")
    return command + SHORTENED if command.startswith("charrnn train") else command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout's configurations and data and two texts."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data" / "names.txt", tmp_path / "data")
    (tmp_path / "poems.txt").write_text("Once. The Hello hello\n" + prose(5000))
    return tmp_path


def test_every_command_and_the_python_of_the_readme_work_in_their_order(folder: Path) -> None:
    quickstart = f"charrnn train --config configs/quickstart.yaml{SHORTENED}"
    for command in [quickstart, *map(shortened, commands(README))]:
        run(folder, "bash", "-c", command)
    (program,) = blocks(README, "python")
    assert run(folder, sys.executable, "-c", f"{program}\nprint(text)").startswith("The ")


def test_every_command_of_the_ideas_works_in_its_order(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    (folder / "input.txt").write_text("The kin\n" + prose(4000))
    for command in commands(IDEAS):
        run(folder, "bash", "-c", shortened(command))


def test_the_makefile_has_the_targets_that_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in [*re.findall(r"`make (\w+)`", README.read_text(encoding="utf-8")), "demo"]:
        assert f"\n{target}:" in makefile


def test_every_file_that_is_linked_is_there() -> None:
    for document in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
