"""What a training leaves behind, against means and logits computed by hand."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from charrnn.config.load import read_run_config
from charrnn.config.schema import ModelConfig, TrainConfig
from charrnn.errors import UserError
from charrnn.text.corpus import Corpus
from charrnn.training.events import Stepped
from charrnn.training.kept_weights import EVERY_STEPS, KeptWeights
from charrnn.training.model import CharRNN, new_model
from tests.corpora import stream_corpus
from tests.training.test_trainer import (
    PlannedClock,
    config_for,
    everything_learned,
    metrics_of,
    train,
    train_by,
    trainer_for,
)

STEPS = 8 * EVERY_STEPS
AVERAGED = {"steps": STEPS, "average_fraction": 0.25, "logit_scale": 0.9, "eval_every_steps": 24}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return stream_corpus(tmp_path_factory.mktemp("corpus"), characters=1200)


@pytest.fixture(scope="module")
def averaged(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(corpus, run, config_for(corpus, **AVERAGED))
    return run


def moved(model: CharRNN, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The weights of a model, after they were moved at random."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator))
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("count", [1, 2, 5, 40])
@pytest.mark.parametrize("power", [0, 2, 8, 38])
def test_the_mean_counts_weights_by_a_power_of_their_place(power: int, count: int) -> None:
    """By the rising power k (k + 1) ... (k + p - 1), a binomial, where the power is whole."""
    model = CharRNN(ModelConfig(hidden_size=3, embedding_size=2), 5)
    kept = KeptWeights(model, TrainConfig(average_fraction=2 / (power + 2)))
    generator = torch.Generator().manual_seed(1)
    weights = []
    for step in range(1, count * EVERY_STEPS + 1):
        latest = moved(model, generator)
        kept.count_step(step)
        if step % EVERY_STEPS == 0:
            weights.append(latest)

    counts = np.array([math.comb(k + power - 1, power) for k in range(1, count + 1)], float)
    for name, mean in kept.model().named_parameters():
        of_name = np.stack([each[name].double().numpy() for each in weights])
        expected = np.tensordot(counts / counts.sum(), of_name, axes=1)
        np.testing.assert_allclose(mean.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_training_keeps_the_mean_and_goes_on_with_the_weights(
    corpus: Corpus, averaged: Path, tmp_path: Path
) -> None:
    plain = {**AVERAGED, "average_fraction": 0.0, "logit_scale": 1.0}
    run = tmp_path / "run"
    train(corpus, run, config_for(corpus, **plain))
    last, with_mean = (everything_learned(each) for each in (run, averaged))
    trained = {name: value for name, value in last.items() if name.startswith("last ")}
    assert trained
    assert trained.items() <= with_mean.items()
    assert last["card"]["valid_loss_nats"] != with_mean["card"]["valid_loss_nats"]


def test_nothing_is_averaged_or_saved_unless_it_is_asked_for(
    corpus: Corpus, tmp_path: Path
) -> None:
    train(corpus, tmp_path / "run", config_for(corpus, steps=EVERY_STEPS))
    state = load_file(tmp_path / "run/last/state.safetensors")
    best = load_file(tmp_path / "run/model.safetensors")
    assert not [name for name in state if name.startswith("average.")]
    assert all(torch.equal(best[name], state[f"model.{name}"]) for name in best)


def test_the_loss_is_that_of_the_file_with_torch_alone(corpus: Corpus, averaged: Path) -> None:
    """What anybody does who has the file: three modules, the weights, one pass over the text."""
    weights = load_file(averaged / "model.safetensors")
    embedding = torch.nn.Embedding.from_pretrained(weights["embedding.weight"])
    lstm = torch.nn.LSTM(8, 12)
    lstm.load_state_dict(
        {name.removeprefix("rnn."): w for name, w in weights.items() if name.startswith("rnn.")}
    )
    ids = torch.from_numpy(corpus.valid.ids.astype(np.int64))
    with torch.no_grad():
        hidden_TH, _ = lstm(embedding(ids[:-1]))
        logits_TV = hidden_TH @ weights["output.weight"].T + weights["output.bias"]
        loss = float(torch.nn.functional.cross_entropy(logits_TV, ids[1:]))

    card = json.loads((averaged / "model.json").read_text())
    assert card["valid_loss_nats"] == pytest.approx(loss, abs=1e-5)
    assert min(each.get("valid_loss_nats", 9.0) for each in metrics_of(averaged)) == pytest.approx(
        loss, abs=1e-5
    )


@pytest.mark.parametrize("network", [{}, {"tie_weights": True}, {"input": "onehot"}])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_logits_are_scaled_and_what_is_remembered_is_not(
    network: Mapping[str, Any], scale: float
) -> None:
    torch.manual_seed(1)
    model = CharRNN(ModelConfig(hidden_size=6, embedding_size=6, **network), 5)
    kept = KeptWeights(model, TrainConfig(logit_scale=scale)).model()
    ids_BT = torch.randint(5, (2, 7))
    for state_SLBH in (model.initial_state(2), torch.randn(2, 1, 2, 6)):
        (logits, state), (scaled, same_state) = (each(ids_BT, state_SLBH) for each in (model, kept))
        torch.testing.assert_close(scaled, scale * logits)
        torch.testing.assert_close(same_state, state)


@pytest.mark.parametrize("stop_after", [(5,), (24, 29), (7, 8, 9, 41)])
def test_the_mean_is_resumed_to_the_very_bits(
    corpus: Corpus, averaged: Path, tmp_path: Path, stop_after: tuple[int, ...]
) -> None:
    train(corpus, tmp_path / "run", config_for(corpus, **AVERAGED), stop_after=stop_after)
    assert everything_learned(tmp_path / "run") == everything_learned(averaged)


def test_a_kill_takes_nothing_from_the_mean(corpus: Corpus, averaged: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", config_for(corpus, **AVERAGED)
    trainer = trainer_for(corpus, run, config)
    for event in trainer.run():
        if isinstance(event, Stepped) and event.step == 34:
            break
    trainer.writer.close()
    train(corpus, run, config)
    assert everything_learned(run) == everything_learned(averaged)


def test_more_steps_go_on_with_the_mean_as_if_they_had_been_planned(
    corpus: Corpus, tmp_path: Path
) -> None:
    """With a learning rate that does not fall, so that the steps themselves are the same."""
    level = {**AVERAGED, "final_learning_rate_fraction": 1.0, "warmup_steps": 0}
    train(corpus, tmp_path / "whole", config_for(corpus, **level))
    train(corpus, tmp_path / "parts", config_for(corpus, **{**level, "steps": 24}))
    train(corpus, tmp_path / "parts", config_for(corpus, **level))
    assert everything_learned(tmp_path / "parts") == everything_learned(tmp_path / "whole")


def test_a_mean_outlives_new_plans_of_the_clock(corpus: Corpus, tmp_path: Path) -> None:
    plans = {6: 70, 29: 40}
    settings: dict[str, Any] = {"average_fraction": 0.25, "logit_scale": 0.9}
    train_by(PlannedClock(plans), corpus, tmp_path / "whole", **settings)
    train_by(PlannedClock(plans), corpus, tmp_path / "stopped", stop_at=31, **settings)
    planned = read_run_config(tmp_path / "stopped" / "config.yaml")
    train(corpus, tmp_path / "stopped", planned)
    assert everything_learned(tmp_path / "stopped") == everything_learned(tmp_path / "whole")


def test_a_run_without_a_mean_can_begin_one_and_leave_it(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def saved_after(steps: int, fraction: float) -> dict[str, torch.Tensor]:
        train(corpus, run, config_for(corpus, steps=steps, average_fraction=fraction))
        return load_file(run / "last/state.safetensors")

    assert "average.output.bias" not in saved_after(EVERY_STEPS, 0.0)
    begun = saved_after(2 * EVERY_STEPS, 0.5)
    assert torch.equal(begun["average.output.bias"], begun["model.output.bias"])
    gone_on = saved_after(3 * EVERY_STEPS, 0.5)
    assert not torch.equal(gone_on["average.output.bias"], gone_on["model.output.bias"])
    assert "average.output.bias" not in saved_after(4 * EVERY_STEPS, 0.0)


def test_a_mean_that_does_not_fit_is_refused(corpus: Corpus, averaged: Path) -> None:
    config = config_for(corpus, **AVERAGED)
    saved = {n: w.numpy() for n, w in load_file(averaged / "last/state.safetensors").items()}
    name = "average.output.bias"
    short = {**saved, name: saved[name][1:]}
    missing = {each: array for each, array in saved.items() if each != name}
    for wrong in (short, missing, {**saved, "average.odd": saved[name]}):
        kept = KeptWeights(new_model(config, corpus), config.train)
        with pytest.raises(UserError, match=r"does not fit the configuration: average\."):
            kept.restore(wrong)
