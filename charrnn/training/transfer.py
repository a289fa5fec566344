"""A new run from another's weights, also where the texts have different characters.

Everything that does not depend on the vocabulary is taken as it is. What belongs to a character
(its embedding, its column of a one-hot input, its output weights and bias) is matched by the
character, whatever its id is in either run. Characters that the other run never saw keep their
first weights; those that only the other run knows are not copied. The optimiser begins anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charrnn.config.schema import ModelConfig
from charrnn.errors import UserError
from charrnn.run.model_card import ModelCard
from charrnn.run.reader import TrainedModel
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.model import CharRNN

SIZES = ("cell", "input", "embedding_size", "hidden_size", "layers", "tie_weights")
"""What two networks must have in common for the weights of one to fit the other."""


@dataclass(frozen=True)
class Transfer:
    """How the vocabularies of the two runs compare."""

    source: Path
    step: int
    """The step after which these weights were the best of the other run."""
    matched: int
    new: tuple[str, ...]
    """Characters of this text that the other run does not know."""
    left: tuple[str, ...]
    """Characters that only the other run knows."""


def sizes_of(card: ModelCard) -> dict[str, Any]:
    """The settings of section `model` that a network with these weights must have."""
    sizes = {name: getattr(card, name) for name in SIZES}
    if card.input == "onehot":
        del sizes["embedding_size"]
    return sizes


def check_same_network(model: ModelConfig, source: TrainedModel) -> None:
    """Refuse a network that the weights of another run do not fit.

    Raises:
        UserError: Sizes or cells differ; all that do are named.
    """
    differences = [
        f"model.{name} is {theirs} there and {ours} here"
        for name, theirs in sizes_of(source.card).items()
        if (ours := getattr(model, name)) != theirs
    ]
    if differences:
        raise UserError(
            f"the weights of {source.path} do not fit this network: {'; '.join(differences)}",
            hint="leave these settings out, and they are taken from there",
        )


def take_weights(model: CharRNN, vocabulary: Vocabulary, source: TrainedModel) -> Transfer:
    """Put another run's weights into a network that was just made, matched by character."""
    ids = dict(_pairs(vocabulary, source.vocabulary))
    ours, theirs = torch.tensor(list(ids)), torch.tensor(list(ids.values()))
    axes = _vocabulary_axes(source.card)
    for name, parameter in model.named_parameters():
        _take(parameter.data, torch.tensor(source.weights[name]), axes.get(name), ours, theirs)
    return _compared(vocabulary, source)


def _take(ours: Tensor, theirs: Tensor, axis: int | None, to: Tensor, of: Tensor) -> None:
    """Copy a weight, or along the axis of the characters what the two have in common."""
    if axis is not None:
        theirs = ours.cpu().index_copy(axis, to, theirs.index_select(axis, of))
    ours.copy_(theirs)


def _vocabulary_axes(card: ModelCard) -> Mapping[str, int]:
    """Along which axis of which weight the characters lie."""
    input_axis = {"embedding.weight": 0} if card.input == "embedding" else {"rnn.weight_ih_l0": 1}
    return {**input_axis, "output.weight": 0, "output.bias": 0}


def _pairs(ours: Vocabulary, theirs: Vocabulary) -> Iterator[tuple[int, int]]:
    """The ids, here and there, of every character (and special) that both know."""
    ids = {char: id_ for id_, char in enumerate(theirs.characters)}
    for id_, char in enumerate(ours.characters):
        if char in ids:
            yield id_, ids[char]


def _compared(vocabulary: Vocabulary, source: TrainedModel) -> Transfer:
    ours = vocabulary.characters[len(vocabulary.specials) :]
    theirs = source.vocabulary.characters[len(source.vocabulary.specials) :]
    return Transfer(
        source=source.path,
        step=source.card.step,
        matched=len(set(ours) & set(theirs)),
        new=tuple(char for char in ours if char not in source.vocabulary),
        left=tuple(char for char in theirs if char not in vocabulary),
    )
