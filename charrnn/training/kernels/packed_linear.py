"""x Wᵀ for one W and many x, the weights packed once: what a layer repeats at every time step.

oneDNN wants a matrix in blocks that depend on the processor. torch's usual product packs it so
each time, which for few rows costs as much as multiplying. Where this torch does not let oneDNN
keep the packed matrix, this falls back to the usual product.

Shapes: N rows, X inputs, Y outputs, H hidden, G gate rows.
"""

from concurrent.futures import Executor
from dataclasses import dataclass

import torch
from torch import Tensor


class PackedLinear:
    """Rows times a fixed matrix (Y, X), transposed."""

    def __init__(self, weight_YX: Tensor, rows: int) -> None:
        self._weight_YX = weight_YX
        self._packed = (
            torch.ops.mkldnn._reorder_linear_weight(weight_YX, rows)
            if _onednn_keeps_weights()
            else None
        )

    def __call__(self, rows_NX: Tensor) -> Tensor:
        """The products, (N, Y)."""
        if self._packed is None:
            return rows_NX @ self._weight_YX.T
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows_NX, self._packed, None, "none", [], ""
        )
        return product

    def added(self, rows_NX: Tensor, addend_NY: Tensor) -> Tensor:
        """The products plus something, (N, Y), rounded once."""
        if self._packed is None:
            return torch.addmm(addend_NY, rows_NX, self._weight_YX.T)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            rows_NX, addend_NY, self._packed, None, "add"
        )
        return total


def _onednn_keeps_weights() -> bool:
    names = ("_linear_pointwise", "_reorder_linear_weight")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in names
    )


@dataclass(frozen=True)
class PackedWeights:
    """The recurrent weights of one layer, for all parts of a batch in one step of training."""

    forward: PackedLinear
    """Hidden states (N, H) to gates (N, G)."""
    backward: PackedLinear
    """Gradients of gates (N, G) to those of hidden states (N, H)."""
    kept_GH: Tensor | None
    """What the weights were multiplied with by weight dropout, and their gradients must be."""

    @classmethod
    def of(
        cls,
        hidden_GH: Tensor,
        kept_GH: Tensor | None,
        dtype: torch.dtype,
        rows: int,
        pool: Executor,
    ) -> "PackedWeights":
        """Pack recurrent weights, in this type, for so many rows in each part."""
        weight_GH = hidden_GH.detach() if kept_GH is None else hidden_GH.detach() * kept_GH
        weight_GH = weight_GH.to(dtype)
        forward = pool.submit(PackedLinear, weight_GH, rows)
        backward = PackedLinear(weight_GH.T.contiguous(), rows)
        return cls(forward.result(), backward, kept_GH)
