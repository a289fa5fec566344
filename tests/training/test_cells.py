"""Layers as cuDNN gets them, which is a matter of layout alone, and so is seen on a CPU."""

import pytest
import torch
from torch import Tensor

from charrnn.config.schema import ModelConfig
from charrnn.training.cells import (
    LayerWeights,
    arranged_for_cudnn,
    fused_layer,
    missing_columns,
    weights_of,
)
from charrnn.training.model import CharRNN

T, B, X, H = 5, 8, 20, 128


def layer(cell: str) -> tuple[Tensor, LayerWeights, Tensor]:
    torch.manual_seed(0)
    config = ModelConfig(cell=cell, embedding_size=X, hidden_size=H)  # type: ignore[arg-type]
    model = CharRNN(config, 7)
    state_SLBH = torch.randn_like(model.initial_state(B))
    return torch.randn(T, B, X), weights_of(model.rnn, 0), state_SLBH[:, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_layer_that_is_arranged_for_cudnn_is_the_same_layer(
    cell: str, dtype: torch.dtype
) -> None:
    inputs_TBX, weights, state_SBH = layer(cell)
    arranged = arranged_for_cudnn(cell, inputs_TBX, weights, state_SBH, dtype)
    padded_TBX, block, start_SBH = arranged
    assert padded_TBX.shape[2] == (128 if dtype == torch.float16 and cell != "gru" else X)
    assert {each.dtype for each in (padded_TBX, *block, start_SBH)} == {dtype}
    ends = [each.data_ptr() + each.nbytes for each in block]
    assert [each.data_ptr() for each in block[1:]] == ends[:-1]
    assert all(each.is_contiguous() for each in (*block, *start_SBH))

    ours = fused_layer(
        cell, padded_TBX.float(), LayerWeights(*(each.float() for each in block)), start_SBH.float()
    )
    theirs = fused_layer(cell, inputs_TBX, weights, state_SBH)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-3
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, yours, rtol=tolerance, atol=tolerance)
    for mine, yours in zip(
        *(torch.autograd.grad(hidden.sum(), weights) for hidden, _ in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(mine, yours, rtol=10 * tolerance, atol=50 * tolerance)


@pytest.mark.parametrize(
    ("cell", "inputs", "hidden", "rows", "dtype", "missing"),
    [
        ("lstm", 64, 512, 128, torch.float16, 64),
        ("lstm", 130, 1024, 8, torch.float16, 126),
        ("rnn", 1, 128, 64, torch.float16, 127),
        ("lstm", 256, 512, 128, torch.float16, 0),
        ("gru", 64, 512, 128, torch.float16, 0),
        ("lstm", 64, 512, 128, torch.bfloat16, 0),
        ("lstm", 64, 384 + 64, 128, torch.float16, 0),
        ("lstm", 64, 1152, 128, torch.float16, 0),
        ("lstm", 64, 512, 12, torch.float16, 0),
        ("lstm", 64, 512, 136, torch.float16, 0),
    ],
)
def test_inputs_are_padded_where_that_lets_persistent_kernels_serve(
    cell: str, inputs: int, hidden: int, rows: int, dtype: torch.dtype, missing: int
) -> None:
    inputs_TBX, state_SBH = torch.empty(2, rows, inputs), torch.empty(2, rows, hidden)
    assert missing_columns(cell, inputs_TBX, state_SBH, dtype) == missing
