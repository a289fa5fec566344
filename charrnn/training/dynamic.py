"""Dynamic evaluation: the weights follow the text that is read (Krause et al. 2018, 1709.07432).

A segment is scored with the weights as they are, and learned from afterwards. The rule is theirs:

    theta += decay * (theta_0 - theta) * R / mean(R) - rate * g / (R + DAMPING * mean(R))

g is the gradient of the segment's loss and R, for each weight, the root of the mean square of all
gradients so far. They gather R on the training text beforehand; here it comes from the text that is
read, so that nothing but the run and the text is needed. Tests compare the gradient and the rule
with plain torch.

Shapes: S parts of the state, L layers, T time, H hidden.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from charrnn.errors import RunFailedError
from charrnn.evaluation.evaluate import Progress, unheard
from charrnn.evaluation.scoring import LARGEST_LOSS, Score, Starts, check_finite
from charrnn.generation.seeds import Prefix
from charrnn.network import FloatArray, IdArray
from charrnn.run.reader import TrainedModel
from charrnn.training import kernels
from charrnn.training.batches import LineDataset
from charrnn.training.cells import weights_of
from charrnn.training.kernels import PlainWeights
from charrnn.training.model import CharRNN, load_network, predict_together, weights_of_model

DAMPING = 0.1
"""What is added to each R, as a share of their mean, so that a weight that has hardly ever had a
gradient takes no leap at its first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicOptions:
    """How the weights follow a text; the defaults were found on training text (docs/evaluation.md).

    `charrnn eval --help` and `charrnn generate --help` tell them, too.
    """

    rate: float = 3e-4
    """How far a step goes: about the change of each weight in a step. At 0 nothing is learned."""
    decay: float = 1e-3
    """Which share of its way from the trained weights a weight goes back in a step."""
    segment: int = 20
    """How many characters are scored, and then learned from, at a time."""

    def changed(self, *, rate: float | None, decay: float | None = None) -> "DynamicOptions":
        """Give these options other values, but for those that are None."""
        return replace(
            self,
            rate=self.rate if rate is None else rate,
            decay=self.decay if decay is None else decay,
        )


DEFAULTS = DynamicOptions()


class DynamicNetwork:
    """A network that learns from what it has read, on a CPU in one thread.

    The same run, text and options give the same bits on the same machine.
    """

    def __init__(self, trained: TrainedModel, options: DynamicOptions, device: str = "cpu") -> None:
        """Begin with the weights of a run, which are copied.

        Raises:
            UserError: A GPU is asked for and there is none that torch can use.
        """
        network = load_network(trained, device)
        self._trained = trained
        self._model = network.model
        self._options = options
        self._is_native = not network.on_gpu and kernels.available()
        self._parameters = list(self._model.parameters())
        self._first = [each.detach().clone() for each in self._parameters]
        self._squares = [torch.zeros_like(each) for each in self._first]
        self._steps = 0
        self._state_SL1H = self._model.initial_state(1)

    def read(
        self,
        ids: IdArray,
        starts: Starts | None,
        *,
        cut_at: int | None = None,
        progress: Progress = unheard,
    ) -> Score:
        """Read a text, each segment of it scored first and learned from afterwards.

        A stream is read from a zero state to its end. Each line or example begins from a zero
        state, and with what was learned from those before it.

        Args:
            ids: the text.
            starts: where its lines or examples begin and the last one ends, or None for a stream.
            cut_at: the length of examples that were cut, whose end is no target.
            progress: told of every segment's targets.

        Raises:
            RunFailedError: The weights have run away.
        """
        score = Score()
        for segment in self.segments(ids, starts, cut_at):
            score += segment
            progress(segment.chars)
        return score

    def segments(
        self, ids: IdArray, starts: Starts | None = None, cut_at: int | None = None
    ) -> Iterator[Score]:
        """Read a text as `read` does; yields the score of each segment."""
        length = self._options.segment
        for row in self._rows(ids, starts, cut_at):
            self._state_SL1H = self._model.initial_state(1)
            for at in range(0, len(row) - 1, length):
                yield self._learn(row[at : at + length + 1])

    def weights(self) -> dict[str, FloatArray]:
        """The weights as they are now, by torch's names."""
        return weights_of_model(self._model)

    def state(self) -> FloatArray:
        """The state after all that was read but the last character, (S, L, 1, H)."""
        return self._state_SL1H.cpu().numpy()

    def _rows(self, ids: IdArray, starts: Starts | None, cut_at: int | None) -> Iterator[IdArray]:
        """What is read from a zero state: a whole stream, or each line or example by itself."""
        if starts is None:
            yield ids
        else:
            lines = LineDataset(ids, starts, self._trained.vocabulary, cut_at)
            yield from (lines[index].numpy() for index in range(len(lines)))

    def _learn(self, ids: IdArray) -> Score:
        """Score all ids but the first, then take a step."""
        ids_T = torch.from_numpy(ids.astype(np.int64)).to(self._model.device)
        targets_T = ids_T[1:]
        plain = [self._plain(each) for each in self._model.networks] if self._is_native else None
        logits_BTV, state_SL1H = predict_together(
            self._model.networks, ids_T[None, :-1], self._state_SL1H, plain
        )
        nats = functional.cross_entropy(logits_BTV[0], targets_T, reduction="sum")
        score = Score(
            nats=nats.item(),
            chars=len(targets_T),
            correct=int((logits_BTV[0].argmax(dim=1) == targets_T).sum()),
            unknown_chars=int((targets_T == self._trained.vocabulary.unk_id).sum()),
        )
        self._check(score.loss_nats)
        self._state_SL1H = state_SL1H.detach()
        if self._options.rate:
            self._step(torch.autograd.grad(nats / self._options.segment, self._parameters))
        return score

    def _plain(self, network: CharRNN) -> list[PlainWeights]:
        """Each layer's recurrent weights, for our own kernels."""
        layers = [weights_of(network.rnn, each) for each in range(network.config.layers)]
        return [PlainWeights(layer.hidden_GH) for layer in layers]

    @torch.no_grad()
    def _step(self, gradients: Sequence[Tensor]) -> None:
        """Change the weights by the rule above, with sums of squares in the place of means."""
        self._steps += 1
        for square, gradient in zip(self._squares, gradients, strict=True):
            square.addcmul_(gradient, gradient)
        roots = [square.sqrt() for square in self._squares]
        mean = sum(float(root.sum()) for root in roots) / sum(map(Tensor.numel, roots))
        if not mean:
            return
        rate = self._options.rate * math.sqrt(self._steps)
        tensors = zip(self._parameters, self._first, gradients, roots, strict=True)
        for weight, first, gradient, root in tensors:
            step = gradient / (root + DAMPING * mean)
            way_back = root.mul_(self._options.decay / mean).clamp_(max=1)
            weight.lerp_(first, way_back).sub_(step, alpha=rate)

    def _check(self, loss_nats: float) -> None:
        if not self._steps:
            check_finite(loss_nats, self._trained.path)
        elif not loss_nats < LARGEST_LOSS:
            raise RunFailedError(
                f"the weights have run away after {self._steps:,} steps of learning from this "
                f"text: a loss of {loss_nats:.4g}",
                hint="choose a lower rate",
            )


def adapt(
    trained: TrainedModel,
    ids: IdArray,
    starts: Starts | None = None,
    *,
    options: DynamicOptions = DEFAULTS,
    progress: Progress = unheard,
) -> tuple[TrainedModel, Prefix | None]:
    """Learn from a text while reading it; the run itself stays as it is.

    Returns the run with other weights, and where what continues a stream begins: with the state
    after the text and its last character, which is still to be read.

    Raises:
        RunFailedError: The weights have run away.
    """
    network = DynamicNetwork(trained, options)
    network.read(ids, starts, progress=progress)
    end = Prefix(ids[-1:].tolist(), network.state()) if starts is None else None
    return replace(trained, weights=network.weights()), end
