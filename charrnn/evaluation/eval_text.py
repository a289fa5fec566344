"""What a run is scored on: a split of its own corpus, or any text in its vocabulary.

A text is read as the run's own was: the same encoding, normalisation and line ends. What the
run has never seen becomes <unk>, and is remembered so that it can be told.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.evaluation.scoring import Starts, count_ids
from charrnn.messages import format_name, format_path, shell_word
from charrnn.network import IdArray
from charrnn.run.paths import CONFIG_FILE, VOCABULARY_FILE
from charrnn.run.reader import TrainedModel
from charrnn.text.corpus import Corpus, Split, SplitName, find_prepared
from charrnn.text.prepare import prepare
from charrnn.text.reading import read_text
from charrnn.text.sources import STDIN, can_be_read_again
from charrnn.text.vocabulary import REPLACEMENT, Vocabulary


@dataclass(frozen=True, slots=True)
class EvalText:
    """A text in ids, ready to be scored."""

    source: str
    """Where it comes from, for people."""
    ids: IdArray
    starts: Starts | None
    """Lines mode: where in `ids` each line starts, and where the last one ends; else None."""
    utf8_bytes: int
    """Its bytes in UTF-8; in lines mode, one more for each line's end."""
    split: SplitName | None = None
    """Which split of the run's own corpus it is; None for another text."""
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
    corpus = find_prepared(data, model.card.corpus_sha256) or _prepared_again(model, data, progress)
    if corpus.vocabulary != model.vocabulary:
        raise UserError(
            f"{corpus.path} and {model.path / VOCABULARY_FILE} know different characters",
            hint=f"one of them or {CONFIG_FILE} was changed; {_any_text_hint(model)}",
        )
    split = corpus.train if name == "train" else corpus.valid
    size = _utf8_bytes(split, corpus.vocabulary)
    return EvalText(", ".join(data.sources), split.ids, split.starts, size, name)


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
    size = _utf8_bytes(split, model.vocabulary, unknown)
    text = EvalText(source, split.ids, split.starts, size, unknown=unknown.most_common())
    _check_length(text)
    return text


def _utf8_bytes(
    split: Split, vocabulary: Vocabulary, unknown: Mapping[str, int] | None = None
) -> int:
    """Count a text's bytes; <unk> counts as U+FFFD where what it stands for is not recorded."""
    lengths_V = np.array([len(char.encode()) for char in vocabulary.characters])
    lengths_V[vocabulary.unk_id] = len(REPLACEMENT.encode())
    size = int(count_ids(split.ids, len(vocabulary)) @ lengths_V)
    for char, count in (unknown or {}).items():
        size += (len(char.encode()) - len(REPLACEMENT.encode())) * count
    return size if split.starts is None else size + len(split.starts) - 1


def _prepared_again(model: TrainedModel, data: DataConfig, progress: Progress) -> Corpus:
    if gone := [name for name in data.sources if not can_be_read_again(name)]:
        source = "stdin" if gone[0] == STDIN else f"the pipe {format_name(gone[0])}"
        raise UserError(
            f"{format_path(model.path)} was trained on a text from {source}, "
            "which is not prepared here",
            hint=f"`charrnn prepare FILE --config {shell_word(model.path / CONFIG_FILE)}` "
            f"prepares it again; {_any_text_hint(model)}",
        )
    expected = replace(data, sha256=model.card.corpus_sha256)
    try:
        return prepare(expected, progress=progress).corpus
    except UserError as error:
        raise UserError(
            f"the text that {model.path} was trained on cannot be had: {error.message}",
            hint=f"{model.path / CONFIG_FILE} names it, seen from the folder that train ran in; "
            + _any_text_hint(model),
            exit_code=error.exit_code,
        ) from error


def _any_text_hint(model: TrainedModel) -> str:
    return f"`charrnn eval FILE --run {shell_word(model.path)}` scores any text"


def _check_length(text: EvalText) -> None:
    if text.targets:
        return
    source = format_name(text.source)
    if text.starts is None and len(text.ids) == 1:
        raise UserError(
            f"{source} is too short: it has 1 character",
            hint="a second one is needed; the first is only what it is predicted from",
        )
    raise UserError(f"{source} is empty", hint="there is nothing to predict")
