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


def kernel(name: str, dtype: torch.dtype, *, arrays: int) -> Callable[..., None]:
    """The kernel of this name for gates of this type; Python's lock is let go of while it runs.

    It takes a number of rows, a number of units, and the addresses of so many arrays.
    """
    library = compiled_kernels()
    assert library is not None, "whether there are kernels is to be asked before"
    function = getattr(library, f"{name}_{NAMES[dtype]}")
    function.argtypes = (ctypes.c_long,) * 2 + (ctypes.c_void_p,) * arrays
    function.restype = None
    return function  # type: ignore[no-any-return]


@cache
def compiled_kernels() -> ctypes.CDLL | None:
    """The kernels for this processor; None where they cannot be made, or not be loaded."""
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="charrnn-") as folder:
            return _made_by(compiler, Path(folder) / "cells.so")
    except OSError:  # no room, or a folder from which nothing may be loaded
        return None


def _made_by(compiler: list[str], library: Path) -> ctypes.CDLL | None:
    for tuning in (_tuning(), ()):
        if _compiles([*compiler, *FLAGS, *tuning, str(SOURCE), "-o", str(library), "-lm"]):
            return ctypes.CDLL(str(library))
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
