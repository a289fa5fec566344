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
from charrnn.text.corpus import Corpus

SEED_CHARACTERS = 200
SAMPLE_CHARACTERS = 120
SAMPLE_LINES = 5
"""What a sample has in lines mode, where one may be a single word."""


def write_sample(weights: Mapping[str, FloatArray], card: ModelCard, corpus: Corpus) -> list[str]:
    """Continue the beginning of the validation split, or write a few lines in lines mode."""
    vocabulary = corpus.vocabulary
    model = LanguageModel(
        TrainedModel(path=Path(), card=card, vocabulary=vocabulary, weights=weights)
    )
    is_stream = corpus.valid.starts is None
    seed = _seed_from(corpus) if is_stream else ""
    options = model.options(length=SAMPLE_CHARACTERS, unknown="replace")
    count = 1 if is_stream else SAMPLE_LINES
    return ["".join(model.generate(seed, options, rng_seed=number)) for number in range(count)]


def _seed_from(corpus: Corpus) -> str:
    """The beginning of the validation split, up to a letter: in blank space text may stay blank."""
    vocabulary = corpus.vocabulary
    text = vocabulary.text_of(vocabulary.decode(corpus.valid.ids[:SEED_CHARACTERS]))
    end = next((end for end in range(len(text), 0, -1) if text[end - 1].isalpha()), len(text))
    return text[:end]
