"""What only a GPU can show: that a training there is the one on a CPU, and can be gone on with.

Everything else about it is tested on the CPU: see test_loss_scale, test_cells and test_trainer.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charrnn.config.schema import Config
from charrnn.evaluation.scoring import advance_and_score
from charrnn.inference.network import NumpyNetwork
from charrnn.run.reader import read_model
from charrnn.text.corpus import Corpus
from charrnn.training.autotune import resolve
from charrnn.training.batches import Batch
from charrnn.training.model import load_network
from charrnn.training.step import TrainingStep
from tests.corpora import stream_corpus
from tests.training.test_step import model_and_batch, train_config
from tests.training.test_trainer import config_for, everything_learned, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

GPU = torch.device("cuda")
TOLERANCES = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
cells = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
precisions = pytest.mark.parametrize("precision", list(TOLERANCES))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return stream_corpus(tmp_path_factory.mktemp("corpus"), characters=1200)


@cells
@precisions
@pytest.mark.parametrize("options", [{}, {"input": "onehot"}, {"layers": 2, "hidden_size": 256}])
def test_steps_are_those_of_a_cpu(cell: str, precision: str, options: dict[str, object]) -> None:
    model, batch = model_and_batch(cell=cell, **{"hidden_size": 128, **options})
    batch = Batch(batch.ids_BT.repeat(4, 1), batch.targets_BT.repeat(4, 1), 4 * batch.targets)
    cpu = TrainingStep(copy.deepcopy(model), train_config(kernel="torch"))
    gpu = TrainingStep(copy.deepcopy(model).to(GPU), train_config(precision=precision))
    states = [each.initial_state(len(batch.ids_BT)) for each in (cpu, gpu)]
    tolerance = TOLERANCES[precision]
    for index in range(4):
        results = [
            each.step(index, batch, state, rate=0.001)
            for each, state in zip((cpu, gpu), states, strict=True)
        ]
        expected, result = results
        states = [each.state_SLBH for each in results]
        assert result.figures.is_cuda
        assert result.loss_nats == pytest.approx(expected.loss_nats, rel=tolerance)
        assert result.gradient_norm == pytest.approx(expected.gradient_norm, rel=5 * tolerance)
        torch.testing.assert_close(
            result.state_SLBH.cpu(), expected.state_SLBH, rtol=tolerance, atol=tolerance
        )


@precisions
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_no_step_waits_for_the_gpu(precision: str, optimizer: str) -> None:
    model, batch = model_and_batch(hidden_size=128)
    learner = TrainingStep(model.to(GPU), train_config(precision=precision, optimizer=optimizer))
    state = learner.initial_state(len(batch.ids_BT))
    learner.step(0, batch, state, rate=0.001)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for index in range(1, 4):
            learner.step(index, batch, state, rate=0.001)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@precisions
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    corpus: Corpus, tmp_path: Path, precision: str
) -> None:
    config = config_for(corpus, precision=precision, device="cuda")
    train(corpus, tmp_path / "whole", config)
    train(corpus, tmp_path / "run", config, stop_after=(7, 20))
    assert everything_learned(tmp_path / "run") == everything_learned(tmp_path / "whole")


def test_what_was_trained_on_a_gpu_is_read_alike_by_all_engines(
    corpus: Corpus, tmp_path: Path
) -> None:
    train(corpus, tmp_path / "run", config_for(corpus, precision="float32", device="cuda"))
    trained = read_model(tmp_path / "run")
    ids_BT = np.asarray(corpus.valid.ids[:96], np.int64).reshape(2, 48)
    counted_BT = np.ones((2, 47), np.bool_)
    networks: list[Any] = [NumpyNetwork.of(trained), load_network(trained, "cuda")]
    ours, theirs = (
        advance_and_score(each, ids_BT[:, :-1], ids_BT[:, 1:], counted_BT, each.initial_state(2))
        for each in networks
    )
    np.testing.assert_allclose(theirs[0], ours[0], rtol=1e-4, atol=1e-5)


def test_auto_chooses_among_all_that_work(corpus: Corpus) -> None:
    chosen = resolve(Config(), corpus).train
    assert chosen.precision in TOLERANCES
    assert (chosen.kernel, chosen.threads) == ("torch", 1)
