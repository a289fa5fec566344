"""Everything in charrnn that reads what a stranger may have made, each as a function of bytes.

A `Bench` is a folder with a small run, a prepared corpus and a stream set aside, all whole. A
reader puts the bytes it is given in the place of one of their files and reads: it either gets
something that is consistent, or raises a `UserError`. Any other exception is a fault of charrnn.
The suite feeds them with hypothesis, `tests.fuzz.campaign` with a coverage-guided fuzzer.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charrnn.cli.seed_input import read_seeds
from charrnn.config.load import (
    apply_overrides,
    dump_config,
    load_for_training,
    parse_config,
    read_run_config,
)
from charrnn.config.schema import Config, DataConfig
from charrnn.config.yaml_reader import parse_yaml
from charrnn.errors import UserError
from charrnn.generation.seeds import Prefix
from charrnn.generation.stream_state import SavedStream, load_stream, save_stream
from charrnn.inference.network import NumpyNetwork
from charrnn.run.model_card import read_card
from charrnn.run.paths import CARD_FILE, CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from charrnn.run.reader import read_model
from charrnn.tensors import dump_described, parse_described
from charrnn.text.corpus import MANIFEST_FILE, ids_file, open_corpus, starts_file
from charrnn.text.prepare import prepare
from charrnn.text.reading import read_text
from tests.fuzz.edits import edited, safetensors_of, safetensors_parts
from tests.models import write_run

if TYPE_CHECKING:
    from tests.fuzz.stopped import StoppedTraining

LINES = "the sea\nthe \u03b1 sea\n" * 8
ENCODINGS = ("utf-8", "utf-16", "utf-32-le", "shift_jis", "utf-7", "gb18030", "cp1252", "hz")

Reader = Callable[["Bench", bytes], None]


class Bench:
    """Whole files, and the places where bytes are put instead of them."""

    def __init__(self, folder: Path) -> None:
        """Make everything, in a folder that is there."""
        self.folder = folder
        self.run = write_run(folder / "run", characters="\nabc", hidden_size=2, embedding_size=2)
        self.card = read_card(self.run)
        self.text = folder / "text.txt"
        self.text.write_text(LINES, encoding="utf-8")
        data = DataConfig(source=str(self.text), mode="lines")
        self.corpus = prepare(data, out=folder / "corpus").corpus
        self.state = folder / "state"
        state_SL1H = np.zeros((2, 1, 1, 2), np.float32)
        saved = SavedStream(prefix=Prefix([3], state_SL1H), rng_seed=1, position=5)
        save_stream(self.state, saved, self.card)

    @cached_property
    def training(self) -> "StoppedTraining":
        """A training that can be gone on with."""
        from tests.fuzz.stopped import StoppedTraining  # needs torch, as nothing else here

        return StoppedTraining(self.folder / "training", self.corpus)

    def put(self, path: Path, content: bytes, read: Callable[[], None]) -> None:
        """Have something read with `content` in a file's place, and put the file back."""
        whole = path.read_bytes()
        path.write_bytes(content)
        try:
            with suppress(UserError):
                read()
        finally:
            path.write_bytes(whole)


def _use_model(bench: Bench) -> None:
    model = read_model(bench.run)
    assert len(model.vocabulary) == model.card.vocabulary_size
    assert {name: each.shape for name, each in model.weights.items()} == model.card.shapes()
    known = model.vocabulary.decode(np.arange(len(model.vocabulary)))
    assert model.vocabulary.decode(model.vocabulary.encode(known)) == known
    NumpyNetwork.of(model).advance(np.array([[1, 2]]), np.zeros((2, 1, 1, 2), np.float32))


def _use_corpus(bench: Bench) -> None:
    corpus = open_corpus(bench.corpus.path)
    for split in (corpus.train, corpus.valid):
        text = corpus.vocabulary.decode(split.ids)
        assert (split.starts is not None) == corpus.vocabulary.has_lines
        assert len(text) <= len(split.ids)
        assert len(split.ids) >= 1


def _use_config(bench: Bench, path: Path) -> None:
    config = load_for_training(path).config
    assert parse_config(parse_yaml(dump_config(config), source="dump"), source="dump") == config
    run = read_run_config(path)  # a run that says nothing of it has no longest example
    assert replace(run, data=replace(run.data, max_length=config.data.max_length)) == config


def config_file(bench: Bench, content: bytes) -> None:
    """`config.yaml`, as train, generate and eval read it."""
    path = bench.run / CONFIG_FILE
    bench.put(path, content, lambda: _use_config(bench, path))


def setting(_bench: Bench, content: bytes) -> None:
    """The text of a `--set`."""
    with suppress(UserError):
        apply_overrides(Config(), [content.decode("utf-8", "surrogateescape")])


def card(bench: Bench, content: bytes) -> None:
    """`model.json`."""
    bench.put(bench.run / CARD_FILE, content, lambda: _use_model(bench))


def vocabulary(bench: Bench, content: bytes) -> None:
    """`vocabulary.json`."""
    bench.put(bench.run / VOCABULARY_FILE, content, lambda: _use_model(bench))


def weights(bench: Bench, content: bytes) -> None:
    """`model.safetensors`, with the checksum in the card that it has."""
    whole = (bench.run / CARD_FILE).read_bytes()
    fitting = json.loads(whole) | {"weights_sha256": hashlib.sha256(content).hexdigest()}
    (bench.run / CARD_FILE).write_text(json.dumps(fitting))
    try:
        bench.put(bench.run / WEIGHTS_FILE, content, lambda: _use_model(bench))
    finally:
        (bench.run / CARD_FILE).write_bytes(whole)


def last(bench: Bench, content: bytes) -> None:
    """`last/state.safetensors`, which `--resume` reads."""
    try:
        bench.put(bench.training.state, content, bench.training.go_on)
    finally:
        bench.training.put_back()


def state(bench: Bench, content: bytes) -> None:
    """A stream set aside, which `generate --load-state` reads."""

    def read() -> None:
        saved = load_stream(bench.state, bench.card)
        assert all(0 <= each < bench.card.vocabulary_size for each in saved.prefix.ids)
        assert saved.prefix.state_SL1H is not None
        assert np.isfinite(saved.prefix.state_SL1H).all()

    bench.put(bench.state, content, read)


def manifest(bench: Bench, content: bytes) -> None:
    """`manifest.json` of a prepared corpus."""
    bench.put(bench.corpus.path / MANIFEST_FILE, content, lambda: _use_corpus(bench))


def ids(bench: Bench, content: bytes) -> None:
    """The ids of a prepared corpus."""
    bench.put(bench.corpus.path / ids_file("train"), content, lambda: _use_corpus(bench))


def starts(bench: Bench, content: bytes) -> None:
    """Where the lines of a prepared corpus start."""
    bench.put(bench.corpus.path / starts_file("train"), content, lambda: _use_corpus(bench))


def text(bench: Bench, content: bytes) -> None:
    """A text in any encoding; the first byte says how it is read."""
    how, bench_text = content[:1] or b"\0", content[1:]
    data = DataConfig(
        source=str(bench.text),
        mode="lines" if how[0] & 1 else "stream",
        errors="replace" if how[0] & 2 else "strict",
        normalize="nfc" if how[0] & 4 else "none",
        encoding=ENCODINGS[how[0] >> 5],
    )

    def read() -> None:
        split = read_text([str(bench.text)], data, bench.corpus.vocabulary)
        assert split.starts is not None
        assert int(split.starts[-1]) == len(split.ids)

    bench.put(bench.text, bench_text, read)


def seeds(bench: Bench, content: bytes) -> None:
    """A file of seeds, one a line, with escapes."""

    def read() -> None:
        for seed in read_seeds(str(bench.text), escapes=True):
            if isinstance(seed, UserError):
                raise seed

    bench.put(bench.text, content, read)


def card_edited(bench: Bench, edits: bytes) -> None:
    """`model.json`, well-formed and odd."""
    card(bench, _edited_json(bench.run / CARD_FILE, edits))


def vocabulary_edited(bench: Bench, edits: bytes) -> None:
    """`vocabulary.json`, well-formed and odd."""
    vocabulary(bench, _edited_json(bench.run / VOCABULARY_FILE, edits))


def manifest_edited(bench: Bench, edits: bytes) -> None:
    """`manifest.json`, well-formed and odd."""
    manifest(bench, _edited_json(bench.corpus.path / MANIFEST_FILE, edits))


def weights_edited(bench: Bench, edits: bytes) -> None:
    """`model.safetensors` with an odd header."""
    weights(bench, _edited_safetensors(bench.run / WEIGHTS_FILE, edits))


def state_edited(bench: Bench, edits: bytes) -> None:
    """A stream set aside, with an odd description and the digest that fits it."""
    tensors, description = parse_described(bench.state.read_bytes(), source="the stream")
    state(bench, dump_described(tensors, edited(description, edits)))


def last_edited(bench: Bench, edits: bytes) -> None:
    """What `--resume` reads, with an odd description and the digest that fits it."""
    tensors, description = parse_described(bench.training.state.read_bytes(), source="the save")
    last(bench, dump_described(tensors, edited(description, edits)))


def _edited_json(path: Path, edits: bytes) -> bytes:
    return json.dumps(edited(json.loads(path.read_bytes()), edits)).encode()


def _edited_safetensors(path: Path, edits: bytes) -> bytes:
    header, body = safetensors_parts(path.read_bytes())
    return safetensors_of(edited(header, edits), body)


READERS: dict[str, Reader] = {
    reader.__name__: reader
    for reader in (
        config_file,
        setting,
        card,
        vocabulary,
        weights,
        last,
        state,
        manifest,
        ids,
        starts,
        text,
        seeds,
        card_edited,
        vocabulary_edited,
        manifest_edited,
        weights_edited,
        state_edited,
        last_edited,
    )
}


def examples(bench: Bench, names: Collection[str]) -> dict[str, list[bytes]]:
    """What these readers should like: where a search for what they do not like begins."""
    corpus, run = bench.corpus.path, bench.run
    files = {
        "config_file": [run / CONFIG_FILE, Path("configs/shakespeare.yaml")],
        "card": [run / CARD_FILE],
        "vocabulary": [run / VOCABULARY_FILE, corpus / VOCABULARY_FILE],
        "weights": [run / WEIGHTS_FILE],
        "state": [bench.state],
        "manifest": [corpus / MANIFEST_FILE],
        "ids": [corpus / ids_file("train")],
        "starts": [corpus / starts_file("train")],
    }
    whole = {name: [path.read_bytes() for path in paths] for name, paths in files.items()}
    if "last" in names:
        whole["last"] = [bench.training.state.read_bytes()]
    whole["setting"] = [b"train.learning_rate=1e-3", b'data.source=["a", "b"]']
    whole["seeds"] = [rb"one \n \x41 \u00e9" + b"\r\n\ntwo"]
    whole["text"] = [
        bytes([how | number << 5]) + LINES.encode(encoding, "replace")
        for how in range(8)
        for number, encoding in enumerate(ENCODINGS)
    ]
    for name in READERS:
        if name.endswith("_edited"):
            whole[name] = [b"", b"\x05\x01\x07", bytes(range(24))]
    return {name: whole[name] for name in names}
