"""What a run is scored on: a split of its own corpus, or any text in its vocabulary.

A text is read as the run's own was: the same encoding, normalisation and line ends. What the
run has never seen becomes <unk>, and is remembered so that it can be told.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import UserError
from charrnn.evaluation.scoring import Starts, count_ids
from charrnn.messages import format_name, format_path, join_words
from charrnn.network import IdArray
from charrnn.run.paths import CONFIG_FILE, VOCABULARY_FILE
from charrnn.run.reader import TrainedModel
from charrnn.text.corpus import Corpus, Split, SplitName, find_prepared
from charrnn.text.decoding import UndecodableError
from charrnn.text.prepare import prepare
from charrnn.text.reading import read_text
from charrnn.text.sources import STDIN, is_pipe
from charrnn.text.vocabulary import REPLACEMENT, Vocabulary

ANY_TEXT_HINT = "`charrnn eval FILE` scores any text"


@dataclass(frozen=True, slots=True)
class EvalText:
    """A text in ids, ready to be scored."""

    source: str
    """Where it comes from, for people."""
    ids: IdArray
    starts: Starts | None
    """Where in `ids` each line or example starts, and where the last one ends; None for a
    stream."""
    utf8_bytes: int
    """Its bytes in UTF-8; of lines and examples, with what ends each of them."""
    split: SplitName | None = None
    """Which split of the run's own corpus it is; None for another text."""
    unknown: Sequence[tuple[str, int]] = ()
    """Characters that the run does not know, and how often each stands here, if that is known."""
    cut_at: int | None = None
    """The length of examples that were cut, whose end is not known."""

    @property
    def targets(self) -> int:
        """How many characters there are to predict, the ends of lines or examples among them."""
        if self.starts is None:
            return max(0, len(self.ids) - 1)
        return len(self.ids) + known_ends(self.starts, self.cut_at)


def own_split(
    model: TrainedModel,
    data: DataConfig,
    name: SplitName,
    *,
    data_dir: Path | None = None,
    progress: Progress = silent,
) -> EvalText:
    """A split of the corpus that the run was trained on, prepared again if it has to be.

    Args:
        model: the run.
        data: the `data` section of its configuration.
        name: the split.
        data_dir: where prepared corpora are kept; left out, `prepared_folder` knows.
        progress: opens a display if the text must be read.

    Raises:
        UserError: The text is gone, or is not any more what it was.
    """
    corpus = find_prepared(data, model.card.corpus_sha256, data_dir)
    corpus = corpus or _prepared_again(model, data, data_dir, progress)
    if corpus.vocabulary != model.vocabulary:
        raise UserError(
            f"{corpus.path} and {model.path / VOCABULARY_FILE} know different characters",
            hint=f"one of them or {CONFIG_FILE} was changed; {ANY_TEXT_HINT}",
        )
    split = corpus.train if name == "train" else corpus.valid
    size = _utf8_bytes(split, corpus.vocabulary, model.card.separator)
    sources = data.valid_sources if name == "valid" and data.valid_sources else data.sources
    return EvalText(", ".join(sources), split.ids, split.starts, size, name, cut_at=split.cut_at)


def other_text(
    name: str,
    model: TrainedModel,
    data: DataConfig,
    *,
    warn: Callable[[str], None] | None = None,
    progress: Progress = silent,
) -> EvalText:
    """Any text, in the run's vocabulary; `name` is a path, `-` for stdin or what `prepare` takes.

    `warn` is called if files of a folder are left out.

    Raises:
        UserError: The text cannot be read, or there is too little of it.
    """
    unknown: Counter[str] = Counter()
    try:
        split = read_text(
            [name], data, model.vocabulary, unknown=unknown.update, warn=warn, progress=progress
        )
    except UndecodableError as error:
        raise UserError(error.message, hint=_conversion(name, model, data, error)) from error
    source = "stdin" if name == STDIN else name
    size = _utf8_bytes(split, model.vocabulary, model.card.separator, unknown)
    text = EvalText(source, split.ids, split.starts, size, unknown=unknown.most_common())
    _check_length(text)
    return text


def known_ends(starts: Starts, cut_at: int | None) -> int:
    """Count the lines or examples whose end is known: those that were not cut."""
    lengths = np.diff(starts)
    return len(lengths) - (0 if cut_at is None else int(np.count_nonzero(lengths == cut_at)))


def _utf8_bytes(
    split: Split,
    vocabulary: Vocabulary,
    separator: str,
    unknown: Mapping[str, int] | None = None,
) -> int:
    """Count a text's bytes; <unk> counts as U+FFFD where what it stands for is not recorded."""
    lengths_V = np.array([len(char.encode()) for char in vocabulary.characters])
    lengths_V[vocabulary.unk_id] = len(REPLACEMENT.encode())
    size = int(count_ids(split.ids, len(vocabulary)) @ lengths_V)
    for char, count in (unknown or {}).items():
        size += (len(char.encode()) - len(REPLACEMENT.encode())) * count
    if split.starts is None:
        return size
    end = len((separator or "\n").encode())  # a file ends with a line end
    return size + end * known_ends(split.starts, split.cut_at)


def _conversion(name: str, model: TrainedModel, data: DataConfig, error: UndecodableError) -> str:
    """The command that scores a text of another encoding."""
    own = error.likely[0] if error.likely else "ENCODING"
    convert = f"iconv -f {own} -t {data.encoding}" + (
        "" if name == STDIN else f" {shlex.quote(name)}"
    )
    score = f"charrnn eval --run {shlex.quote(str(model.path))} -"
    guess = f"its bytes look like {join_words(error.likely)}" if error.likely else "is it a text?"
    return f"{guess}: `{convert} | {score}` converts it to the run's own {data.encoding} first"


def _prepared_again(
    model: TrainedModel, data: DataConfig, data_dir: Path | None, progress: Progress
) -> Corpus:
    names = data.sources + data.valid_sources
    if gone := [name for name in names if is_pipe(name)]:
        source = "stdin" if gone[0] == STDIN else f"the pipe {format_name(gone[0])}"
        raise UserError(
            f"{format_path(model.path)} was trained on a text from {source}, "
            "which is not prepared here",
            hint=f"`charrnn prepare` it again with the run's {CONFIG_FILE}; {ANY_TEXT_HINT}",
        )
    expected = model.card.corpus_sha256
    if not data.valid_sources:  # then this is the SHA-256 of its one text
        data = replace(data, sha256=expected)
    try:
        corpus = prepare(data, data_dir=data_dir, progress=progress).corpus
        if corpus.manifest.corpus_sha256 != expected:
            raise UserError(f"{', '.join(names)} has changed")
        return corpus
    except UserError as error:
        raise UserError(
            f"the text that {model.path} was trained on cannot be had: {error.message}",
            hint=f"`charrnn prepare PATH --config {shlex.quote(str(model.path / CONFIG_FILE))}` "
            f"prepares it from where it is now; {ANY_TEXT_HINT}",
            exit_code=error.exit_code,
        ) from error


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
