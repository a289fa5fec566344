"""Every command that the README prints, run as printed, with trainings cut short."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpora import prose

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
IDEAS = (ROOT / "docs" / "ideas.md").read_text(encoding="utf-8")
SMALL = (
    " --set model.hidden_size=16 --set train.batch_size=4 --set train.sequence_length=16"
    " --set train.threads=1 --set train.precision=float32 --set train.kernel=torch"
)
SHORTENED = f"{SMALL} --set train.steps=3"
NOT_RUN = ("make demo", ". .venv/bin/activate")
"""What needs a fresh environment; the Makefile's targets are looked at instead."""


def blocks(language: str, document: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def commands(document: str = README) -> list[str]:
    lines = [
        line.partition("  #")[0].strip()
        for block in blocks("sh", document)
        for line in block.split("\n")
    ]
    return [line for line in lines if line and line not in NOT_RUN]


def shortened(command: str) -> str:
    if "--minutes 2" in command:
        return command.replace("--minutes 2", "--minutes 0.3") + SMALL
    return command + SHORTENED if command.startswith("charrnn train") else command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout's configurations and data, two texts, and the command on the path."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data" / "names.txt", tmp_path / "data")
    (tmp_path / "poems.txt").write_text("Once. The Hello hello\n" + prose(5000))
    command = tmp_path / "bin" / "charrnn"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charrnn "$@"\n')
    command.chmod(0o755)
    return tmp_path


def run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",  # `head -c` may cut a character in two
        timeout=300,
        check=False,
    )


def test_every_command_and_the_python_of_the_readme_work_in_their_order(folder: Path) -> None:
    quickstart = f"charrnn train --config configs/quickstart.yaml{SHORTENED}"
    for command in [quickstart, *map(shortened, commands())]:
        done = run(folder, ["bash", "-c", command])
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr, command
    (program,) = blocks("python")
    done = run(folder, [sys.executable, "-c", f"{program}\nprint(text)"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The ")


def test_every_command_of_the_ideas_works_in_its_order(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    (folder / "input.txt").write_text("The kin\n" + prose(4000))
    for command in commands(IDEAS):
        done = run(folder, ["bash", "-c", shortened(command.replace("--minutes 2 ", ""))])
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr, command


def test_the_makefile_has_the_targets_that_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in [*re.findall(r"`make (\w+)`", README), "demo"]:
        assert f"\n{target}:" in makefile


def test_every_file_that_is_linked_is_there() -> None:
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
