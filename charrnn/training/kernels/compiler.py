"""From C source to functions that Python can call, in less than a second.

The kernels are compiled anew for each training, for the very processor that will run them, in a
temporary folder that is gone as soon as they are loaded: nothing is kept that could grow stale,
be moved to another machine, or be tampered with.
"""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("cells.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")
SECONDS_TO_COMPILE = 60

NAMES = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
"""The types of gates that there are kernels for."""
POINTERS = {
    "lstm_forward": 7,
    "lstm_backward": 5,
    "gru_forward": 8,
    "gru_backward": 5,
    "rnn_forward": 4,
    "rnn_backward": 3,
    "add_rows": 3,
}
"""How many arrays each kernel takes, after its numbers of rows and units."""

Kernel = Callable[..., None]


class Kernels:
    """The functions of a compiled library; Python's lock is let go of while they run."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def __call__(self, name: str, dtype: torch.dtype) -> Kernel:
        """The kernel of this name for gates of this type: rows, units, then addresses."""
        kernel = getattr(self._library, f"{name}_{NAMES[dtype]}")
        kernel.argtypes = (ctypes.c_long,) * 2 + (ctypes.c_void_p,) * POINTERS[name]
        kernel.restype = None
        return kernel  # type: ignore[no-any-return]


@cache
def compiled_kernels() -> Kernels | None:
    """The kernels for this processor; None where they cannot be made, or not be loaded."""
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="charrnn-") as folder:
            return _made_by(compiler, Path(folder) / "cells.so")
    except OSError:  # no room, or a folder from which nothing may be loaded
        return None


def _made_by(compiler: list[str], library: Path) -> Kernels | None:
    for tuning in (_tuning(), ()):
        if _compiles([*compiler, *FLAGS, *tuning, str(SOURCE), "-o", str(library), "-lm"]):
            return Kernels(ctypes.CDLL(str(library)))
    return None


def _compiler() -> list[str] | None:
    """The user's own choice in `CC`, or what is found."""
    if chosen := os.environ.get("CC", "").split():
        return chosen
    return next(([path] for name in COMPILERS if (path := shutil.which(name))), None)


def _tuning() -> tuple[str, ...]:
    """What lets the compiler use all that this processor can do."""
    if platform.machine() in {"arm64", "aarch64"}:
        return ("-mcpu=native",)
    return ("-march=native", "-mprefer-vector-width=512")


def _compiles(command: list[str]) -> bool:
    try:
        result = subprocess.run(  # noqa: S603 - the user's own compiler, our own source
            command, capture_output=True, timeout=SECONDS_TO_COMPILE, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0
