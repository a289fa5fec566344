"""From C source to functions that Python can call, in less than a second.

The kernels are compiled anew for each training, for the very processor that will run them, in a
temporary folder that is gone as soon as they are loaded: nothing is kept that could grow stale,
be moved to another machine, or be tampered with.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from charrnn.errors import UserError

SOURCE = Path(__file__).with_name("cells.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")
TUNING = ("-march=native", "-mprefer-vector-width=512")
"""What is left out where the compiler does not know it."""
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


def available() -> bool:
    """Whether there are kernels for this processor; the first call compiles them."""
    return compiled_kernels() is not None


def check_available() -> None:
    """Refuse `train.kernel: native` where it cannot be had.

    Raises:
        UserError: There is no C compiler that works.
    """
    if not available():
        raise UserError(
            "train.kernel is native, which takes a C compiler, and there is none that works here",
            hint="install gcc or clang, or name one in the environment variable CC; "
            "a new run can be trained with train.kernel=torch",
        )


@cache
def compiled_kernels() -> ctypes.CDLL | None:
    """The kernels for this processor; None where they cannot be made, or not be loaded."""
    found = next(filter(shutil.which, COMPILERS), "cc")
    compiler = os.environ.get("CC", "").split() or [found]
    try:
        with tempfile.TemporaryDirectory(prefix="charrnn-") as folder:
            library = Path(folder) / "cells.so"
            for flags in ([*FLAGS, *TUNING], FLAGS):
                if _runs([*compiler, *flags, SOURCE, "-o", library, "-lm"]):
                    return ctypes.CDLL(str(library))
    except OSError:  # no room, or a folder from which nothing may be loaded
        pass
    return None


def _runs(command: Sequence[str | Path]) -> bool:
    try:
        result = subprocess.run(  # noqa: S603 - the user's own compiler, our own source
            command, capture_output=True, timeout=SECONDS_TO_COMPILE, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0
