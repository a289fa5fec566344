"""Trainings as a user starts them, and what they reached."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any


def charrnn(*arguments: object, cwd: Path | None = None) -> dict[str, Any]:
    """The answer of a command to `--json`, in a process of its own."""
    command = [sys.executable, "-m", "charrnn", *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=cwd)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def set_options(settings: Mapping[str, object]) -> list[str]:
    """Settings as the options that set them."""
    return [f"--set={name}={value}" for name, value in settings.items()]


def with_spread(values: Sequence[float]) -> str:
    """A mean, and the lowest and the highest."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"
