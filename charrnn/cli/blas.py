"""How many threads BLAS may use: one, said before NumPy is imported, unless the user has said.

The products of generation are small. Threads that share one have to wait for each other twice in
every product; on an idle machine that gains a little, on a busy one a product takes hundreds of
times longer, since whoever waits may wait for a time slice. One thread has no bad days, and gives
the same bits on every number of processors. Many texts are spread over processors whole.
"""

import os

VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
GENERAL = "OMP_NUM_THREADS"


def use_one_thread() -> None:
    """Ask every BLAS that NumPy may be built with for one thread."""
    if GENERAL not in os.environ:
        for variable in VARIABLES:
            os.environ.setdefault(variable, "1")
