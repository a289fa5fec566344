"""A new run from another's weights: rows go to the characters that they belong to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charrnn.config.schema import ModelConfig
from charrnn.errors import UserError
from charrnn.network import FloatArray
from charrnn.run.reader import TrainedModel, read_model
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.initialization import init_weights
from charrnn.training.model import CharRNN
from charrnn.training.transfer import check_same_network, take_weights
from tests.models import write_run

THEIRS, OURS = "abcdxyz", "\nÄbdq"
NETWORKS: list[dict[str, Any]] = [
    {"cell": "lstm", "input": "embedding", "layers": 2},
    {"cell": "gru", "input": "onehot"},
    {"cell": "rnn", "input": "embedding", "embedding_size": 16, "tie_weights": True},
]


def fresh(source: TrainedModel, vocabulary: Vocabulary) -> CharRNN:
    card = source.card
    config = ModelConfig(
        cell=card.cell,
        input=card.input,
        embedding_size=card.embedding_size,
        hidden_size=card.hidden_size,
        layers=card.layers,
        tie_weights=card.tie_weights,
    )
    torch.manual_seed(1)
    model = CharRNN(config, len(vocabulary))
    init_weights(model, vocabulary.unk_id)
    return model


def arrays(model: CharRNN) -> dict[str, FloatArray]:
    return {name: weight.detach().numpy().copy() for name, weight in model.named_parameters()}


def along_characters(name: str, weight: FloatArray) -> FloatArray:
    """A weight with the axis of the characters first, or unchanged if it has none."""
    return weight.T if name == "rnn.weight_ih_l0" else weight


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: str(network["cell"]))
@pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])
def test_each_character_brings_its_own_weights_and_new_ones_keep_their_first(
    tmp_path: Path, network: dict[str, Any], lines: bool
) -> None:
    source = read_model(write_run(tmp_path / "theirs", characters=THEIRS, lines=lines, **network))
    vocabulary = Vocabulary.from_characters(OURS, lines=False)
    model = fresh(source, vocabulary)
    first = arrays(model)

    told = take_weights(model, vocabulary, source)

    assert (told.matched, told.new, told.left) == (2, ("\n", "q", "Ä"), ("a", "c", "x", "y", "z"))
    of_characters = {"embedding.weight", "output.weight", "output.bias"}
    of_characters |= {"rnn.weight_ih_l0"} if network["input"] == "onehot" else set()
    for name, weight in arrays(model).items():
        ours, theirs = (along_characters(name, each) for each in (weight, source.weights[name]))
        if name not in of_characters:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
            continue
        for char in vocabulary.characters:
            if char in source.vocabulary.characters:
                expected = theirs[source.vocabulary.characters.index(char)]
            else:
                expected = along_characters(name, first[name])[vocabulary.characters.index(char)]
            np.testing.assert_array_equal(ours[vocabulary.characters.index(char)], expected)


def test_with_the_same_characters_it_is_the_very_network(tmp_path: Path) -> None:
    source = read_model(write_run(tmp_path / "theirs"))
    model = fresh(source, source.vocabulary)
    take_weights(model, source.vocabulary, source)
    for name, weight in arrays(model).items():
        np.testing.assert_array_equal(weight, source.weights[name])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_size": 17}, "model.hidden_size is 16 there and 17 here"),
        ({"cell": "gru"}, "model.cell is lstm there and gru here"),
        ({"layers": 3, "embedding_size": 9}, "embedding_size is 8 there and 9 here; model.layers"),
    ],
)
def test_a_network_of_another_shape_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    source = read_model(write_run(tmp_path / "theirs"))
    same = ModelConfig(hidden_size=16, embedding_size=8, dropout=0.7)
    check_same_network(same, source)
    with pytest.raises(UserError, match=named):
        check_same_network(replace(same, **changes), source)
