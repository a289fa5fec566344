"""charrnn as a library: a run, loaded once, that writes text, scores text and shows its states.

    import charrnn

    model = charrnn.load("runs/shakespeare")
    text = "".join(model.generate("ROMEO:", length=200))
    model.score(text).bits_per_char

Needs NumPy alone. To write many texts quickly, set OPENBLAS_NUM_THREADS=1 in the environment before
NumPy is imported: the texts are then spread over the processors instead.

Shapes: S parts of the state (h; h and c for an LSTM), L layers, T time,
H hidden, V vocabulary.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from charrnn.errors import UserError
from charrnn.evaluation.evaluate import score_text
from charrnn.evaluation.scoring import Score, Starts
from charrnn.files import expanded
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.options import check_count
from charrnn.generation.sampling import log_normalizers
from charrnn.inference.network import NumpyStepper
from charrnn.network import FloatArray, IdArray
from charrnn.run.reader import read_model
from charrnn.text.examples import examples_in

CHARACTERS_SHOWN = 1_000_000
"""What of a text the numbers of a view go into at most."""


class Model(LanguageModel):
    """A trained model: writes (`generate`, `generate_many`), scores and reads text."""

    def score(self, text: str, *, window: int | None = None) -> Score:
        """Measure how well the model predicts a text, as `charrnn eval` does.

        Args:
            text: The text, normalised as the model's own was; for a model of lines or examples it
                is divided as a file.
            window: Score windows of so many characters, each from a zero state; left out, the
                state is carried through the whole text.

        Returns:
            Sums and the means that follow from them: `loss_nats`, `bits_per_char`, `perplexity`,
            `accuracy`, `chars`, `unknown_chars`.

        Raises:
            charrnn.errors.UserError: There is nothing to predict, or `window` is out of place.
        """
        check_count("window", window)
        if self.vocabulary.has_lines and window is not None:
            raise UserError("`window` is for a stream, and this model reads lines or examples")
        ids, starts = self._encoded(text)
        return score_text(self.network, ids, starts, self.vocabulary, window=window)

    def adapted(self, text: str, *, rate: float | None = None) -> "Model":
        """Learn from a text while reading it, as `charrnn generate --adapt` does; needs torch.

        Args:
            text: The text, as `score` takes it.
            rate: How far each step of learning goes; left out, our own.

        Returns:
            A model with other weights; what a stream's model writes goes on from the end of the
            text. This one and the run stay as they are.

        Raises:
            charrnn.errors.UserError: There is nothing to predict, or the weights ran away.
        """
        from charrnn.training.dynamic import DynamicOptions, adapt

        options = DynamicOptions().changed(rate=rate)
        return Model(*adapt(self.trained, *self._encoded(text), options=options))

    def surprisal(self, text: str) -> list[float | None]:
        """Return what each character costs in bits; None where nothing could be predicted.

        That is the first character of a stream. Of a model of lines or examples, each is read from
        a zero state, and the first character of what separates them stands for its end. The mean of
        these bits is the `bits_per_char` of `score`, but for a last line without an end. A model of
        bytes of text costs a character the sum of its bytes.
        """
        if not self.vocabulary.has_lines:
            targets = self._encode(text).tolist()
            known = map(_bits, self._readings(text), targets[1:])
            return self._by_character(text, [None, *known][: len(targets)])
        bits: list[float | None] = []
        between = self.trained.card.separator
        for example in text.split(between) if between else [text]:
            targets = [*self._encode(example).tolist(), self.vocabulary.eos_id]
            *costs, end = map(_bits, self._readings(example), targets)
            bits.extend([*self._by_character(example, costs), end])
            bits.extend([None] * (len(between) - 1))
        return bits[: len(text)]

    def logits(self, text: str) -> FloatArray:
        """Return the prediction after each character, (T, V); `vocabulary.characters` names V.

        A model of lines or examples reads one, and <bos> before it: T is one more than its
        characters, and the first prediction is that of the first character. Of a model of bytes, T
        counts bytes.
        """
        rows = [reading.logits_V for reading in self._readings(text)]
        return np.array(rows, np.float32).reshape(-1, len(self.vocabulary))

    def states(self, text: str) -> FloatArray:
        """Return the state after each character, (T, S, L, H), T as in `logits`.

        `states[:, 0, -1]` is h of the top layer, which predictions are made from.
        """
        shape_SL1H = self.network.initial_state(1).shape
        states = [reading.state_SL1H for reading in self._readings(text)]
        return np.array(states, np.float32).reshape(-1, *shape_SL1H)[:, :, :, 0]

    def explain(
        self, view: str, text: str | None = None, *, unit: int | None = None
    ) -> dict[str, Any]:
        """Compute the numbers of a view of `charrnn explain`, as its `--json` prints them.

        Args:
            view: Its name, "gates" for example; "report" has the numbers of all views by name.
            text: A file, or `-` for stdin; for "step" the text itself. Left out, the validation
                split of the run.
            unit: For "units": the hidden unit whose activations are wanted; left out, the one that
                follows something best.

        Raises:
            charrnn.errors.UserError: There is no such view, the run does not have what it shows, or
                the text cannot be read.
        """
        from charrnn.explain.reading import Request
        from charrnn.explain.views import REPORT, check_view, numbers_of

        check_view(view)
        request = Request(models=[self.trained], text=text, show=CHARACTERS_SHOWN, unit=unit)
        found = numbers_of(view, request)
        return found if view == REPORT else found[view]

    def _encode(self, text: str) -> IdArray:
        return self.vocabulary.encode(self.vocabulary.units_of(text))

    def _by_character(self, text: str, costs: Sequence[float | None]) -> list[float | None]:
        """Add up what the units of each character cost; None where none of them is known."""
        sizes = [len(self.vocabulary.units_of(char)) for char in text]
        ends = accumulate(sizes)
        known = [
            [cost for cost in costs[end - size : end] if cost is not None]
            for end, size in zip(ends, sizes, strict=True)
        ]
        return [sum(each) if each else None for each in known]

    def _encoded(self, text: str) -> tuple[IdArray, Starts | None]:
        """Encode a text and find where its lines or examples begin; None for a stream.

        Raises:
            charrnn.errors.UserError: There is nothing to predict.
        """
        text = self.normalized(text)
        ids, starts = self._encode(text), None
        if self.vocabulary.has_lines:
            is_exact = self.vocabulary.unit == "byte"
            examples = examples_in(text, self.trained.card.separator, is_exact=is_exact)
            each = [self._encode(example) for example in examples]
            ids = np.concatenate([ids[:0], *each])
            starts = np.cumsum([0, *map(len, each)])
        if len(ids) < (2 if starts is None else 1):
            raise UserError(f"a text of {len(ids)} {self.vocabulary.unit}s has none to predict")
        return ids, starts

    def _readings(self, text: str) -> Iterator["_Reading"]:
        """Read a text from a zero state, character by character; what is unknown is <unk>."""
        ids = self._encode(text).tolist()
        if self.vocabulary.bos_id is not None:
            ids.insert(0, self.vocabulary.bos_id)
        stepper = NumpyStepper(self.network, rows=1)
        for id_ in ids:
            stepper.read(id_)
            yield _Reading(stepper.predict().copy(), stepper.state())


class _Reading(NamedTuple):
    """What a network predicts after a character, and its state."""

    logits_V: FloatArray
    state_SL1H: FloatArray


def _bits(reading: _Reading, target: int) -> float:
    logits_V = reading.logits_V
    return float(log_normalizers(logits_V) - logits_V[target]) / math.log(2)


def load(path: str | PathLike[str]) -> Model:
    """Load a run directory's best model.

    Raises:
        charrnn.errors.UserError: Something is missing, damaged or from a later version.
    """
    return Model(read_model(expanded(path)))
