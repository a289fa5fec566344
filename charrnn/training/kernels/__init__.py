"""A time step's small operations as one pass each, in C, compiled where a C compiler is found.

What torch's layers leave on the table on a CPU is not in the products but around them; see
`cells.c` for what a step does and `charrnn.training.kernels.autograd` for who calls it.
"""

from charrnn.training.kernels.compiler import Kernels, compiled_kernels

__all__ = ["Kernels", "compiled_kernels"]
