"""What only a GPU can show: that a training there is the one on a CPU, and can be gone on with.

Everything else about it is tested on the CPU: see test_loss_scale, test_cells and test_trainer.
"""

import copy
import warnings
from collections.abc import Sequence
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
from charrnn.training import step as step_module
from charrnn.training.autotune import resolve
from charrnn.training.batches import Batch
from charrnn.training.model import load_network
from charrnn.training.step import TrainingStep, summed_loss
from charrnn.training.training_state import tensors_of
from tests.corpora import lines_corpus, stream_corpus
from tests.training.test_step import model_and_batch, train_config
from tests.training.test_trainer import config_for, everything_learned, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

GPU = torch.device("cuda")
TOLERANCES = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
STATE_TOLERANCES = {"float32": 5e-3, "bfloat16": 5e-2, "float16": 1e-2}
"""Of states after some steps of AdamW, whose first are of full size whatever a gradient's is."""
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
            result.state_SLBH.cpu(),
            expected.state_SLBH,
            rtol=0,
            atol=STATE_TOLERANCES[precision],
        )


@precisions
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_no_step_waits_for_the_gpu(precision: str, optimizer: str) -> None:
    model, batch = model_and_batch(hidden_size=128)
    learner = TrainingStep(model.to(GPU), train_config(precision=precision, optimizer=optimizer))
    state = learner.initial_state(len(batch.ids_BT))
    for index in range(3):  # by then it is recorded, if it is
        learner.step(index, batch, state, rate=0.001)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a feature that is a prototype
            torch.cuda.set_sync_debug_mode("error")
        for index in range(3, 6):
            learner.step(index, batch, state, rate=0.001)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def learned(learner: TrainingStep, batches: Sequence[Batch]) -> list[torch.Tensor]:
    """What is left of some steps, at a rate that rises: states, figures, weights and moments."""
    state = learner.initial_state(len(batches[0].ids_BT))
    results: list[torch.Tensor] = []
    for index, batch in enumerate(batches):
        results += learner.step(index, batch, state, rate=0.001 * (index + 1))
    return [*results, *(each.clone() for each in tensors_of(learner).values())]


@cells
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_recorded_step_is_the_step_to_the_bit(cell: str, precision: str, optimizer: str) -> None:
    model, batch = model_and_batch(
        cell=cell, hidden_size=128, dropout=0.1, weight_dropout=0.2, input_dropout=0.1
    )
    fewer = Batch(batch.ids_BT.flip(1), batch.targets_BT.flip(1), batch.targets - 3)
    shorter = Batch(batch.ids_BT[:, :5], batch.targets_BT[:, :5], 27)
    batches = [batch, shorter, batch, fewer, shorter, batch, shorter]  # both are common
    config = train_config(precision=precision, optimizer=optimizer, cold_start_fraction=0.3)
    recorded, plain = (TrainingStep(copy.deepcopy(model).to(GPU), config) for _ in range(2))
    plain._graphs = None
    ours, theirs = learned(recorded, batches), learned(plain, batches)
    assert recorded._graphs is not None
    assert len(recorded._graphs._graphs) == 2
    assert len(ours) == len(theirs)
    assert all(map(torch.equal, ours, theirs))


def test_what_cannot_be_recorded_is_computed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_and_batch(hidden_size=128, dropout=0.1)
    plain = TrainingStep(copy.deepcopy(model).to(GPU), train_config())
    plain._graphs = None
    expected = learned(plain, [batch] * 6)

    monkeypatch.setattr(step_module, "summed_loss", waiting_loss)
    waiting = TrainingStep(model.to(GPU), train_config())
    assert all(map(torch.equal, learned(waiting, [batch] * 6), expected))
    assert waiting._graphs is not None
    assert not waiting._graphs._graphs


def waiting_loss(logits_BTV: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
    """The loss, but the GPU is waited for."""
    loss = summed_loss(logits_BTV, targets_BT)
    loss.item()
    return loss


@precisions
@pytest.mark.parametrize("mode", ["stream", "lines"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    corpus: Corpus, tmp_path: Path, precision: str, mode: str
) -> None:
    if mode == "lines":
        corpus = lines_corpus(tmp_path / "corpus")
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
