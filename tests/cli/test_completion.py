"""What a shell completes, asked as bash asks."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.process import COMMAND
from tests.models import write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_run(folder / "runs" / "poems")
    write_run(folder / "runs" / "names")
    return folder


def completed(folder: Path, line: str) -> list[str]:
    """The words that bash is given for the last word of a line."""
    asked = {
        "_CHARRNN_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    done = subprocess.run(
        [*COMMAND], cwd=folder, env={**os.environ, **asked}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("charrnn gen", ["generate"]),
        ("charrnn generate --run ", ["runs/names", "runs/poems"]),
        ("charrnn eval --run runs/p", ["runs/poems"]),
        ("charrnn eval --split t", ["train"]),
        ("charrnn eval --engine ", ["auto", "numpy", "torch"]),
        ("charrnn generate --unknown s", ["skip"]),
        ("charrnn train --set model.hid", ["model.hidden_size="]),
        ("charrnn prepare --set data.enc", ["data.encoding="]),
        ("charrnn train --config quick", ["quickstart"]),
        ("charrnn export --to o", ["onnx"]),
        ("charrnn explain surp", ["surprisal"]),
        ("charrnn train --over", ["--overwrite"]),
        ("charrnn he", ["help"]),
        ("charrnn help gen", ["generate"]),
        ("charrnn docs tut", ["tutorial"]),
    ],
)
def test_the_tab_key_completes(line: str, words: list[str], folder: Path) -> None:
    assert completed(folder, line) == words


def test_completion_is_printed_for_bash_and_installed_only_when_asked(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "charrnn").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    (tmp_path / "charrnn").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    home = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    script = (
        'told=$(charrnn --show-completion); eval "$told"; COMP_CWORD=3\n'
        'COMP_WORDS=(charrnn eval --run runs/na); _charrnn_completion charrnn; echo "$COMPREPLY"'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=home, capture_output=True, text=True, check=False
    )
    assert done.stdout == "runs/names\n", done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["charrnn"]
    subprocess.run(
        ["bash", "-c", "charrnn --install-completion; true"],
        env=home, capture_output=True, check=True,
    )  # fmt: skip
    assert "charrnn" in (tmp_path / ".bashrc").read_text()
