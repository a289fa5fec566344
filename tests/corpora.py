"""Small texts for tests, and the corpora prepared from them."""

import random
from pathlib import Path

from charrnn.config.schema import DataConfig
from charrnn.text.corpus import Corpus
from charrnn.text.prepare import prepare

WORDS = ("the", "of", "and", "sea", "wind", "salt", "boat", "oar", "rope", "tide", "gull", "foam")


def prose(characters: int, seed: int = 0) -> str:
    """So many characters of words and line breaks that a small network can learn."""
    source = random.Random(seed)
    pieces: list[str] = []
    length = 0
    while length < characters:
        pieces.append(source.choice(WORDS) + source.choice("     \n"))
        length += len(pieces[-1])
    return "".join(pieces)[:characters]


def word_lines(lines: int, seed: int = 0) -> str:
    """So many lines of one to three letters-only words glued together."""
    source = random.Random(seed)
    return "".join(
        "".join(source.choices(WORDS, k=source.randint(1, 3))) + "\n" for _ in range(lines)
    )


def stream_corpus(folder: Path, characters: int = 3000, **options: object) -> Corpus:
    """A prepared stream corpus under `folder`."""
    return _prepared(folder, prose(characters), "stream", options)


def lines_corpus(folder: Path, lines: int = 200, **options: object) -> Corpus:
    """A prepared lines corpus under `folder`."""
    return _prepared(folder, word_lines(lines), "lines", options)


def _prepared(folder: Path, text: str, mode: str, options: dict[str, object]) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{mode}.txt"
    source.write_text(text, encoding="utf-8", newline="")
    data = DataConfig(source=str(source), mode=mode, **options)  # type: ignore[arg-type]
    return prepare(data, out=folder / f"{mode}-prepared").corpus
