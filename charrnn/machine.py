"""What this machine has for us: memory, and how many threads BLAS may use."""

import os
from pathlib import Path

from charrnn.errors import UserError
from charrnn.messages import byte_size

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
ALL_BLAS_VARIABLE = "OMP_NUM_THREADS"


def use_one_blas_thread() -> None:
    """Ask every BLAS that NumPy may be built with for one thread; call it before importing NumPy.

    The products of inference are small: threads that share one wait for each other twice in every
    product, for a whole time slice if the machine is busy. Single-threaded BLAS has predictable
    latency and gives the same bits on every number of processors. A user's `OMP_NUM_THREADS` wins.
    """
    if ALL_BLAS_VARIABLE not in os.environ:
        for variable in BLAS_VARIABLES:
            os.environ.setdefault(variable, "1")


def physical_bytes() -> int | None:
    """The memory of this machine, or of the container that we are in; None if it will not say."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    try:
        return min(memory, int(CONTAINER_LIMIT.read_text()))
    except (ValueError, OSError):  # no container, or one without a limit ("max")
        return memory


def fits_in_memory(needed: int, *, share: float = 1.0) -> bool:
    """Whether so many bytes are within a share of the memory; true if the machine will not say."""
    available = physical_bytes()
    return available is None or needed <= share * available


def require_memory(needed: int, what: str, *, detail: str = "", hint: str = "") -> None:
    """Refuse what this machine cannot hold, before any of it is asked for.

    Args:
        needed: Bytes that cannot be avoided.
        what: What takes them, such as a path or `training`.
        detail: What else the message says.
        hint: How less is needed.

    Raises:
        UserError: There is less memory; with the bytes.
    """
    if not fits_in_memory(needed):
        raise UserError(
            f"{what} takes {needed:,} bytes ({byte_size(needed)}) of memory or more, "
            f"this machine has {byte_size(physical_bytes() or 0)}{detail}",
            hint=hint,
        )
