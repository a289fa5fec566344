"""Several networks in the arrays of one, which predicts what they predict in the mean.

The matrices of networks that know nothing of each other are blocks along the diagonal of larger
ones, whose other entries are zero; their output layers, side by side and each a Kth of itself, add
up to the mean of their logits. So an ensemble is kept as a plain network with K times the units,
which torch's layers read as any other.

Shapes: K networks, N gates of a cell, H hidden units of one network, X what it reads; G is N H.
"""

from collections.abc import Sequence

import numpy as np

from charrnn.network import GATES, FloatArray, Weights

EMBEDDING, OUTPUT, OUTPUT_BIAS = "embedding.weight", "output.weight", "output.bias"
FIRST_INPUT = "rnn.weight_ih_l0"


def joined(networks: Sequence[Weights], cell: str) -> dict[str, FloatArray]:
    """The weights of one network that predicts the mean of these, by torch's names."""
    if len(networks) == 1:
        return dict(networks[0])
    weights = {}
    for name in networks[0]:
        arrays = [network[name] for network in networks]
        if name == EMBEDDING:
            weights[name] = np.concatenate(arrays, axis=1)
        elif name == OUTPUT:
            weights[name] = np.concatenate(arrays, axis=1) / np.float32(len(arrays))
        elif name == OUTPUT_BIAS:
            weights[name] = np.mean(arrays, axis=0)
        elif is_on_diagonal(name, networks[0]):
            weights[name] = block_diagonal(arrays, GATES[cell])
        else:
            weights[name] = _rows_of_all(arrays, GATES[cell])
    return weights


def separated(weights: Weights, count: int, cell: str) -> list[dict[str, FloatArray]]:
    """So many networks, the mean of whose predictions is that of these weights.

    They are those that were joined, but for the output layer's bias, which all have in common, and
    for rounding.
    """
    if count == 1:
        return [dict(weights)]
    networks: list[dict[str, FloatArray]] = [{} for _ in range(count)]
    for name, array in weights.items():
        if name == EMBEDDING:
            arrays = np.split(array, count, axis=1)
        elif name == OUTPUT:
            arrays = np.split(array * np.float32(count), count, axis=1)
        elif name == OUTPUT_BIAS:
            arrays = [array] * count
        elif is_on_diagonal(name, weights):
            arrays = blocks(array, count, GATES[cell])
        else:
            arrays = _rows_of_each(array, count, GATES[cell])
        for network, own in zip(networks, arrays, strict=True):
            network[name] = np.ascontiguousarray(own)
    return networks


def without_zeros(weights: Weights, count: int, cell: str) -> dict[str, FloatArray]:
    """The weights, but of each block-diagonal matrix its blocks alone, (K, N H, X)."""
    return {
        name: np.stack(blocks(array, count, GATES[cell]))
        if count > 1 and is_on_diagonal(name, weights)
        else array
        for name, array in weights.items()
    }


def matrix_outside_blocks(weights: Weights, count: int, cell: str) -> str | None:
    """The name of a matrix that has more than blocks along its diagonal; None if there is none."""
    for name, array in weights.items() if count > 1 else ():
        if is_on_diagonal(name, weights):
            inside = sum(map(np.count_nonzero, blocks(array, count, GATES[cell])))
            if np.count_nonzero(array) > inside:
                return name
    return None


def block_diagonal(blocks_GX: Sequence[FloatArray], gates: int) -> FloatArray:
    """Matrices of gates, (N H, X) each, as the diagonal of one, (N K H, K X)."""
    count, (rows, columns) = len(blocks_GX), blocks_GX[0].shape
    whole = np.zeros((gates, count, rows // gates, count, columns), np.float32)
    for k, block_GX in enumerate(blocks_GX):
        whole[:, k, :, k] = block_GX.reshape(gates, -1, columns)
    return whole.reshape(count * rows, count * columns)


def blocks(whole: FloatArray, count: int, gates: int) -> list[FloatArray]:
    """The matrices (N H, X) on the diagonal of one, (N K H, K X)."""
    rows, columns = (size // count for size in whole.shape)
    parts = whole.reshape(gates, count, rows // gates, count, columns)
    return [parts[:, k, :, k].reshape(rows, columns) for k in range(count)]


def is_on_diagonal(name: str, weights: Weights) -> bool:
    """Whether each network reads units of its own there; all read the same one-hot vector."""
    is_matrix = name.startswith("rnn.weight")
    return is_matrix and (name != FIRST_INPUT or EMBEDDING in weights)


def _rows_of_all(arrays: Sequence[FloatArray], gates: int) -> FloatArray:
    """Rows (N H, ...) of each network, gate by gate."""
    by_gate = [array.reshape(gates, -1, *array.shape[1:]) for array in arrays]
    return np.concatenate(by_gate, axis=1).reshape(-1, *arrays[0].shape[1:])


def _rows_of_each(array: FloatArray, count: int, gates: int) -> list[FloatArray]:
    parts = array.reshape(gates, count, -1, *array.shape[1:])
    return [parts[:, k].reshape(-1, *array.shape[1:]) for k in range(count)]
