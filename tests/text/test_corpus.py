"""Prepared corpora: what is in them, when they are made, and what is said when they cannot be."""

import hashlib
import itertools
import json
import os
import resource
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.config.schema import DataConfig
from charrnn.console import Advance, silent
from charrnn.errors import RunFailedError, UserError
from charrnn.text import corpus, sources
from charrnn.text import prepare as preparing
from charrnn.text.corpus import Corpus, Mode, Split, TextOptions, find_prepared, open_corpus
from charrnn.text.prepare import prepare
from charrnn.text.split import shuffled_order
from tests.text.reference import Reference, reference

PROSE = "The sea, the sea.\nIt is not proud.\n" * 20


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARRNN_CACHE", str(tmp_path / "cache"))


def write(text: str | bytes = PROSE, name: str = "text.txt") -> str:
    content = text.encode() if isinstance(text, str) else text
    Path(name).write_bytes(content)
    return name


def prepared(text: str | bytes = PROSE, **options: Any) -> Corpus:
    return prepare(DataConfig(source=write(text), **options)).corpus


def error_of(text: str | bytes = PROSE, **options: Any) -> UserError:
    """What is said about a text; whatever it is, nothing may be left behind."""
    with pytest.raises(UserError) as caught:
        prepared(text, **options)
    left = list(corpus.PREPARED_FOLDER.glob("*")) if corpus.PREPARED_FOLDER.exists() else []
    assert left == []
    return caught.value


def lines_of(split: Split, made: Corpus) -> list[str]:
    assert split.starts is not None
    starts = split.starts.tolist()
    return [
        made.vocabulary.decode(split.ids[start:end]) for start, end in itertools.pairwise(starts)
    ]


# --- What is in a corpus ------------------------------------------------------------------------

TEXTS = st.text(
    st.sampled_from("abc \r\n\n\ufeffe\u0301\u1100\u1161\u20ac\U0001f600") | st.characters(),
    max_size=40,
)
OPTIONS = st.builds(
    TextOptions,
    mode=st.sampled_from(["stream", "lines"]),
    valid_fraction=st.floats(0.05, 0.5),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "gb18030"]),
    errors=st.just("replace"),
    normalize=st.sampled_from(["none", "nfc"]),
    min_count=st.integers(1, 3),
    shuffle_seed=st.none(),
    separator=st.sampled_from(["line", "line", "blank", "file", "a", "\u20ac\n"]),
    cut_at=st.sampled_from([None, None, 3]),
)


@settings(max_examples=50)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3), options=OPTIONS, size=st.integers(1, 20))
def test_a_corpus_is_what_reading_everything_at_once_would_give(
    texts: list[str], options: TextOptions, size: int
) -> None:
    files = [text.encode(options.encoding, "replace") for text in texts]
    expected = reference(files, options)
    with prepared_from(files, options, size) as made:
        if made is None:
            fewest = 2 if options.mode == "stream" else 1
            parts = (expected.train, expected.valid)
            assert min(map(len, parts)) < fewest or expected.characters == []
        else:
            check_against(expected, made)


@contextmanager
def prepared_from(files: list[bytes], options: TextOptions, size: int) -> Iterator[Corpus | None]:
    """The corpus that these files become in tiny chunks and blocks; None if refused."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as changes:
        changes.enter_context(patch.object(sources, "CHUNK_BYTES", size))
        changes.enter_context(patch.object(preparing, "BLOCK_IDS", size))
        changes.enter_context(patch.object(os, "fsync"))
        names = [str(Path(folder, f"{number}.txt")) for number in range(len(files))]
        for name, content in zip(names, files, strict=True):
            Path(name).write_bytes(content)
        is_stream, is_line = options.mode == "stream", options.separator == "line"
        data = DataConfig(
            source=names,
            mode="stream" if is_stream else "lines" if is_line else "examples",
            separator=options.separator,
            max_length=options.cut_at,
            truncate=options.cut_at is not None,
            valid_fraction=options.valid_fraction,
            encoding=options.encoding,
            errors=options.errors,
            normalize=options.normalize,
            min_count=options.min_count,
        )
        try:
            made = prepare(data, out=Path(folder, "out")).corpus
        except UserError:
            made = None
        yield made


def check_against(expected: Reference, made: Corpus) -> None:
    specials = len(made.vocabulary.specials)
    assert list(made.vocabulary.characters[specials:]) == expected.characters
    id_of = {char: specials + number for number, char in enumerate(expected.characters)}
    for units, split, record in (
        (expected.train, made.train, made.manifest.splits.train),
        (expected.valid, made.valid, made.manifest.splits.valid),
    ):
        text = "".join(units)
        assert split.ids.tolist() == [id_of.get(char, 1) for char in text]
        assert record.unknown == sum(char not in id_of for char in text)
        assert record.ids == len(text)
        if split.starts is not None:
            assert record.lines == len(units)
            assert np.diff(split.starts).tolist() == [len(line) for line in units]
    everything = "".join(expected.train + expected.valid)
    assert made.manifest.characters == len(everything)
    assert made.manifest.distinct_characters == len(set(everything))


@settings(max_examples=30)
@given(
    lines=st.lists(st.text("abc\u20ac", min_size=1, max_size=9), min_size=2, max_size=40),
    seed=st.integers(0, 5),
    min_count=st.integers(1, 3),
)
def test_shuffled_lines_are_the_lines_in_the_order_of_the_seed(
    lines: list[str], seed: int, min_count: int
) -> None:
    order = shuffled_order(len(lines), seed)
    shuffled = "".join(lines[number] + "\n" for number in order)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as changes:
        changes.enter_context(patch.object(sources, "CHUNK_BYTES", 7))
        changes.enter_context(patch.object(preparing, "BLOCK_IDS", 10))
        changes.enter_context(patch.object(os, "fsync"))
        plain = write("".join(line + "\n" for line in lines), f"{folder}/plain.txt")
        sorted_out = write(shuffled, f"{folder}/shuffled.txt")
        data = DataConfig(source=plain, mode="lines", shuffle=True, shuffle_seed=seed)
        data = replace(data, min_count=min_count)
        in_order = replace(data, source=sorted_out, shuffle=False)
        try:
            expected = prepare(in_order, out=Path(folder, "expected")).corpus
        except UserError as error:
            with pytest.raises(UserError, match=error.message.partition("is seen")[0]):
                prepare(data, out=Path(folder, "made"))
            return
        made = prepare(data, out=Path(folder, "made")).corpus
        assert made.vocabulary == expected.vocabulary
        assert made.manifest.splits == expected.manifest.splits
        for name in ("train", "valid"):
            split, other = getattr(made, name), getattr(expected, name)
            assert lines_of(split, made) == lines_of(other, expected)


def test_the_split_of_a_long_text_is_the_one_that_everybody_uses() -> None:
    # 1,115,394 characters: the length of Tiny Shakespeare, whose 111,540 last ones are validation.
    made = prepared(("0123456789\n" * 101_400)[:1_115_394])
    assert (made.manifest.splits.train.ids, made.manifest.splits.valid.ids) == (1_003_854, 111_540)


def test_the_vocabulary_comes_from_the_training_part_alone() -> None:
    made = prepared("ab" * 45 + "abcabcabcd")
    assert made.vocabulary.characters == ("<pad>", "<unk>", "a", "b")
    assert made.manifest.splits.valid.unknown == 4
    assert made.manifest.distinct_characters == 4


def test_rare_characters_become_unknown_in_training_too() -> None:
    made = prepared("abcabc" + "ab" * 42 + "c" * 10, min_count=3)
    assert made.vocabulary.characters == ("<pad>", "<unk>", "a", "b")
    assert (made.manifest.splits.train.unknown, made.manifest.splits.valid.unknown) == (2, 10)


def test_ids_are_in_memory_and_cannot_be_written() -> None:
    split = prepared().train
    assert not isinstance(split.ids, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        split.ids[0] = 1


def test_more_than_256_characters_take_two_bytes_each() -> None:
    made = prepared("".join(map(chr, range(0x4E00, 0x4F00))) * 2)
    assert made.train.ids.dtype == np.uint16
    assert made.manifest.dtype == "uint16"
    assert made.vocabulary.decode(made.train.ids)[:3] == "\u4e00\u4e01\u4e02"


@pytest.mark.parametrize(
    "text",
    [
        "\0" * 50,
        "\n" * 50,
        "a" * 50,
        "a\r\nb\nc\r" * 20,
        "\u2028" * 50,
        "e\u0301" * 50,
        "\U0001f600" * 50,
        "\ufffd" * 50,
    ],
)
def test_odd_texts_come_back_as_they_were(text: str) -> None:
    made = prepared(text)
    back = made.vocabulary.decode(made.train.ids) + made.vocabulary.decode(made.valid.ids)
    assert back == text


def test_a_million_short_lines_are_a_million_examples() -> None:
    made = prepared("a\nbc\n" * 500_000, mode="lines")
    assert (made.manifest.splits.train.lines, made.manifest.splits.valid.lines) == (
        900_000,
        100_000,
    )
    assert lines_of(Split(made.train.ids[:6], made.train.starts[:5]), made) == ["a", "bc"] * 2  # type: ignore[index]


def test_one_very_long_line_is_one_example() -> None:
    made = prepared("ab" * 1_000_000 + "\nab\n", mode="lines", max_length=None)
    assert made.manifest.splits.train.lines == 1
    assert len(made.train.ids) == 2_000_000


# --- The order of shuffled lines ------------------------------------------------------------------


@pytest.mark.parametrize("lines", [1, 2, 1000])
def test_an_order_has_every_line_once(lines: int) -> None:
    assert sorted(shuffled_order(lines, 1).tolist()) == list(range(lines))


def test_the_order_of_a_seed_never_changes() -> None:
    keys = np.random.PCG64(1).random_raw(8).tolist()
    assert shuffled_order(8, 1).tolist() == sorted(range(8), key=lambda line: keys[line] >> 32)
    assert shuffled_order(8, 1).tolist() == [2, 4, 7, 5, 0, 6, 3, 1]
    assert shuffled_order(8, 2).tolist() != shuffled_order(8, 1).tolist()


def test_every_order_of_three_lines_is_as_frequent_as_the_others() -> None:
    # 6 orders in 6,000 draws: each count has mean 1,000 and standard deviation 29.
    counts = Counter(tuple(shuffled_order(3, seed).tolist()) for seed in range(6000))
    assert len(counts) == 6
    assert all(850 < count < 1150 for count in counts.values())


# --- What the manifest says ---------------------------------------------------------------------


def test_the_manifest_names_sources_hashes_options_and_sizes() -> None:
    write("sea\n" * 30, "a.txt")
    write("land\r\n\n" * 30, "b.txt")
    made = prepare(DataConfig(source=["a.txt", "b.txt"], mode="lines", encoding="UTF8")).corpus
    manifest = json.loads((made.path / "manifest.json").read_text())
    contents = [Path(name).read_bytes() for name in ("a.txt", "b.txt")]
    assert manifest["sources"] == [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in zip(("a.txt", "b.txt"), contents, strict=True)
    ]
    assert manifest["corpus_sha256"] == hashlib.sha256(b"".join(contents)).hexdigest()
    assert manifest["options"]["encoding"] == "utf-8"
    assert manifest["empty_lines"] == 30
    assert manifest["characters"] == 30 * (3 + 4)
    assert manifest["splits"]["train"] == {"ids": 186, "lines": 54, "unknown": 0}
    assert manifest["files"] == {
        file.name: file.stat().st_size
        for file in made.path.iterdir()
        if file.name != "manifest.json"
    }


def test_a_single_file_has_the_hash_that_sha256sum_prints() -> None:
    made = prepared()
    assert made.manifest.corpus_sha256 == hashlib.sha256(PROSE.encode()).hexdigest()


# --- When a corpus is made ----------------------------------------------------------------------


def test_a_second_time_nothing_is_done() -> None:
    first = prepare(DataConfig(source=write()))
    times = {file: file.stat().st_mtime_ns for file in first.corpus.path.iterdir()}
    second = prepare(DataConfig(source="text.txt"))
    assert (first.fresh, second.fresh) == (True, False)
    assert second.corpus.path == first.corpus.path
    assert {file: file.stat().st_mtime_ns for file in first.corpus.path.iterdir()} == times


def test_another_text_or_another_option_makes_another_corpus() -> None:
    paths = {
        prepared().path,
        prepared(valid_fraction=0.2).path,
        prepared(mode="lines").path,
        prepared(mode="lines", shuffle=True).path,
        prepared(mode="lines", shuffle=True, shuffle_seed=2).path,
        prepared(PROSE + "x").path,
    }
    assert len(paths) == 6
    assert all(path.parent == Path("data/prepared") for path in paths)
    assert all(path.name.startswith("text-") for path in paths)


def test_where_two_files_meet_is_part_of_a_corpus() -> None:
    write("sea " * 9 + "la", "a.txt"), write("nd", "b.txt")
    write("sea " * 9 + "l", "c.txt"), write("and", "d.txt")
    first = prepare(DataConfig(source=["a.txt", "b.txt"])).corpus
    second = prepare(DataConfig(source=["c.txt", "d.txt"])).corpus
    assert first.manifest.corpus_sha256 == second.manifest.corpus_sha256
    assert first.path != second.path


def test_options_that_do_not_matter_make_no_difference() -> None:
    assert prepared(shuffle_seed=5, encoding="UTF-8").path == prepared().path


def test_a_corpus_can_be_put_elsewhere() -> None:
    out = Path("deep/down/here")
    first = prepare(DataConfig(source=write()), out=out)
    second = prepare(DataConfig(source="text.txt"), out=out)
    assert (first.fresh, second.fresh) == (True, False)
    assert first.corpus.path == out
    assert open_corpus(out).manifest == first.corpus.manifest
    assert not Path("data").exists()


def test_an_empty_folder_may_become_the_corpus() -> None:
    Path("out").mkdir()
    assert prepare(DataConfig(source=write()), out=Path("out")).fresh


@pytest.mark.parametrize("obstacle", ["file", "folder", "link", "text", "options", "damaged"])
def test_what_is_there_already_is_never_overwritten(obstacle: str) -> None:
    out = Path("out")
    if obstacle == "file":
        out.write_text("precious")
    elif obstacle == "folder":
        out.mkdir()
        (out / "precious").write_text("precious")
    elif obstacle == "link":
        out.symlink_to("nowhere")
    elif obstacle == "options":
        prepare(DataConfig(source=write(), min_count=2), out=out)
    else:
        prepare(DataConfig(source=write("another text, another text")), out=out)
    if obstacle == "damaged":
        (out / "manifest.json").write_text("{")
    before = {path: path.lstat().st_mtime_ns for path in [out, *out.glob("*")]}
    with pytest.raises(UserError, match="out is in the way") as caught:
        prepare(DataConfig(source=write()), out=out)
    assert "choose another folder" in caught.value.hint
    assert {path: path.lstat().st_mtime_ns for path in [out, *out.glob("*")]} == before


def test_a_damaged_corpus_is_not_taken_for_prepared() -> None:
    made = prepared()
    (made.path / "train_ids.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"train_ids\.npy") as caught:
        prepared()
    assert f"remove {made.path}" in caught.value.hint


def test_the_expected_hash_is_held_to() -> None:
    sha256 = hashlib.sha256(PROSE.encode()).hexdigest()
    error = error_of(sha256="0" * 64)
    assert sha256 in error.message
    assert "0" * 64 in error.message
    assert prepared(sha256=sha256.upper()).manifest.corpus_sha256 == sha256
    with pytest.raises(UserError, match="not the text that was expected"):
        prepared(sha256="0" * 64)


def test_a_corpus_is_found_by_its_hash_when_its_source_is_gone() -> None:
    made = prepared()
    Path("text.txt").unlink()
    sha256 = made.manifest.corpus_sha256
    data = DataConfig(source="text.txt")
    found = find_prepared(data, sha256)
    assert found is not None
    assert found.path == made.path
    assert find_prepared(data, "0" * 64) is None
    assert find_prepared(replace(data, min_count=2), sha256) is None
    (made.path / "vocabulary.json").unlink()
    assert find_prepared(data, sha256) is None


def test_a_download_whose_hash_is_known_is_not_needed_again() -> None:
    sha256 = prepared().manifest.corpus_sha256
    gone = DataConfig(source="http://127.0.0.1:9/text.txt", sha256=sha256)
    again = prepare(gone)
    assert not again.fresh
    assert again.corpus.manifest.corpus_sha256 == sha256
    with pytest.raises(RunFailedError, match=r"127\.0\.0\.1:9"):
        prepare(replace(gone, min_count=2))


def test_stdin_is_prepared_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(write()).open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        made = prepare(DataConfig(source="-")).corpus
    assert made.path.name.startswith("stdin-")
    assert made.manifest.corpus_sha256 == prepared().manifest.corpus_sha256


def test_the_python_docs_are_utf_8_whatever_the_encoding_of_the_rest() -> None:
    data = DataConfig(source=["builtin:python-docs", write("\xe9" * 20_0000)], encoding="utf-8")
    with pytest.raises(UserError, match=r"text\.txt"):
        prepare(replace(data, encoding="ascii"))
    assert prepare(data).corpus.manifest.sources[0].name == "builtin:python-docs"


def test_two_who_prepare_the_same_at_once_both_get_it() -> None:
    data = DataConfig(source=write())
    meanwhile: list[bool] = []

    @contextmanager
    def progress(description: str, total: int | None, /, *, unit: str) -> Iterator[Advance]:
        if description == "encoding":
            meanwhile.append(prepare(data).fresh)
        with silent(description, total, unit=unit) as advance:
            yield advance

    made = prepare(data, progress=progress).corpus
    assert meanwhile == [True]
    assert [path.name for path in corpus.PREPARED_FOLDER.iterdir()] == [made.path.name]


# --- Texts that cannot be learned from ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("", {}, "text.txt is empty"),
        ("\ufeff", {}, "too short: it has 0 characters for training"),
        ("a", {}, "too short: it has 0 characters for training and 1 for validation"),
        ("aba", {"valid_fraction": 0.5}, "it has 1 characters for training and 2 for validation"),
        ("one line", {"mode": "lines"}, "it has 0 lines for training and 1 for validation"),
        ("\n\r\n\n", {"mode": "lines"}, "it has 0 lines"),
        (PROSE, {"min_count": 1000}, "no character is seen 1,000 times"),
        (PROSE, {"mode": "lines", "shuffle": True, "min_count": 1000}, "is seen 1,000 times"),
        (PROSE, {"shuffle": True}, "data.shuffle shuffles lines"),
        (PROSE, {"encoding": "utf-9"}, "data.encoding"),
        (b"ab\xff" * 50, {}, "text.txt: byte 2 (0xff) is not utf-8"),
        (b"\\ud800" * 50, {"encoding": "unicode_escape"}, '"\\ud800" is not a Unicode character'),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    text: str | bytes, options: dict[str, Any], told: str
) -> None:
    error = error_of(text, **options)
    assert told in error.message
    assert error.hint
    assert error.exit_code == 2


def test_the_shortest_text_has_two_characters_in_each_split() -> None:
    assert prepared("abab", valid_fraction=0.5).manifest.splits.valid.ids == 2


# --- Disks that fail ----------------------------------------------------------------------------


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Have the system refuse writes beyond `size` bytes in any file of this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("options", [{}, {"mode": "lines"}, {"mode": "lines", "shuffle": True}])
def test_a_file_that_the_system_refuses_to_grow_leaves_nothing(options: dict[str, Any]) -> None:
    name = write(PROSE * 500)
    with files_no_larger_than(100_000), pytest.raises(RunFailedError) as caught:
        prepare(DataConfig(source=name, **options))
    assert "cannot write data/prepared: File too large" in caught.value.message
    assert caught.value.exit_code == 1
    assert list(corpus.PREPARED_FOLDER.iterdir()) == []


@pytest.mark.parametrize("mode", ["stream", "lines"])
@pytest.mark.parametrize("room", [0, 1, 64, 128, 136, 500, 700, 800])
def test_a_disk_that_fills_up_at_any_write_leaves_nothing(mode: Mode, room: int) -> None:
    name = write()
    with files_no_larger_than(room), pytest.raises(RunFailedError, match="File too large"):
        prepare(DataConfig(source=name, mode=mode))
    assert list(corpus.PREPARED_FOLDER.iterdir()) == []


@pytest.mark.parametrize("stage", ["reading", "encoding"])
def test_an_interruption_leaves_nothing(stage: str) -> None:
    @contextmanager
    def progress(description: str, _total: int | None, /, *, unit: str) -> Iterator[Advance]:
        def advance(_amount: int) -> None:
            if description == stage:
                raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        prepare(DataConfig(source=write(), mode="lines", shuffle=True), progress=progress)
    assert list(corpus.PREPARED_FOLDER.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named() -> None:
    write("in the way", "data")
    with pytest.raises(RunFailedError, match="cannot write data/prepared"):
        prepare(DataConfig(source=write()))


# --- Corpora that somebody damaged --------------------------------------------------------------


FILES = ["manifest.json", "vocabulary.json", "train_ids.npy", "valid_ids.npy", "train_starts.npy"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "longer", "folder"])
def test_a_damaged_file_is_named(name: str, damage: str) -> None:
    path = prepared(mode="lines").path
    file = path / name
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        changed = {"empty": b"", "truncated": content[:-1], "longer": content + b"1"}[damage]
        if damage == "truncated" and name.endswith(".json"):
            changed = content[:-3]  # the last byte is only a line end
        file.write_bytes(changed)
    with pytest.raises(UserError, match=name):
        open_corpus(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"format_version": None}, "format version null"),
        ({"sources": {}}, "sources: expected array, got object"),
        ({"sources": []}, "sources: expected array of length >= 1"),
        (
            {"sources": [{"name": "x", "sha256": "", "bytes": -1}]},
            r"sources\[0\].bytes: expected int >= 0",
        ),
        ({"empty_lines": -1}, "empty_lines: expected int >= 0"),
        (
            {"sources": [{"name": 1, "sha256": "", "bytes": 1}]},
            r"sources\[0\].name: expected str, got int",
        ),
        ({"options": {}}, "options: object missing required field mode"),
        ({"characters": 1.5}, "characters: expected int, got float"),
        ({"characters": True}, "characters: expected int, got bool"),
        ({"splits": {"train": {"ids": 1, "lines": None, "unknown": 0}}}, "splits"),
        ({"vocabulary_size": 3}, "not the vocabulary"),
        ({"files": [1]}, "files: expected object, got array"),
    ],
)
def test_a_manifest_that_lies_is_refused(change: dict[str, Any], told: str) -> None:
    path = prepared().path
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(UserError, match=told):
        open_corpus(path)


@pytest.mark.parametrize("ids", [0, -1, 10**18, 10**400])
def test_a_manifest_that_promises_another_size_is_refused_at_once(ids: int) -> None:
    path = prepared().path
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["splits"]["train"]["ids"] = ids
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"splits\.train|train_ids\.npy") as refusal:
        open_corpus(path)
    assert len(refusal.value.message) < 300


@pytest.mark.parametrize(
    ("mode", "split"),
    [
        ("stream", {"ids": 1, "lines": None, "unknown": 0}),
        ("stream", {"ids": 9, "lines": 2, "unknown": 0}),
        ("stream", {"ids": 9, "lines": None, "unknown": 10}),
        ("lines", {"ids": 9, "lines": None, "unknown": 0}),
        ("lines", {"ids": 9, "lines": 0, "unknown": 0}),
        ("lines", {"ids": 9, "lines": -1, "unknown": 0}),
        ("lines", {"ids": 1, "lines": 2, "unknown": 0}),
    ],
)
def test_a_split_that_no_text_has_is_refused(mode: Mode, split: dict[str, Any]) -> None:
    path = prepared(mode=mode).path
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["splits"]["valid"] = split
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"splits\.valid"):
        open_corpus(path)


@pytest.mark.parametrize("name", FILES)
def test_a_link_that_leaves_the_corpus_or_a_fifo_is_refused(name: str) -> None:
    file = prepared(mode="lines").path / name
    file.rename("outside")
    file.symlink_to(Path("outside").resolve())
    with pytest.raises(UserError, match="link"):
        open_corpus(file.parent)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UserError, match="plain file"):
        open_corpus(file.parent)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END)
        file.write(content)


def test_an_id_beyond_the_vocabulary_is_found_before_it_is_used() -> None:
    made = prepared()
    overwrite(made.path / "train_ids.npy", -1, b"\xff")
    with pytest.raises(UserError, match=r"train_ids\.npy is damaged: it has an id beyond"):
        _ = open_corpus(made.path).train


@pytest.mark.parametrize("value", [0, 2**63, 2**64 - 1])
def test_lines_that_lead_outside_are_found_before_they_are_used(value: int) -> None:
    made = prepared(mode="lines")
    for offset in (-8, -16):
        overwrite(made.path / "valid_starts.npy", offset, value.to_bytes(8, "little"))
        with pytest.raises(UserError, match=r"valid_starts\.npy is damaged"):
            _ = open_corpus(made.path).valid


def test_a_folder_that_is_no_corpus_is_told_from_one() -> None:
    with pytest.raises(UserError, match="is not a prepared corpus") as caught:
        open_corpus(Path())
    assert "charrnn prepare" in caught.value.hint
