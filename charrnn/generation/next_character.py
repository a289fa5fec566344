"""The distribution of the next character after a text: what `generate --next` prints."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from charrnn.generation.generate import stepper_at
from charrnn.generation.sampling import check_finite, log_normalizers
from charrnn.generation.seeds import Prefix
from charrnn.generation.task import GenerationTask
from charrnn.network import FloatArray
from charrnn.text.vocabulary import EOS

if TYPE_CHECKING:
    from charrnn.generation.utf8 import Utf8

END = b"\xff"
"""What stands for the end of a line: no character has this byte."""


@dataclass(frozen=True, slots=True)
class NextCharacter:
    """A character that may come next."""

    character: str
    """The character; `<eos>` is the end of a line in lines mode, and of binary data a byte that is
    no ASCII character is written as an escape."""
    probability: float
    """By the model's own distribution over its whole vocabulary, at temperature 1."""


def next_characters(task: GenerationTask, prefix: Prefix, count: int) -> list[NextCharacter]:
    """The likeliest characters after a prefix, falling; of equal ones the lower id comes first.

    Raises:
        RunFailedError: The prediction is not finite.
    """
    if task.utf8 is not None:
        return list(islice(_spelled_characters(task, task.utf8, prefix), count))
    probabilities_V, _ = _after(prefix, task)
    falling = np.argsort(-probabilities_V[task.first_id :], kind="stable")[:count] + task.first_id
    return [
        NextCharacter(task.vocabulary.label(id_), float(probabilities_V[id_])) for id_ in falling
    ]


def _after(prefix: Prefix, task: GenerationTask) -> tuple[FloatArray, FloatArray]:
    """The probabilities of the ids after a prefix, (V,), and the state there."""
    stepper = stepper_at(prefix, task.network)
    for id_ in prefix.ids:
        stepper.read(id_)
    logits_V = stepper.predict()
    probabilities_V = np.exp(logits_V - log_normalizers(logits_V))
    check_finite(bool(np.isfinite(probabilities_V).all()))
    return probabilities_V, stepper.state()


def _spelled_characters(
    task: GenerationTask, utf8: "Utf8", prefix: Prefix
) -> Iterator[NextCharacter]:
    """Yield characters that are spelled in several bytes, the likeliest first.

    The probability of a character is the product of its bytes'. Beginnings are gone on with in the
    order of their probabilities, which going on only lowers; so the order is exact.
    """
    from charrnn.generation.utf8 import is_whole

    specials = len(task.vocabulary.specials)
    waiting: list[tuple[float, bytes, Prefix]] = [(-1.0, b"", prefix)]
    while waiting:
        negative, begun, place = heappop(waiting)
        if begun == END:
            yield NextCharacter(EOS, -negative)
            continue
        if begun and is_whole(begun):
            yield NextCharacter(begun.decode(), -negative)
            continue
        probabilities_V, state_SL1H = _after(place, task)
        following_V = utf8.following(begun) if begun else utf8.beginning_or_end
        for id_ in np.flatnonzero(following_V).tolist():
            spelled = END if id_ == task.eos_id else begun + bytes([id_ - specials])
            after = Prefix([id_], state_SL1H)
            heappush(waiting, (negative * float(probabilities_V[id_]), spelled, after))
