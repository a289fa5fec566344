"""Warm-start a run from another run's weights, also where the texts have different characters.

Everything that does not depend on the vocabulary is taken as it is. What belongs to a character
(its embedding, its column of a one-hot input, its output weights and bias) is matched by the
character, whatever its id is in either run. Characters that the other run never saw keep their
first weights; those that only the other run knows are not copied. The optimiser begins anew.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from charrnn.config.schema import ModelConfig
from charrnn.ensemble import separated
from charrnn.errors import UserError
from charrnn.run.reader import TrainedModel
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.model import TorchModel, sizes_of


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


def take_weights(model: TorchModel, vocabulary: Vocabulary, source: TrainedModel) -> Transfer:
    """Put another run's weights into a network that was just made, matched by character.

    Raises:
        UserError: One run reads characters and the other one bytes.
    """
    known = source.vocabulary
    if known.unit != vocabulary.unit:
        raise UserError(
            f"{source.path} reads {known.unit}s, and data.unit is {vocabulary.unit}",
            hint=f"--set data.unit={known.unit} reads this text the same way",
        )
    their_ids = {char: id_ for id_, char in enumerate(known.characters)}
    shared = [(id_, char) for id_, char in enumerate(vocabulary.characters) if char in their_ids]
    ours = torch.tensor([id_ for id_, _ in shared])
    theirs = torch.tensor([their_ids[char] for _, char in shared])
    onehot = source.card.input == "onehot"
    axes = {"rnn.weight_ih_l0": 1} if onehot else {"embedding.weight": 0}
    axes |= {"output.weight": 0, "output.bias": 0}  # along which the characters lie
    each_weights = separated(source.weights, source.card.ensemble_size, source.card.cell)
    for network, weights in zip(model.networks, each_weights, strict=True):
        for name, parameter in network.named_parameters():
            weight = torch.tensor(weights[name])
            if name in axes:
                of_shared = weight.index_select(axes[name], theirs)
                weight = parameter.data.cpu().index_copy(axes[name], ours, of_shared)
            parameter.data.copy_(weight)
    here = vocabulary.characters[len(vocabulary.specials) :]
    there = known.characters[len(known.specials) :]
    return Transfer(
        source=source.path,
        step=source.card.step,
        matched=len(set(here) & set(there)),
        new=tuple(char for char in here if char not in known),
        left=tuple(char for char in there if char not in vocabulary),
    )
