"""What a run is scored on: a split of its own corpus, or any text in its vocabulary.

A text is read as the run's own was: the same encoding, normalisation and line ends. What the
run has never seen becomes <unk>, and is remembered so that it can be told.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.evaluation.scoring import Starts
from charrnn.messages import format_name, format_path
from charrnn.network import IdArray
from charrnn.run.paths import CONFIG_FILE, VOCABULARY_FILE
from charrnn.run.reader import TrainedModel
from charrnn.text.corpus import Corpus, SplitName, find_prepared
from charrnn.text.prepare import prepare
from charrnn.text.reading import read_text
from charrnn.text.sources import STDIN, can_be_read_again

ANY_TEXT_HINT = "`charrnn eval FILE` scores any text"


@dataclass(frozen=True, slots=True)
class EvalText:
    """A text in ids, ready to be scored."""

    source: str
    """Where it comes from, for people."""
    ids: IdArray
    starts: Starts | None
    """Lines mode: where in `ids` each line starts, and where the last one ends; else None."""
    unknown: Sequence[tuple[str, int]] = ()
    """Characters that the run does not know, and how often each stands here, if that is known."""

    @property
    def targets(self) -> int:
        """How many characters there are to predict, the ends of lines among them."""
        if self.starts is None:
            return max(0, len(self.ids) - 1)
        return len(self.ids) + len(self.starts) - 1


def own_split(
    model: TrainedModel, data: DataConfig, name: SplitName, progress: Progress = silent
) -> EvalText:
    """A split of the corpus that the run was trained on, prepared again if it has to be.

    Args:
        model: the run.
        data: the `data` section of its configuration.
        name: the split.
        progress: opens a display if the text must be read.

    Raises:
        UserError: The text is gone, or is not any more what it was.
    """
    _check_mode(model, data)
    corpus = find_prepared(data, model.card.corpus_sha256) or _prepared_again(model, data, progress)
    if corpus.vocabulary != model.vocabulary:
        raise UserError(
            f"{corpus.path} and {model.path / VOCABULARY_FILE} know different characters",
            hint=f"one of them was changed; {ANY_TEXT_HINT}",
        )
    split = corpus.train if name == "train" else corpus.valid
    return EvalText(", ".join(data.sources), split.ids, split.starts)


def other_text(
    name: str, model: TrainedModel, data: DataConfig, progress: Progress = silent
) -> EvalText:
    """Any text, in the run's vocabulary; `name` is a path, `-` for stdin or what `prepare` takes.

    Raises:
        UserError: The text cannot be read, or there is too little of it.
    """
    unknown: Counter[str] = Counter()
    split = read_text([name], data, model.vocabulary, unknown=unknown.update, progress=progress)
    source = "stdin" if name == STDIN else name
    material = EvalText(source, split.ids, split.starts, unknown.most_common())
    _check_length(material)
    return material


def _prepared_again(model: TrainedModel, data: DataConfig, progress: Progress) -> Corpus:
    if gone := [name for name in data.sources if not can_be_read_again(name)]:
        source = "stdin" if gone[0] == STDIN else f"the pipe {format_name(gone[0])}"
        raise UserError(
            f"{format_path(model.path)} was trained on a text from {source}, "
            "which is not prepared here",
            hint=f"`charrnn prepare` it again with the run's {CONFIG_FILE}; {ANY_TEXT_HINT}",
        )
    expected = replace(data, sha256=model.card.corpus_sha256)
    try:
        return prepare(expected, progress=progress).corpus
    except UserError as error:
        raise UserError(
            f"the text that {model.path} was trained on cannot be had: {error.message}",
            hint=f"{model.path / CONFIG_FILE} names it, seen from the folder that train ran in; "
            + ANY_TEXT_HINT,
            exit_code=error.exit_code,
        ) from error


def _check_mode(model: TrainedModel, data: DataConfig) -> None:
    if data.mode != model.card.mode:
        raise UserError(
            f"{model.path / CONFIG_FILE} is not the configuration of this model: "
            f"data.mode is {data.mode}, the model's is {model.card.mode}",
            hint="copy the whole run directory again",
        )


def _check_length(material: EvalText) -> None:
    if material.targets:
        return
    source = format_name(material.source)
    if material.starts is None and len(material.ids) == 1:
        raise UserError(
            f"{source} is too short: it has 1 character",
            hint="a second one is needed; the first is only what it is predicted from",
        )
    raise UserError(f"{source} is empty", hint="there is nothing to predict")
