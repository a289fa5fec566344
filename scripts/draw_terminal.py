"""Draw docs/terminal.svg: real commands, and what they really said.

    python scripts/draw_terminal.py

Trains the quickstart in a temporary folder (about a minute on two cores).
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "terminal.svg"
COMMANDS = (
    ("train", "--config", "quickstart"),
    ("eval",),
    ("generate", "The return value", "--length", "420", "--rng-seed", "4"),
)
COLUMNS = 92


def shown(arguments: tuple[str, ...]) -> str:
    """The command as a person types it."""
    return "charrnn " + " ".join(f'"{word}"' if " " in word else word for word in arguments)


def said(arguments: tuple[str, ...], folder: Path) -> str:
    """Run a command; both of its streams, as a terminal shows them."""
    done = subprocess.run(
        [sys.executable, "-m", "charrnn", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout.rstrip("\n")


def main() -> None:
    """Run the commands and write the picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        for arguments in COMMANDS:
            console.print(Text("$ ", style="bold green") + Text(shown(arguments), style="bold"))
            console.print(Text(said(arguments, Path(folder))))
            console.print()
    PICTURE.write_text(console.export_svg(title="charrnn"), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
