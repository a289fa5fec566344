"""A GPU's steps as CUDA graphs: hundreds of small kernels, recorded once and launched as one.

To launch a kernel takes a processor longer than most kernels of a step take the GPU. So the first
batch of a shape is computed kernel by kernel, the second is recorded, and from then on a step is to
copy its inputs to where the recorded one reads them. What changes from step to step has to be among
the inputs: the learning rate and the number of targets are tensors, and noise is drawn by
generators that the graph knows, which are seeded anew.

CUDA graphs are described in torch's manual, https://pytorch.org/docs/stable/notes/cuda.html.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from charrnn.training.rng import Noise

if TYPE_CHECKING:
    from charrnn.training.step import StepInputs, StepResult

LEAST_SHARE = 1 / 16
"""Of all batches, must have a shape for its step to be recorded: each recorded step has memory of
its own. Where an epoch begins and ends, shapes come that will hardly come again."""
MOST_FAILURES = 3
"""After so many failures to record a step nothing more is tried."""

Take = Callable[["StepInputs", Sequence[Noise], int], "StepResult"]


class StepGraphs:
    """Steps that are recorded when a batch of their shape comes for the second time.

    Args:
        take: a step, kernel by kernel. It must not wait for the GPU, and all that it depends on
            besides its inputs must stay where it is.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._seen: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, StepGraph] = {}
        self._failures = 0

    def step(self, inputs: "StepInputs", noise: Sequence[Noise], index: int) -> "StepResult":
        """Take the step with this index."""
        shape = inputs.ids_BT.shape
        self._seen[shape] += 1
        if shape not in self._graphs and self._is_worthwhile(shape):
            self._record(inputs, noise, index)
        if shape in self._graphs:
            return self._graphs[shape].replay(inputs, index)
        return self._take(inputs, noise, index)

    def _is_worthwhile(self, shape: torch.Size) -> bool:
        seen = self._seen[shape]
        is_common = seen > 1 and seen >= LEAST_SHARE * self._seen.total()
        return is_common and self._failures < MOST_FAILURES

    def _record(self, inputs: "StepInputs", noise: Sequence[Noise], index: int) -> None:
        """Record a step, if that works: then it is not taken yet."""
        try:
            graph = StepGraph(self._take, inputs, noise, index)
        except RuntimeError:
            self._failures += 1
        else:
            self._graphs[inputs.ids_BT.shape] = graph


class StepGraph:
    """One recorded step, with the places of what goes in and what comes out."""

    def __init__(
        self, take: Take, inputs: "StepInputs", noise: Sequence[Noise], index: int
    ) -> None:
        self._inputs = [each.clone() for each in map(torch.as_tensor, inputs)]
        self._noise = [each.twin(index) for each in noise]
        self._graph = torch.cuda.CUDAGraph()
        for each in self._noise:
            self._graph.register_generator_state(each.generator)
        with torch.cuda.graph(self._graph):
            self._result = take(type(inputs)(*self._inputs), self._noise, index)

    def replay(self, inputs: "StepInputs", index: int) -> "StepResult":
        """Take the step with this index and these inputs."""
        for place, value in zip(self._inputs, map(torch.as_tensor, inputs), strict=True):
            place.copy_(value)
        for each in self._noise:
            each.begin(index)
        self._graph.replay()
        return type(self._result)(*(each.clone() for each in self._result))
