"""The distribution of the next character after a text: what `generate --next` prints."""

from dataclasses import dataclass

import numpy as np

from charrnn.generation.generate import stepper_at
from charrnn.generation.sampling import check_finite, log_normalizers
from charrnn.generation.seeds import Prefix
from charrnn.generation.task import GenerationTask


@dataclass(frozen=True, slots=True)
class NextCharacter:
    """A character that may come next."""

    character: str
    """The character; `<eos>` is the end of a line in lines mode."""
    probability: float
    """By the model's own distribution over its whole vocabulary, at temperature 1."""


def next_characters(task: GenerationTask, prefix: Prefix, count: int) -> list[NextCharacter]:
    """The likeliest characters after a prefix, falling; of equal ones the lower id comes first.

    Raises:
        RunFailedError: The prediction is not finite.
    """
    stepper = stepper_at(prefix, task.network)
    for id_ in prefix.ids:
        stepper.read(id_)
    logits_V = stepper.predict()
    probabilities_V = np.exp(logits_V - log_normalizers(logits_V))
    check_finite(bool(np.isfinite(probabilities_V).all()))
    falling = np.argsort(-probabilities_V[task.first_id :], kind="stable")[:count] + task.first_id
    return [
        NextCharacter(task.vocabulary.characters[id_], float(probabilities_V[id_]))
        for id_ in falling
    ]
