"""The commands and programs that a document prints, run as printed, with trainings cut short."""

import re
import subprocess
from pathlib import Path

from tests.cli.process import environment_with_command

ROOT = Path(__file__).parent.parent
SMALL = (
    " --set model.hidden_size=16 --set train.batch_size=4 --set train.sequence_length=16"
    " --set train.threads=1 --set train.precision=float32 --set train.kernel=torch"
)
SHORTENED = f"{SMALL} --set train.steps=3"
ELSEWHERE = (
    "make demo",
    "pip install",
    "python3 -m venv",
    ". ",
    "open ",
    "xdg-open ",
)
"""What needs a new environment or a screen: `.ci/wheel` installs, tests/export/ opens the page."""


def blocks(document: Path, language: str) -> list[str]:
    """What stands in a document's blocks of code of a language."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    """The commands of a document, in order, without comments and without those of ELSEWHERE."""
    lines = "".join(blocks(document, "sh")).splitlines()
    bare = [line.partition("  #")[0].strip() for line in lines]
    return [line for line in bare if line and not line.startswith(ELSEWHERE)]


def run(folder: Path, *command: str) -> str:
    """Run a command, which finds `charrnn`, and must succeed; returns its stdout."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment_with_command(), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",  # `head -c` may cut a character in two
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stderr}"
    assert "Traceback" not in done.stderr, command[-1]
    return done.stdout
