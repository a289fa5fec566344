"""What the network writes while it learns, which is how noise is seen to become words.

A sample reads the weights and has random numbers of its own, the same ones every time: it changes
nothing of what is learned, and samples differ by what was learned alone.
"""

from collections.abc import Mapping
from pathlib import Path

from charrnn.generation.language_model import LanguageModel
from charrnn.network import FloatArray
from charrnn.run.model_card import ModelCard
from charrnn.run.reader import TrainedModel
from charrnn.text.vocabulary import Vocabulary

SAMPLE_CHARACTERS = 120
SAMPLE_LINES = 5
"""What a sample has in lines mode, where one may be a single word."""


def write_sample(
    weights: Mapping[str, FloatArray], card: ModelCard, vocabulary: Vocabulary
) -> list[str]:
    """Write a stretch of text, or a few lines in lines mode, from the weights as they are."""
    trained = TrainedModel(path=Path(), card=card, vocabulary=vocabulary, weights=weights)
    model = LanguageModel(trained)
    options = model.options(length=SAMPLE_CHARACTERS)
    count = SAMPLE_LINES if card.mode == "lines" else 1
    return ["".join(model.generate("", options, rng_seed=number)) for number in range(count)]
