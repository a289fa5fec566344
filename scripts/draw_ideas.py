"""Draw docs/pictures: what some networks learned, as docs/ideas.md shows it.

    python scripts/draw_ideas.py input.txt

`input.txt` is Tiny Shakespeare (docs/training.md says where it comes from). An LSTM, a GRU and a
plain RNN of equal size are trained on it for two minutes each, and an LSTM on source code of
Python's standard library, all in a temporary folder.
"""

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
LIBRARY = Path(sysconfig.get_path("stdlib"))
PACKAGES = ("asyncio", "email", "http", "json", "logging")
CONFIG = """
model: {hidden_size: 192}
train: {batch_size: 32, sequence_length: 64, eval_every_steps: 400}
"""
SECONDS = ("--minutes", "2")
STEPS = ("--set", "train.steps=2000")
RUNS = ("--run", "runs/rnn", "--run", "runs/gru", "--run", "runs/lstm")
DRAWN = {
    "surprisal.png": ("surprisal", "--run", "runs/gru"),
    "units-lines.png": ("units", "--run", "runs/gru"),
    "units-brackets.png": ("units", "--run", "runs/code"),
    "gates.svg": ("gates", "--run", "runs/lstm"),
    "gradient.svg": ("gradient", *RUNS),
    "context.svg": ("context", "--run", "runs/gru"),
    "baselines.svg": ("baselines", "--run", "runs/gru"),
    "calibration.svg": ("calibration", "--run", "runs/gru"),
    "embedding.svg": ("embedding", "--run", "runs/gru"),
}


def charrnn(folder: Path, *arguments: str) -> None:
    """Run one command in the folder; its output is shown."""
    subprocess.run([sys.executable, "-m", "charrnn", *arguments], cwd=folder, check=True)


def train(folder: Path, run: str, text: str, cell: str, *length: str) -> None:
    """Train one network."""
    settings = ("--set", f"data.source={text}", "--set", f"model.cell={cell}")
    charrnn(folder, "train", "--config", "config.yaml", *settings, *length, "--out", f"runs/{run}")


def source_code() -> str:
    """Some packages of Python's standard library, one after the other."""
    files = [file for name in PACKAGES for file in sorted((LIBRARY / name).glob("*.py"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def main() -> None:
    """Train the networks and draw the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shakespeare.txt").write_bytes(Path(sys.argv[1]).read_bytes())
        (folder / "code.txt").write_text(source_code(), encoding="utf-8")
        (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
        train(folder, "code", "code.txt", "lstm", *STEPS)
        for cell in ("lstm", "gru", "rnn"):
            train(folder, cell, "shakespeare.txt", cell, *SECONDS)
        for picture, arguments in DRAWN.items():
            charrnn(folder, "explain", *arguments, "-o", str(PICTURES / picture))
            charrnn(folder, "explain", *arguments)


if __name__ == "__main__":
    main()
