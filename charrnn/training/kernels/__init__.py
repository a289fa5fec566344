"""A recurrent layer on a CPU by kernels of our own, in C, compiled where a C compiler is found.

What torch's layers leave on the table is not in the matrix products but around them: see `cells.c`
for what a time step does, `autograd` for the layer and its products.
"""

from charrnn.training.kernels.autograd import PackedWeights, PlainWeights, gate_bias, layer
from charrnn.training.kernels.compiler import available, check_available

__all__ = ["PackedWeights", "PlainWeights", "available", "check_available", "gate_bias", "layer"]
