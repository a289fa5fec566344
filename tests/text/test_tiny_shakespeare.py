"""The field's yardstick: its length, its characters, its split, by its hash."""

import os
from pathlib import Path

import pytest

from charrnn.config.schema import DataConfig
from charrnn.text.prepare import prepare

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
BESIDE = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare.txt"
TEXT = Path(os.environ.get("CHARRNN_TINYSHAKESPEARE", BESIDE))


@pytest.mark.skipif(
    not TEXT.is_file(), reason="CHARRNN_TINYSHAKESPEARE names no copy of Tiny Shakespeare"
)
def test_tiny_shakespeare_is_split_as_everybody_splits_it(tmp_path: Path) -> None:
    data = DataConfig(source=str(TEXT), sha256=SHA256)
    corpus = prepare(data, out=tmp_path / "corpus").corpus
    assert corpus.manifest.characters == 1_115_394
    assert corpus.manifest.distinct_characters == 65
    assert len(corpus.vocabulary) == 67
    assert len(corpus.train.ids) == 1_003_854
    assert len(corpus.valid.ids) == 111_540
    assert corpus.manifest.splits.valid.unknown == 0
    assert corpus.vocabulary.decode(corpus.train.ids[:14]) == "First Citizen:"
    assert corpus.vocabulary.decode(corpus.valid.ids[-14:]) == TEXT.read_text()[-14:]
