"""How much of an output stands verbatim in the training text, and the longest such span.

Exact search by `bytes.find`. Ids wider than a byte are searched as their bytes, and what is found
at a place where no id begins does not count. Lines are joined by an id that stands in no line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn.config.load import read_run_config
from charrnn.errors import UserError
from charrnn.messages import shell_word
from charrnn.network import IdArray
from charrnn.run.paths import CONFIG_FILE
from charrnn.run.reader import TrainedModel
from charrnn.text.corpus import find_prepared

PAD_ID = 0
"""The id of `<pad>`, which stands in no text."""


@dataclass(frozen=True)
class Novelty:
    """What an output has in common with the training text."""

    span: int
    """The number of characters (bytes of a run of bytes) from which on a common span is copied."""
    copied_share: float
    """The share of the output's characters, 0 to 1, that lie in copied spans."""
    longest: int
    """The length of the longest common span, whether it counts as copied or not."""


class NoveltyMeter:
    """Compares outputs with one training text."""

    def __init__(self, train_ids: IdArray, span: int, *, starts: IdArray | None = None) -> None:
        """Read the training text into memory.

        Args:
            train_ids: its ids, one after another.
            span: the least number of characters in a row that counts as copied, 1 or more.
            starts: where each line begins in `train_ids`, and behind the last one its end; a span
                then never reaches across lines. None: one continuous text.
        """
        ids = np.asarray(train_ids)
        if starts is not None:
            ids = np.insert(ids, starts[1:-1].astype(np.intp), PAD_ID)
        self._span = span
        self._type = ids.dtype
        self._text = ids.tobytes()

    def measure(self, output_ids: IdArray) -> Novelty:
        """Compare an output, without its seed."""
        output, size = output_ids.astype(self._type).tobytes(), len(output_ids)
        longest = self._longest(output, size)
        copied = self._copied(output, size) if longest >= self._span else 0
        return Novelty(self._span, copied / size if size else 0.0, longest)

    def _longest(self, output: bytes, size: int) -> int:
        """The length of the longest span of the output that stands in the text."""
        longest = begin = 0
        while begin + longest < size:
            if self._has(output, begin, begin + longest + 1):
                longest += 1
            else:
                begin += 1
        return longest

    def _copied(self, output: bytes, size: int) -> int:
        """How many characters of the output lie in spans that stand in the text."""
        copied = covered = 0
        for begin in range(size - self._span + 1):
            end = begin + self._span
            if self._has(output, begin, end):
                copied += end - max(begin, covered)
                covered = end
        return copied

    def _has(self, output: bytes, begin: int, end: int) -> bool:
        """Whether this part of the output stands in the text."""
        width = self._type.itemsize
        part = output[begin * width : end * width]
        at = self._text.find(part)
        while at % width and at >= 0:
            at = self._text.find(part, at + 1)
        return at >= 0


def novelty_measure(
    model: TrainedModel, span: int, data_dir: Path | None = None
) -> Callable[[str], Novelty]:
    """Return what compares a text with the training text of a model, prepared in `data_dir`.

    Raises:
        UserError: The training text is not there any more.
    """
    config_file = model.path / CONFIG_FILE
    data = read_run_config(config_file).data
    corpus = find_prepared(data, model.card.corpus_sha256, data_dir)
    if corpus is None:
        raise UserError(
            "`novelty` needs the text that this model was trained on, and it is not prepared here",
            hint=f"`charrnn prepare --config {shell_word(config_file)}` prepares it; "
            "`data_dir` is the folder of one that is kept elsewhere",
        )
    meter = NoveltyMeter(corpus.train.ids, span, starts=corpus.train.starts)
    vocabulary = corpus.vocabulary
    return lambda text: meter.measure(vocabulary.encode(vocabulary.units_of(text)))
