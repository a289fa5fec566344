"""What the C library does with memory that torch has freed."""

import ctypes
import sys
from functools import cache

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of mallopt(3), by the numbers that glibc's malloc.h gives them."""
MOST_BYTES = 1 << 30
OLD_MOST_BYTES = 32 << 20
"""What older glibc takes as a threshold at the most."""


@cache
def keep_freed_memory() -> None:
    """Keep freed memory for the next step, which will want the same.

    glibc hands large blocks back to the system as soon as they are free, and gets them again page
    by page, zeroed: in each step of training thousands of page faults, a fifth of its time.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return
    if mallopt(MMAP_THRESHOLD, MOST_BYTES) or mallopt(MMAP_THRESHOLD, OLD_MOST_BYTES):
        mallopt(TRIM_THRESHOLD, MOST_BYTES)
