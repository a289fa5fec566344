"""A GPU's steps as CUDA graphs: hundreds of small kernels, recorded once and launched as one.

To launch a kernel takes a processor longer than most kernels of a step take the GPU. So the step of
a batch whose shape is common is recorded, and from then on a step is to copy its inputs to where
the recorded one reads them. What changes from step to step has to be among the inputs: the learning
rate and the number of targets are tensors, and noise is drawn by generators that the graph knows,
which are seeded anew.

CUDA graphs are described in torch's manual, https://pytorch.org/docs/stable/notes/cuda.html.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from charrnn.training.rng import Noise

if TYPE_CHECKING:
    from charrnn.training.step import StepInputs, StepResult

LEAST_SHARE = 1 / 16
"""Of all batches so far, that have the shape of one whose step is recorded. Shapes at the beginning
and the end of an epoch hardly come again."""
MOST_GRAPHS = 16
"""Each has memory of its own."""

Take = Callable[["StepInputs", Sequence[Noise]], "StepResult"]


class StepGraphs:
    """Steps that are recorded when their shape comes again and is common.

    Args:
        take: a step, kernel by kernel. It must not wait for the GPU. Its weights and moments have
            to stay where they are, and nothing else but its inputs may differ from step to step.
        noise_of: what the step with an index draws, by generators of its own.
    """

    def __init__(self, take: Take, noise_of: Callable[[int], Sequence[Noise]]) -> None:
        self._take = take
        self._noise_of = noise_of
        self._seen: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, StepGraph] = {}
        self._has_failed = False

    def step(self, inputs: "StepInputs", index: int) -> "StepResult":
        """Take the step with this index."""
        shape = inputs.ids_BT.shape
        self._seen[shape] += 1
        if shape not in self._graphs and self._is_worthwhile(shape):
            self._record(inputs, index)
        if shape in self._graphs:
            return self._graphs[shape].replay(inputs, index)
        return self._take(inputs, self._noise_of(index))

    def _is_worthwhile(self, shape: torch.Size) -> bool:
        seen = self._seen[shape]
        is_common = seen > 1 and seen >= LEAST_SHARE * self._seen.total()
        return is_common and len(self._graphs) < MOST_GRAPHS and not self._has_failed

    def _record(self, inputs: "StepInputs", index: int) -> None:
        """Record the step, if that works. Recording computes nothing: it is still to be taken."""
        shape, noise = inputs.ids_BT.shape, self._noise_of(index)
        try:
            self._graphs[shape] = StepGraph(self._take, inputs, noise)
        except RuntimeError:
            self._has_failed = True


class StepGraph:
    """One recorded step, with the places of what goes in and what comes out."""

    def __init__(self, take: Take, inputs: "StepInputs", noise: Sequence[Noise]) -> None:
        self._inputs = type(inputs)(*(each.clone() for each in _tensors(inputs)))
        self._noise = noise
        self._graph = torch.cuda.CUDAGraph()
        for each in self._noise:
            self._graph.register_generator_state(each.generator)
        # Recording that fails does not leave its stream: the outer block does.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(self._graph):
            self._result = take(self._inputs, self._noise)

    def replay(self, inputs: "StepInputs", index: int) -> "StepResult":
        """Take the step with this index and these inputs."""
        for place, value in zip(_tensors(self._inputs), _tensors(inputs), strict=True):
            place.copy_(value)
        for each in self._noise:
            each.begin(index)
        self._graph.replay()
        return type(self._result)(*(each.clone() for each in self._result))


def _tensors(inputs: "StepInputs") -> list[Tensor]:
    """On a GPU its numbers are tensors, too."""
    return [each for each in inputs if isinstance(each, Tensor)]
