"""How a finished text is printed: as itself, as a line, or as a JSON object."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from charrnn.cli.generate_arguments import GenerateArguments
from charrnn.errors import UserError
from charrnn.generation.sequence import GeneratedText
from charrnn.run.reader import TrainedModel

if TYPE_CHECKING:
    from charrnn.generation.novelty import Novelty

SEPARATOR = "--\n"
"""The line between two texts that may have many lines, as grep separates what it found."""

MeasureNovelty = Callable[[str], "Novelty"]


class ResultFormat:
    """How the texts of one call are printed."""

    def __init__(
        self, arguments: GenerateArguments, mode: str, measure_novelty: MeasureNovelty | None
    ) -> None:
        self._arguments = arguments
        self._measure_novelty = measure_novelty
        is_listed = arguments.seeds is not None
        self._is_escaped = is_listed and mode == "stream" and not arguments.null
        self.separator, self.terminator = "", ""
        """What stands between two texts, and what ends each of them."""
        if arguments.null:
            self.terminator = "\0"
        elif mode == "lines" or is_listed:
            self.terminator = "\n"
        elif not arguments.is_single:
            self.separator, self.terminator = SEPARATOR, "\n"

    def plain(self, text: GeneratedText) -> str:
        """A text with its seed, on one line where seeds come a line each."""
        whole = self._with_seed(text)
        return whole.replace("\\", r"\\").replace("\n", r"\n") if self._is_escaped else whole

    def json_line(self, text: GeneratedText) -> str:
        """A text as a JSON object in ASCII, on a line."""
        mean = text.mean_log_probability
        result: dict[str, Any] = {
            "text": self._with_seed(text),
            "seed": text.seed,
            "rng_seed": text.rng_seed,
            "sample": text.sample,
            "characters": len(text.text),
            "ended_by": text.ended_by,
            "mean_log_probability": None if mean is None else round(mean, 6),
            "seconds": round(text.seconds, 6),
        }
        if self._arguments.logprobs:
            result["log_probabilities"] = [round(p, 6) for p in text.log_probabilities or ()]
        if self._measure_novelty is not None:
            novelty = self._measure_novelty(text.text)
            result["novelty"] = {
                "span": novelty.span,
                "copied_share": round(novelty.copied_share, 6),
                "longest": novelty.longest,
            }
        return json.dumps(result, allow_nan=False) + "\n"

    def novelty_note(self, text: GeneratedText) -> str:
        """A text's novelty, in words."""
        assert self._measure_novelty is not None
        novelty = self._measure_novelty(text.text)
        return (
            f"{novelty.copied_share:.1%} of it stands in the training text in spans of "
            f"{novelty.span:,} characters or more; the longest span has {novelty.longest:,}"
        )

    def _with_seed(self, text: GeneratedText) -> str:
        return text.text if self._arguments.no_echo else text.seed + text.text


def novelty_measure(model: TrainedModel, span: int) -> MeasureNovelty:
    """Find the corpus that a model was trained on, to compare texts with.

    Raises:
        UserError: It is not there any more.
    """
    from charrnn.config.load import read_run_config
    from charrnn.generation.novelty import NoveltyMeter
    from charrnn.run.paths import CONFIG_FILE
    from charrnn.text.corpus import find_prepared

    config_file = model.path / CONFIG_FILE
    corpus = find_prepared(read_run_config(config_file).data, model.card.corpus_sha256)
    if corpus is None:
        raise UserError(
            "--novelty needs the text that this model was trained on, and it is not prepared here",
            hint=f"`charrnn prepare --config {config_file}` prepares it",
        )
    meter = NoveltyMeter(corpus.train.ids, span, starts=corpus.train.starts)
    return lambda text: meter.measure(corpus.vocabulary.encode(text))
