"""The ONNX file, run by onnxruntime and compared with the NumPy network."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.errors import RunFailedError
from charrnn.export.onnx_model import onnx_bytes, onnx_difference
from charrnn.inference.network import NumpyNetwork
from charrnn.run.reader import TrainedModel, read_model
from tests.models import write_run

onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

KINDS = list(itertools.product(["lstm", "gru", "rnn"], [1, 3], ["embedding", "onehot"]))


def model_of(folder: Path, **sizes: Any) -> TrainedModel:
    return read_model(write_run(folder, weights_scale=0.3, **sizes))


def session_of(content: bytes) -> Any:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("cell", "layers", "kind"), KINDS)
def test_the_file_computes_what_numpy_computes_at_any_batch_and_time(
    cell: str, layers: int, kind: str, tmp_path: Path
) -> None:
    model = model_of(tmp_path / "run", cell=cell, layers=layers, input=kind)
    session = session_of(onnx_bytes(model))
    network = NumpyNetwork.of(model)
    rng = np.random.default_rng(1)
    for batch, time in [(1, 1), (1, 50), (4, 7)]:
        state_SLBH = network.initial_state(batch)
        for _ in range(2):
            ids_BT = rng.integers(0, network.vocabulary_size, (batch, time))
            logits, state = session.run(None, {"ids": ids_BT, "state": state_SLBH})
            expected, state_SLBH = network.advance(ids_BT, state_SLBH)
            np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
            np.testing.assert_allclose(state, state_SLBH, rtol=0, atol=1e-5)


def test_tied_weights_are_the_embedding(tmp_path: Path) -> None:
    model = model_of(tmp_path / "run", cell="lstm", embedding_size=16, tie_weights=True)
    assert onnx_difference(model, onnx_bytes(model)) < 1e-5


def test_the_file_is_valid_and_names_its_characters(tmp_path: Path) -> None:
    model = model_of(tmp_path / "run", lines=True)
    proto = onnx.load_from_string(onnx_bytes(model))
    onnx.checker.check_model(proto, full_check=True)
    metadata = {each.key: each.value for each in proto.metadata_props}
    assert tuple(json.loads(metadata["characters"])) == model.vocabulary.characters
    assert metadata["mode"] == "lines"


@pytest.mark.parametrize("weight", ["rnn.weight_hh_l0", "rnn.bias_hh_l0", "output.bias"])
def test_a_file_that_computes_something_else_is_refused(weight: str, tmp_path: Path) -> None:
    model = model_of(tmp_path / "run", cell="gru")
    weights = {**model.weights, weight: model.weights[weight] + np.float32(1e-3)}
    other = TrainedModel(
        path=model.path, card=model.card, vocabulary=model.vocabulary, weights=weights
    )
    with pytest.raises(RunFailedError, match="differ"):
        onnx_difference(model, onnx_bytes(other))
