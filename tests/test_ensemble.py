"""Several networks as one: a plain network predicts the mean, and each learns as it would alone."""

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.ensemble import joined, separated
from charrnn.run.model_card import ModelCard
from charrnn.run.reader import read_model
from charrnn.training.batches import Batch
from charrnn.training.initialization import init_weights
from charrnn.training.model import CharRNN, ensemble_of
from charrnn.training.rng import seed_of_network
from charrnn.training.step import TrainingStep
from tests.campaigns.kills import everything_learned
from tests.cli.process import charrnn
from tests.inference.test_network import advance_in_torch, cards
from tests.models import random_ids, random_weights, write_run

V = 13
OF_THREE = (
    "--set=data.source=text.txt",
    "--set=model.ensemble_size=3",
    "--set=model.hidden_size=16",
    "--set=model.embedding_size=8",
    "--set=model.weight_dropout=0.2",
    "--set=train.steps=40",
    "--set=train.eval_every_steps=20",
    "--set=train.sample_every_steps=20",
    "--set=train.save_every_steps=10",
    "--set=train.batch_size=8",
    "--set=train.optimizer=muon",
    "--set=train.precision=float32",
    "--set=train.kernel=torch",
    "--set=train.average_fraction=0.5",
    "--set=train.logit_scale=0.9",
    "--set=train.parts=2",
    "--quiet",
)


def together(card: ModelCard, count: int) -> ModelCard:
    """The card of so many networks like this one."""
    return replace(
        card,
        hidden_size=card.hidden_size * count,
        embedding_size=card.embedding_size * count,
        ensemble_size=count,
    )


@settings(max_examples=60, deadline=None)
@given(card=cards(), count=st.integers(1, 4), seed=st.integers(0, 99))
def test_torchs_own_layers_read_the_file_and_predict_the_mean(
    card: ModelCard, count: int, seed: int
) -> None:
    card = replace(card, tie_weights=False, ensemble_size=1)
    networks = [random_weights(card, seed + k, 0.2) for k in range(count)]
    whole_card = together(card, count)
    ids = random_ids(card, 3, 7, seed=seed)

    whole = joined(networks, card.cell)

    assert {name: array.shape for name, array in whole.items()} == whole_card.shapes()
    parts = 2 if card.cell == "lstm" else 1
    state = np.zeros((parts, card.layers, 3, card.hidden_size), np.float32)
    alone = [advance_in_torch(card, each, ids, state) for each in networks]
    logits, after = advance_in_torch(whole_card, whole, ids, np.concatenate([state] * count, -1))
    np.testing.assert_allclose(logits, np.mean([each for each, _ in alone], axis=0), atol=1e-5)
    np.testing.assert_allclose(after, np.concatenate([own for _, own in alone], -1), atol=1e-5)
    for network, again in zip(networks, separated(whole, count, card.cell), strict=True):
        for name in network.keys() - {"output.bias"}:
            np.testing.assert_allclose(again[name], network[name], rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(
    "network",
    [
        {"cell": "lstm", "layers": 2},
        {"cell": "gru", "input": "onehot"},
        {"cell": "rnn", "input_dropout": 0.1},
    ],
    ids=lambda network: str(network["cell"]),
)
def test_each_network_learns_as_it_would_alone_to_the_bit(
    network: dict[str, Any], optimizer: str
) -> None:
    options = {"dropout": 0.2, "weight_dropout": 0.2, **network}
    config = ModelConfig(hidden_size=10, embedding_size=6, ensemble_size=3, **options)
    train = TrainConfig(
        optimizer=optimizer,  # type: ignore[arg-type]
        precision="float32",
        kernel="torch",
        clip_norm=0.5,
        threads=2,
        parts=2,
    )
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(CharRNN(config, V))
        init_weights(networks[-1], unknown_id=1)
    alone = [
        TrainingStep(copy.deepcopy(each), replace(train, seed=seed_of_network(train.seed, number)))
        for number, each in enumerate(networks)
    ]
    ensemble = TrainingStep(ensemble_of(networks), train)
    state = ensemble.initial_state(5)
    states = [each.initial_state(5) for each in alone]
    for index in range(6):
        ids = torch.randint(V, (5, 9))
        batch = Batch(ids[:, :-1], ids[:, 1:], 5 * 8)
        result = ensemble.step(index, batch, state, rate=0.01)
        results = [
            each.step(index, batch, own, rate=0.01) for each, own in zip(alone, states, strict=True)
        ]
        state, states = result.state_SLBH, [each.state_SLBH for each in results]
        assert result.loss_nats == pytest.approx(np.mean([each.loss_nats for each in results]))
        assert result.gradient_norm == max(each.gradient_norm for each in results)
    assert torch.equal(state, torch.cat(states, dim=3))
    for learned, own in zip(networks, alone, strict=True):
        for ours, theirs in zip(learned.parameters(), own.parameters, strict=True):
            assert torch.equal(ours, theirs)


def test_of_a_training_on_the_command_line(tmp_path: Path) -> None:
    text = "the quick brown fox jumps over the lazy dog. " * 100
    (tmp_path / "text.txt").write_text(text)

    def train(*arguments: str) -> None:
        done = charrnn("train", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    train(*OF_THREE, "--out=whole", "--set=train.threads=1")
    train(*OF_THREE, "--out=half", "--set=train.threads=2", "--set=train.keep=9")
    train("--resume", "--from-step=20", "--out=half", "--quiet")
    assert everything_learned(tmp_path / "half") == everything_learned(tmp_path / "whole")

    model = read_model(tmp_path / "whole")
    assert (model.card.hidden_size, model.card.ensemble_size) == (48, 3)
    of_engines = [
        json.loads(charrnn("eval", "--run=whole", "--json", *engine, cwd=tmp_path).stdout)
        for engine in ((), ("--engine=torch",))
    ]
    for result in of_engines:
        assert result["loss_nats"] == pytest.approx(model.card.valid_loss_nats, abs=1e-5)
    written = charrnn("generate", "--run=whole", "--seed=the ", "--length=20", cwd=tmp_path)
    assert written.returncode == 0
    assert len(written.stdout) == len("the ") + 20

    train("--init-from=whole", "--set=data.source=text.txt", "--set=train.steps=1", "--out=next")
    again = read_model(tmp_path / "next").card
    assert (again.hidden_size, again.ensemble_size) == (48, 3)
    refused = charrnn(
        "train", "--resume", "--set=model.ensemble_size=2", "--out=half", cwd=tmp_path
    )
    assert refused.returncode == 2
    assert "model.ensemble_size: 3 -> 2" in refused.stderr


@pytest.mark.parametrize(
    ("settings_", "what"),
    [
        (("model.tie_weights=true", "model.hidden_size=64"), "needs model.ensemble_size 1"),
        (
            ("model.hidden_size=40000",),
            "times model.hidden_size (40,000) is 80,000; at most 65,536",
        ),
    ],
)
def test_what_no_ensemble_can_have_is_refused(settings_: tuple[str, ...], what: str) -> None:
    sets = [f"--set={each}" for each in (*settings_, "model.ensemble_size=2")]
    refused = charrnn("train", *sets, "--print-config")
    assert refused.returncode == 2
    assert what in refused.stderr


def test_a_run_whose_sizes_or_weights_are_no_ensembles_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", hidden_size=16, ensemble_size=3)
    refused = charrnn("generate", f"--run={run}")
    assert refused.returncode == 2
    assert "ensemble_size does not fit the sizes" in refused.stderr

    run = write_run(tmp_path / "dense", hidden_size=16, ensemble_size=2)
    file = run / "model.safetensors"
    weights = load_file(file)
    weights["rnn.weight_hh_l0"][0, -1] = 1.0
    save_file(weights, file)
    card = json.loads((run / "model.json").read_text())
    card["weights_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (run / "model.json").write_text(json.dumps(card))
    refused = charrnn("generate", f"--run={run}")
    assert refused.returncode == 2
    assert "rnn.weight_hh_l0" in refused.stderr
