"""Every command and every program of the guides, run as printed in an otherwise empty folder.

Trainings are cut short, and `charrnn` is this checkout's; what is missing in the folder here is
missing after `pip install`, too.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpora import prose

DOCS = Path(__file__).parent.parent / "docs"
ELSEWHERE = ("python3 -m venv", ". charrnn-env", "pip install", "open ", "xdg-open ")
"""What needs a new environment or a screen: `.ci/wheel` installs, tests/export/ opens the page."""
TINY = "--set model.hidden_size=16 --set train.threads=1"


def blocks(guide: str, language: str) -> list[str]:
    text = (DOCS / guide).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(guide: str) -> Iterator[str]:
    for line in "".join(blocks(guide, "sh")).splitlines():
        command = line.partition("  #")[0].strip()
        if command and not command.startswith(ELSEWHERE):
            yield shortened(command)


def shortened(command: str) -> str:
    command = command.replace("--minutes 2", "--set train.steps=3")
    command = command.replace("train.steps=4000", "train.steps=5")
    if command.startswith("charrnn train --config"):
        return f"{command} --set train.steps=3 {TINY}"
    return f"{command} {TINY}" if command.startswith("charrnn train --set") else command


class Folder:
    """A folder with a text and the command on its path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "text.txt").write_text(
            "The quick brown fox jumps over a lazy dog. One Two\n" + prose(6000)
        )
        command = path / "bin" / "charrnn"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charrnn "$@"\n')
        command.chmod(0o755)

    def run(self, *command: str) -> str:
        path = f"{self.path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.path,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(DOCS.parent)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Where the tutorial has been followed to its end."""
    folder = Folder(tmp_path_factory.mktemp("guides"))
    for command in commands("tutorial.md"):
        folder.run("bash", "-c", command)
    return folder


def test_the_tutorial_leads_to_a_page(folder: Folder) -> None:
    for page in ("first.html", "names.html"):
        assert (folder.path / page).read_text().startswith("<!doctype html>")


def test_the_tutorial_promises_no_more_than_its_commands() -> None:
    assert len(list(commands("tutorial.md"))) >= 9


def test_the_commands_of_the_guide_to_exports_work(folder: Folder) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    (folder.path / "first.html").unlink(missing_ok=True)
    for command in commands("export.md"):
        folder.run("bash", "-c", f"{command} --run runs/first")
    (program,) = blocks("export.md", "python")
    assert folder.run(sys.executable, "-c", program).startswith("after 'The ': ")
    assert (folder.path / "runs/first/README.md").exists()


def test_the_programs_of_the_guide_to_python_work_one_after_the_other(folder: Folder) -> None:
    written = folder.run(sys.executable, "-c", "".join(blocks("python.md", "python")))
    options = ("--seed", "The ", "--length", "200", "--temperature", "0.7", "--rng-seed", "1")
    text = folder.run("charrnn", "generate", "--run", "runs/first", *options, "--no-echo")
    assert written.startswith(text.rstrip("\n"))
    assert "none to predict" in written
