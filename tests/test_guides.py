"""Every command and every program of the guides, run in a folder that is empty but for a text.

What is missing there is missing after `pip install`, too.
"""

import sys
from pathlib import Path

import pytest

from tests.corpora import prose
from tests.documents import ROOT, SHORTENED, SMALL, blocks, commands, run

TUTORIAL, EXPORT, PYTHON = (
    ROOT / "docs" / f"{name}.md" for name in ("tutorial", "export", "python")
)
OPENING = "The quick brown fox jumps over a lazy dog. One Two\n"


def shortened(command: str) -> str:
    command = command.replace("--minutes 2", "--set train.steps=3")
    command = command.replace("train.steps=4000", "train.steps=5")
    if command.startswith("charrnn train --config"):
        return command + SHORTENED
    return command + SMALL if command.startswith("charrnn train text.txt") else command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tutorial has been followed to its end."""
    folder = tmp_path_factory.mktemp("guides")
    (folder / "text.txt").write_text(OPENING + prose(6000))
    for command in commands(TUTORIAL):
        run(folder, "bash", "-c", shortened(command))
    return folder


def test_the_tutorial_leads_from_a_text_to_pages(folder: Path) -> None:
    for page in ("first.html", "names.html"):
        assert (folder / page).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_commands_of_the_guide_to_exports_work(folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    (folder / "first.html").unlink(missing_ok=True)
    for command in commands(EXPORT):
        run(folder, "bash", "-c", f"{command} --run runs/first")
    (program,) = blocks(EXPORT, "python")
    assert run(folder, sys.executable, "-c", program).startswith("after 'The ': ")
    assert (folder / "runs" / "first" / "README.md").exists()


def test_the_programs_of_the_guide_to_python_work_one_after_the_other(folder: Path) -> None:
    written = run(folder, sys.executable, "-c", "".join(blocks(PYTHON, "python")))
    options = ("--seed", "The ", "--length", "200", "--temperature", "0.7", "--rng-seed", "1")
    text = run(folder, "charrnn", "generate", "--run", "runs/first", *options, "--no-echo")
    assert written.startswith(text.rstrip("\n"))
    assert "none to predict" in written
