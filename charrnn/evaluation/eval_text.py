"""What a run is scored on: a split of its own corpus, or any text in its vocabulary.

A text is read as the run's own was: the same encoding, normalisation and line ends. What the
run has never seen becomes <unk>, and is remembered so that it can be told.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from charrnn.config.schema import DataConfig
from charrnn.console import Progress, silent
from charrnn.errors import RunFailedError, UserError
from charrnn.evaluation.scoring import IDS_AT_ONCE, Starts, count_ids, has_end
from charrnn.messages import format_name, format_path, join_words, shell_word
from charrnn.network import IdArray
from charrnn.run.paths import CONFIG_FILE, VOCABULARY_FILE
from charrnn.run.reader import TrainedModel
from charrnn.text.corpus import Corpus, Split, SplitName, find_prepared
from charrnn.text.decoding import UndecodableError
from charrnn.text.prepare import prepare
from charrnn.text.reading import Part, TextReader, options_for, parts_of, read_text
from charrnn.text.sources import CHUNK_BYTES, STDIN, is_pipe, open_sources, texts_of_stream
from charrnn.text.vocabulary import REPLACEMENT, Vocabulary

LINES_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class EvalText:
    """A text in ids, ready to be scored."""

    source: str
    """Where it comes from, for people."""
    ids: IdArray
    starts: Starts | None
    """Where in `ids` each line or example starts, and where the last one ends; None for a
    stream."""
    size_bytes: int
    """Its bytes in UTF-8; of lines and examples, with what ends each of them. Where bytes are what
    is predicted, those that are: all but the first of a stream."""
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
        return len(self.ids) + int(has_end(self.starts, self.cut_at).sum())


def own_split(
    model: TrainedModel,
    data: DataConfig,
    name: SplitName,
    progress: Progress = silent,
    *,
    data_dir: Path | None = None,
) -> EvalText:
    """A split of the corpus that the run was trained on, prepared again if it has to be.

    Args:
        model: the run.
        data: the `data` section of its configuration.
        name: the split.
        progress: opens a display if the text must be read.
        data_dir: where prepared corpora are kept; left out, `prepared_folder` knows.

    Raises:
        UserError: The text is gone, or is not any more what it was.
    """
    corpus = find_prepared(data, model.card.corpus_sha256, data_dir)
    corpus = corpus or _prepared_again(model, data, data_dir, progress)
    if corpus.vocabulary != model.vocabulary:
        raise UserError(
            f"{corpus.path} and {model.path / VOCABULARY_FILE} know different characters",
            hint=f"one of them or {CONFIG_FILE} was changed; {_any_text_hint(model)}",
        )
    split = corpus.train if name == "train" else corpus.valid
    size = _size_bytes(split, corpus.vocabulary, model.card.separator)
    sources = data.valid_sources if name == "valid" and data.valid_sources else data.sources
    return EvalText(", ".join(sources), split.ids, split.starts, size, name, cut_at=split.cut_at)


def other_text(
    name: str,
    model: TrainedModel,
    data: DataConfig,
    *,
    command: str = "eval",
    warn: Callable[[str], None] | None = None,
    progress: Progress = silent,
) -> EvalText:
    """Any text, in the run's vocabulary; `name` is a path, `-` for stdin or what `prepare` takes.

    `command` is what reads it, for hints; `warn` is called if files of a folder are left out.

    Raises:
        UserError: The text cannot be read, or there is too little of it.
    """
    unknown: Counter[str] = Counter()
    with _told_how_to_convert(name, model, data, command):
        split = read_text(
            [name], data, model.vocabulary, unknown=unknown.update, warn=warn, progress=progress
        )
    source = "stdin" if name == STDIN else name
    size = _size_bytes(split, model.vocabulary, model.card.separator, unknown)
    text = EvalText(source, split.ids, split.starts, size, unknown=unknown.most_common())
    _check_length(text)
    return text


def parts_of_text(
    name: str,
    model: TrainedModel,
    data: DataConfig,
    progress: Progress = silent,
    command: str = "eval --by-line",
) -> Iterator[Part]:
    """Yield any text in parts, as the run reads texts; stdin as it comes, however long.

    `command` is what reads it, for hints.

    Raises:
        UserError: The text cannot be read.
    """
    options = options_for(data, model.vocabulary)
    if name == STDIN and sys.stdin is not None:
        stream = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)  # waits for no full buffer
        chunks = iter(partial(stream.read, CHUNK_BYTES), b"")
        with _told_how_to_convert(name, model, data, command):
            texts = texts_of_stream(
                chunks,
                "stdin",
                encoding=options.codec,
                errors=options.errors,
                is_text=options.unit == "character",
            )
            yield from parts_of([texts], options)
    else:
        with (
            _told_how_to_convert(name, model, data, command),
            open_sources([name], data=data, progress=progress) as sources,
        ):
            yield from TextReader(sources, options, progress).parts("reading")


def parts_of_split(text: EvalText, vocabulary: Vocabulary) -> Iterator[Part]:
    """Yield a split in parts, as `parts_of_text` yields other texts; <unk> as U+FFFD."""
    if text.starts is None:
        for at in range(0, len(text.ids), IDS_AT_ONCE):
            yield Part(0, vocabulary.decode(text.ids[at : at + IDS_AT_ONCE]), None)
        return
    for at in range(0, len(text.starts) - 1, LINES_AT_ONCE):
        starts = text.starts[at : at + LINES_AT_ONCE + 1].astype(np.int64)
        chars = vocabulary.decode(text.ids[int(starts[0]) : int(starts[-1])])
        yield Part(0, chars, np.diff(starts))


def _size_bytes(
    split: Split,
    vocabulary: Vocabulary,
    separator: str,
    unknown: Mapping[str, int] | None = None,
) -> int:
    """Count a text's bytes; <unk> counts as U+FFFD where what it stands for is not recorded."""
    if vocabulary.unit == "byte":
        size = len(split.ids) - (split.starts is None)
    else:
        lengths_V = np.array([len(char.encode()) for char in vocabulary.characters])
        lengths_V[vocabulary.unk_id] = len(REPLACEMENT.encode())
        size = int(count_ids(split.ids, len(vocabulary)) @ lengths_V)
        for char, count in (unknown or {}).items():
            size += (len(char.encode()) - len(REPLACEMENT.encode())) * count
    if split.starts is None:
        return size
    end = len((separator or "\n").encode())  # a file ends with a line end
    return size + end * int(has_end(split.starts, split.cut_at).sum())


@contextmanager
def _told_how_to_convert(
    name: str, model: TrainedModel, data: DataConfig, command: str
) -> Iterator[None]:
    """Answer a text in another encoding with the command that reads it."""
    try:
        yield
    except UndecodableError as error:
        own = error.likely[0] if error.likely else "ENCODING"
        file = "" if name == STDIN else f" {shell_word(name)}"
        convert = f"iconv -f {own} -t {data.encoding}{file}"
        read = f"charrnn {command} - --run {shell_word(model.path)}"
        guess = f"its bytes look like {join_words(error.likely)}" if error.likely else "is it text?"
        raise UserError(
            error.message,
            hint=f"{guess}: `{convert} | {read}` converts it to the run's own encoding",
        ) from error


def _prepared_again(
    model: TrainedModel, data: DataConfig, data_dir: Path | None, progress: Progress
) -> Corpus:
    names = data.sources + data.valid_sources
    if gone := [name for name in names if is_pipe(name)]:
        source = "stdin" if gone[0] == STDIN else f"the pipe {format_name(gone[0])}"
        raise UserError(
            f"{format_path(model.path)} was trained on a text from {source}, "
            "which is not prepared here",
            hint=f"`charrnn prepare FILE --config {shell_word(model.path / CONFIG_FILE)}` "
            f"prepares it again; {_any_text_hint(model)}",
        )
    expected = model.card.corpus_sha256
    if not data.valid_sources:  # then this is the SHA-256 of its one text
        data = replace(data, sha256=expected)
    try:
        corpus = prepare(data, data_dir=data_dir, progress=progress).corpus
        if corpus.manifest.corpus_sha256 != expected:
            raise UserError(f"{', '.join(names)} has changed")
        return corpus
    except RunFailedError as error:
        raise RunFailedError(
            error.message, hint=f"{error.hint}; {_any_text_hint(model)}"
        ) from error
    except UserError as error:
        raise UserError(
            f"the text that {model.path} was trained on cannot be had: {error.message}",
            hint=f"`charrnn prepare FILE --config {shell_word(model.path / CONFIG_FILE)}` "
            f"prepares it from where it is now; {_any_text_hint(model)}",
        ) from error


def _any_text_hint(model: TrainedModel) -> str:
    return f"`charrnn eval FILE --run {shell_word(model.path)}` scores any text"


def _check_length(text: EvalText) -> None:
    if text.targets:
        return
    source = format_name(text.source)
    if text.starts is None and len(text.ids) == 1:
        raise UserError(
            f"{source} is too short: it has 1 character or byte",
            hint="a second one is needed; the first is only what it is predicted from",
        )
    raise UserError(f"{source} is empty", hint="there is nothing to predict")
