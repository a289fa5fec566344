"""The memory that training takes: counted as torch counts, and refused before it is asked for."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from charrnn.config.load import apply_overrides, load_for_training, read_run_config
from charrnn.config.memory import (
    activation_count,
    check_memory,
    estimated_bytes,
    kept_count,
    parameter_count,
)
from charrnn.config.schema import Config, ModelConfig
from charrnn.errors import UserError
from charrnn.machine import physical_bytes
from charrnn.run.model_card import ModelCard


@pytest.mark.parametrize(
    ("cell", "given", "layers"),
    list(itertools.product(["lstm", "gru", "rnn"], ["embedding", "onehot"], [1, 3])),
)
def test_parameters_are_counted_as_torch_has_them(cell: Any, given: Any, layers: int) -> None:
    model = ModelConfig(cell=cell, input=given, embedding_size=5, hidden_size=7, layers=layers)
    network = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](
        input_size=5 if given == "embedding" else 11, hidden_size=7, num_layers=layers
    )
    parts = [network, nn.Linear(7, 11)] + ([nn.Embedding(11, 5)] if given == "embedding" else [])
    count = sum(weight.numel() for part in parts for weight in part.parameters())
    assert parameter_count(model, vocabulary_size=11) == count


def test_parameters_are_counted_as_a_run_stores_them() -> None:
    model = ModelConfig(embedding_size=6, hidden_size=6, layers=2, tie_weights=True)
    stored = {field.name for field in dataclasses.fields(ModelCard)}
    known: Mapping[str, Any] = {**dataclasses.asdict(model), "vocabulary_size": 11}
    card = ModelCard(**{name: known.get(name) for name in stored})  # type: ignore[arg-type]
    shapes = card.shapes().values()
    assert parameter_count(model, vocabulary_size=11) == sum(math.prod(shape) for shape in shapes)


@pytest.mark.parametrize("given", ["embedding", "onehot"])
def test_an_ensemble_is_counted_as_what_learns_and_as_what_is_kept(given: Any) -> None:
    model = ModelConfig(input=given, embedding_size=6, hidden_size=7, layers=2, ensemble_size=3)
    alone = dataclasses.replace(model, ensemble_size=1)
    assert parameter_count(model, 11) == 3 * parameter_count(alone, 11)
    card = ModelCard.of(
        Config(model=model), vocabulary_size=11, corpus_sha256="", step=0, valid_loss_nats=0.0
    )
    assert kept_count(model, 11) == sum(math.prod(shape) for shape in card.shapes().values())
    assert kept_count(alone, 11) == 0


def test_the_estimate_grows_with_everything_that_takes_memory() -> None:
    small = estimated_bytes(Config(), 100)
    for override in [
        "model.hidden_size=400",
        "model.layers=2",
        "model.ensemble_size=2",
        "model.embedding_size=65",
        "train.batch_size=17",
        "train.sequence_length=65",
        "train.average_fraction=0.1",
    ]:
        assert estimated_bytes(apply_overrides(Config(), [override]), 100) > small
    assert estimated_bytes(Config(), 101) > small
    assert activation_count(Config(), 100) > 16 * 64 * 384 * 4


def test_an_absurd_size_is_refused_by_arithmetic_with_the_bytes_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("model: {hidden_size: 65536, layers: 64}\n")
    with pytest.raises(UserError) as caught:
        load_for_training(path)
    needed = estimated_bytes(read_run_config(path), 3)
    assert f"{path}: training takes {needed:,} bytes (35.0 TB) of memory or more" in (
        caught.value.message
    )
    assert "model.hidden_size" in caught.value.hint


def test_a_run_from_a_larger_machine_can_be_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: {hidden_size: 65536, layers: 64}\n")
    assert read_run_config(path).model.hidden_size == 65536


def test_a_machine_that_will_not_say_its_memory_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huge = Config(model=ModelConfig(hidden_size=65536, layers=64))
    monkeypatch.setattr("charrnn.machine.physical_bytes", lambda: None)
    check_memory(huge)


def test_the_memory_of_this_machine_is_plausible() -> None:
    memory = physical_bytes()
    assert memory is None or 2**28 < memory < 2**50
