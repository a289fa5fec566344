"""What a training leaves behind: a mean of its late weights, their logits scaled.

With a learning rate that stays high, weights go on circling around a place that is better than any
they are at: their mean is nearer to it. The mean is that of polynomial-decay averaging (Shamir &
Zhang 2013, arXiv:1212.1824): weights count with a power of the steps they took, so that it is one
of the last share of all steps however many there will be. A step that is planned or added later
changes nothing of what went before.

A network that read a text several times is surer of itself on others than it ought to be. Logits
times a number below 1 are the cure (temperature scaling, Guo et al. 2017, arXiv:1706.04599); that
number goes into the output layer's weights, so that what is kept is a plain network.
"""

import copy

import torch
from torch import Tensor

from charrnn.config.schema import TrainConfig
from charrnn.tensors import Tensors
from charrnn.training.model import TorchModel
from charrnn.training.training_state import fill

PREFIX = "average."
"""What the mean's weights are called in a save, before their own names."""
EVERY_STEPS = 8
"""The mean is of the weights after every eighth step, which costs next to nothing."""


class KeptWeights:
    """The weights that would be kept if a training ended now.

    Args:
        model: what is trained.
        config: how; nothing is averaged unless `average_fraction` says so.

    Attributes:
        mean: the mean of each weight, by its name; nothing before there is one.
    """

    def __init__(self, model: TorchModel, config: TrainConfig) -> None:
        self._model = model
        self._fraction = config.average_fraction
        self._scale = config.logit_scale
        self.mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def count_step(self, step: int) -> None:
        """Take the weights after this step into the mean, if it is a step that counts."""
        if not self._fraction or step % EVERY_STEPS:
            return
        share = newest_share(step // EVERY_STEPS, self._fraction)
        for name, weight in self._model.named_parameters():
            if name in self.mean:
                self.mean[name].lerp_(weight, share)
            else:
                self.mean[name] = weight.clone()

    @torch.no_grad()
    def model(self) -> TorchModel:
        """A network with these weights; the one that is trained, if they are no others."""
        if not self.mean and self._scale == 1:
            return self._model
        kept = copy.deepcopy(self._model)
        kept.load_state_dict(self.mean, strict=False)
        scale_logits(kept, self._scale)
        return kept

    def tensors(self) -> Tensors:
        """The mean, as a save has it."""
        return {PREFIX + name: mean.cpu().numpy() for name, mean in self.mean.items()}

    @torch.no_grad()
    def restore(self, tensors: Tensors) -> Tensors:
        """Go on with the mean that a save has; with none, the next step that counts begins it.

        Returns:
            The other arrays of the save.

        Raises:
            UserError: The mean does not fit this network.
        """
        saved = {name: array for name, array in tensors.items() if name.startswith(PREFIX)}
        if self._fraction and saved:
            self.mean = {name: w.clone() for name, w in self._model.named_parameters()}
            fill({PREFIX + name: mean for name, mean in self.mean.items()}, saved)
        return {name: array for name, array in tensors.items() if name not in saved}


def newest_share(count: int, fraction: float) -> float:
    """What the newest of so many weights is in their mean, which is of the last fraction of them.

    Weights that count as the power 2 / fraction - 2 of their place have their middle where a plain
    mean of the last fraction has its own; a fraction of 1 is the plain mean of all.
    """
    return (2 - fraction) / (2 - 2 * fraction + fraction * count)


def scale_logits(model: TorchModel, scale: float) -> None:
    """Multiply all that the network predicts, in its weights; what it remembers stays.

    Where the output matrix is the embedding, too, what reads the embedding is divided.
    """
    for network in model.networks:
        network.output.weight.mul_(scale)
        network.output.bias.mul_(scale)
        if network.config.tie_weights:
            network.rnn.weight_ih_l0.div_(scale)
