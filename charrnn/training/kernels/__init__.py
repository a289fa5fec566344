"""A recurrent layer on a CPU by kernels of our own, in C, compiled where a C compiler is found.

What torch's layers leave on the table is not in the matrix products but around them: see `cells.c`
for what a time step does, `autograd` for the layer, `packed_linear` for its products.
"""

from charrnn.errors import UserError
from charrnn.training.kernels.autograd import GateInputs, gate_bias, layer
from charrnn.training.kernels.compiler import compiled_kernels
from charrnn.training.kernels.packed_linear import PackedWeights

__all__ = ["GateInputs", "PackedWeights", "available", "check_available", "gate_bias", "layer"]


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
