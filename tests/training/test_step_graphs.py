"""Which steps are recorded, and what happens where that fails; test_gpu has the rest."""

from collections.abc import Sequence

import pytest
import torch

from charrnn.training import step_graphs
from charrnn.training.rng import Noise
from charrnn.training.step import StepInputs, StepResult
from charrnn.training.step_graphs import MOST_GRAPHS, StepGraphs

RESULT = StepResult(torch.zeros(2), torch.zeros(1))


class Recorder:
    """Takes the place of a GPU: takes note of how each step was taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, works: bool = True) -> None:
        self.taken: list[str] = []
        recorder = self

        class Recorded:
            def __init__(self, *_: object) -> None:
                recorder.taken.append("record")
                if not works:
                    raise RuntimeError("operation not permitted when stream is capturing")

            def replay(self, _inputs: StepInputs, index: int) -> StepResult:
                recorder.taken.append(f"replay {index}")
                return RESULT

        monkeypatch.setattr(step_graphs, "StepGraph", Recorded)
        self.graphs = StepGraphs(self.take, lambda _index: [])
        self.index = 0

    def take(self, _inputs: StepInputs, _noise: Sequence[Noise]) -> StepResult:
        self.taken.append(f"take {self.index}")
        return RESULT

    def step(self, length: int) -> list[str]:
        """How a step with a batch of this length is taken."""
        self.taken.clear()
        ids_BT = torch.zeros(2, length, dtype=torch.int64)
        inputs = StepInputs(ids_BT, ids_BT, 2 * length, 0.1, torch.zeros(1))
        self.graphs.step(inputs, self.index)
        self.index += 1
        return list(self.taken)


def test_a_shape_that_comes_again_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    assert recorder.step(17) == ["take 0"]
    assert recorder.step(64) == ["take 1"]
    assert recorder.step(64) == ["record", "replay 2"]
    assert recorder.step(64) == ["replay 3"]


def test_the_ends_of_epochs_are_not_recorded_however_often_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder(monkeypatch)
    for _ in range(40):
        recorder.step(64)
    for _ in range(2):
        assert recorder.step(17)[0].startswith("take")
    assert recorder.step(17)[0] == "record"  # three of forty-three is a sixteenth


def test_there_is_an_end_to_what_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    lengths = range(1, MOST_GRAPHS + 1)
    assert all(recorder.step(length)[0].startswith("take") for length in lengths)
    assert all(recorder.step(length)[0] == "record" for length in lengths)
    for _ in range(9):
        assert recorder.step(MOST_GRAPHS + 1)[0].startswith("take")


def test_where_recording_fails_once_it_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch, works=False)
    assert recorder.step(64) == ["take 0"]
    assert recorder.step(64) == ["record", "take 1"]
    assert recorder.step(64) == ["take 2"]
    assert recorder.step(17) == ["take 3"]
    assert recorder.step(17) == ["take 4"]
