"""How a finished text is told: as itself, as a line, or as a JSON object."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from charrnn.cli.generate_request import Request
from charrnn.cli.seed_input import escaped
from charrnn.errors import UserError

if TYPE_CHECKING:
    from charrnn.generation.jobs import GeneratedText
    from charrnn.generation.novelty import Novelty
    from charrnn.run.reader import TrainedModel

SEPARATOR = "--\n"
"""The line between two texts that may have many lines, as grep separates what it found."""

MeasureNovelty = Callable[[str], "Novelty"]


def frame(request: Request, mode: str) -> tuple[str, str]:
    """What stands between two texts and what ends each of them, in plain text."""
    if request.null:
        return "", "\0"
    if mode == "lines" or request.seeds is not None:
        return "", "\n"
    return ("", "") if request.is_single else (SEPARATOR, "\n")


def plain(text: "GeneratedText", request: Request, mode: str) -> str:
    """A text with its seed, on one line where seeds come a line each."""
    whole = with_seed(text, request)
    one_a_line = request.seeds is not None and mode == "stream" and not request.null
    return escaped(whole) if one_a_line else whole


def with_seed(text: "GeneratedText", request: Request) -> str:
    """What was generated, after the seed if that is to be seen."""
    return text.seed + text.text if request.echo else text.text


def json_line(
    text: "GeneratedText", request: Request, measure_novelty: MeasureNovelty | None
) -> str:
    """A text as a JSON object in ASCII, on a line."""
    mean = text.mean_log_probability
    told: dict[str, Any] = {
        "text": with_seed(text, request),
        "seed": text.seed,
        "rng_seed": text.rng_seed,
        "sample": text.sample,
        "characters": len(text.text),
        "ended_by": text.ended_by,
        "mean_log_probability": None if mean is None else round(mean, 6),
        "seconds": round(text.seconds, 6),
    }
    if request.logprobs:
        told["log_probabilities"] = [round(each, 6) for each in text.log_probabilities or ()]
    if measure_novelty is not None:
        novelty = measure_novelty(text.text)
        told["novelty"] = {
            "span": novelty.span,
            "copied_share": round(novelty.copied_share, 6),
            "longest": novelty.longest,
        }
    return json.dumps(told, allow_nan=False) + "\n"


def novelty_note(novelty: "Novelty") -> str:
    """A text's novelty, in words."""
    return (
        f"{novelty.copied_share:.1%} of it stands in the training text in spans of "
        f"{novelty.span:,} characters or more; the longest span has {novelty.longest:,}"
    )


def novelty_measure(model: "TrainedModel", span: int) -> MeasureNovelty:
    """Find the corpus that a model was trained on, to compare texts with.

    Raises:
        UserError: It is not there any more.
    """
    from charrnn.config.load import read_run_config
    from charrnn.generation.novelty import measure_novelty
    from charrnn.run.paths import CONFIG_FILE
    from charrnn.text.corpus import find_prepared

    config_file = model.path / CONFIG_FILE
    corpus = find_prepared(read_run_config(config_file).data, model.card.corpus_sha256)
    if corpus is None:
        raise UserError(
            "--novelty needs the text that this model was trained on, and it is not prepared here",
            hint=f"`charrnn prepare --config {config_file}` prepares it",
        )
    train, vocabulary = corpus.train, corpus.vocabulary
    return lambda text: measure_novelty(
        train.ids, vocabulary.encode(text), span, starts=train.starts
    )
