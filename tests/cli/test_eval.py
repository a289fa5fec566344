"""`charrnn eval` as a shell sees it: what it scores, what it prints, how it refuses."""

import gzip
import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from charrnn.cli.app import run
from charrnn.config.schema import Config, DataConfig, ModelConfig
from charrnn.network import IdArray
from charrnn.run.writer import RunWriter
from charrnn.text.corpus import Corpus
from charrnn.text.prepare import prepare
from charrnn.training.dynamic import DynamicOptions
from tests.corpora import prose, word_lines
from tests.models import DEFAULT_CARD, begin_run, random_weights

ROOT = Path(__file__).parents[2]
RUN = Path("runs/sea")
KEYS = {
    "run",
    "source",
    "protocol",
    "window",
    "chars",
    "unknown_chars",
    "loss_nats",
    "bits_per_char",
    "bits_per_byte",
    "perplexity",
    "accuracy",
    "seconds",
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_run(data: DataConfig, path: Path = RUN) -> Corpus:
    """A run with random weights, on a corpus that is prepared for it."""
    corpus = prepare(data).corpus
    config = Config(data=data, model=ModelConfig(hidden_size=16, embedding_size=8))
    card = replace(
        DEFAULT_CARD,
        mode="stream" if data.mode == "stream" else "lines",
        vocabulary_size=len(corpus.vocabulary),
        corpus_sha256=corpus.manifest.corpus_sha256,
    )
    writer = begin_run(path, config, corpus.vocabulary)
    writer.save_best(random_weights(card, scale=0.2), card)
    writer.close()
    return corpus


@pytest.fixture
def stream_run() -> Corpus:
    Path("sea.txt").write_text(prose(4000), newline="")
    return make_run(DataConfig(source="sea.txt"))


@pytest.fixture
def lines_run() -> Corpus:
    Path("words.txt").write_text(word_lines(200))
    return make_run(DataConfig(source="words.txt", mode="lines"))


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["eval", "--json", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """What stderr says when the command is refused; nothing may stand on stdout."""
    capsys.readouterr()
    assert run(["eval", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


def with_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def text_of(ids: IdArray, corpus: Corpus) -> str:
    return corpus.vocabulary.decode(np.asarray(ids))


# --- What is scored -------------------------------------------------------------------------------


def test_left_alone_it_scores_the_validation_split_of_the_run_trained_last(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = evaluated(capsys)
    assert answer.keys() >= KEYS
    assert answer["run"] == str(RUN)
    assert (answer["source"], answer["split"]) == ("sea.txt", "valid")
    assert (answer["protocol"], answer["window"], answer["mode"]) == ("stateful", None, "stream")
    assert answer["chars"] == 399
    assert answer["unknown_chars"] == 0
    assert answer["bits_per_char"] == pytest.approx(answer["loss_nats"] / math.log(2))
    assert answer["perplexity"] == pytest.approx(math.exp(answer["loss_nats"]))
    assert 0 <= answer["accuracy"] <= 1


def test_a_file_with_the_text_of_the_split_scores_as_the_split(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("valid.txt").write_text(text_of(stream_run.valid.ids, stream_run), newline="")
    of_file = evaluated(capsys, "valid.txt")
    of_split = evaluated(capsys)
    assert of_file["loss_nats"] == of_split["loss_nats"]
    assert (of_file["source"], of_file["split"]) == ("valid.txt", None)


def test_stdin_is_scored_when_a_dash_asks_for_it(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_stdin(monkeypatch, text_of(stream_run.valid.ids, stream_run).encode())
    answer = evaluated(capsys, "-")
    assert answer["source"] == "stdin"
    assert answer["loss_nats"] == evaluated(capsys)["loss_nats"]


@pytest.mark.parametrize("by_line", [[], ["--by-line"]], ids=["whole", "by line"])
def test_stdin_is_known_by_its_bytes(
    by_line: list[str],
    stream_run: Corpus,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = text_of(stream_run.valid.ids, stream_run)
    answers = []
    for content in (text.encode(), gzip.compress(text.encode()), text.encode("utf-16")):
        with_stdin(monkeypatch, content)
        assert run(["eval", *by_line, "--json", "-"]) == 0
        answers.append(re.sub('"seconds": .*', "", capsys.readouterr().out))
    assert len(set(answers)) == 1
    with_stdin(monkeypatch, gzip.compress(b"%PDF-1.7 1 0 obj"))
    assert run(["eval", *by_line, "-"]) == 2
    assert "a PDF document compressed with gzip" in capsys.readouterr().err


def test_stdin_that_nobody_asked_for_is_left_alone(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_stdin(monkeypatch, b"untouched")
    evaluated(capsys)
    assert sys.stdin.read() == "untouched"


@pytest.mark.parametrize("mode", ["stream", "lines"])
def test_bits_per_byte_are_the_bits_of_the_text_over_its_bytes(
    mode: Literal["stream", "lines"], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("m\xf6wen.txt").write_text(word_lines(300).replace("e", "\xe9"))
    make_run(DataConfig(source="m\xf6wen.txt", mode=mode))
    text = "s\xe9\xe9\nm\xf6w\u20ac\n"
    Path("other.txt").write_text(text)
    answer = evaluated(capsys, "other.txt")
    assert answer["unknown_chars"] == 2
    bits = answer["loss_nats"] * answer["chars"] / math.log(2)
    assert answer["bits_per_byte"] == pytest.approx(bits / len(text.encode()))


def test_the_bytes_of_the_runs_own_split_are_counted_too(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = evaluated(capsys)
    assert answer["bits_per_byte"] == pytest.approx(answer["bits_per_char"] * 399 / 400)


def test_the_training_split_can_be_scored_too(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = evaluated(capsys, "--split", "train")
    assert (answer["split"], answer["chars"]) == ("train", 3599)


def test_lines_are_scored_with_their_ends(
    lines_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = evaluated(capsys)
    assert (answer["mode"], answer["protocol"]) == ("lines", "stateful")
    assert answer["chars"] == len(lines_run.valid.ids) + 20
    Path("valid.txt").write_text("".join(word_lines(200).splitlines(keepends=True)[180:]))
    assert evaluated(capsys, "valid.txt")["loss_nats"] == answer["loss_nats"]


def test_a_byte_order_mark_is_no_character(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("marked.txt").write_bytes(b"\xef\xbb\xbfsalt and sea")
    answer = evaluated(capsys, "marked.txt")
    assert (answer["chars"], answer["unknown_chars"]) == (11, 0)


def test_a_text_is_decoded_as_the_runs_own_was(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sea.txt").write_bytes(prose(4000).replace("salt", "m\xe4r").encode("latin-1"))
    make_run(DataConfig(source="sea.txt", encoding="latin-1"))
    Path("other.txt").write_bytes(b"the m\xe4r")
    assert evaluated(capsys, "other.txt")["unknown_chars"] == 0


def test_a_text_is_known_by_its_bytes(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    text = text_of(stream_run.valid.ids, stream_run)
    expected = evaluated(capsys)["loss_nats"]
    for content in (gzip.compress(text.encode()), text.encode("utf-16"), text.encode("utf-16-be")):
        Path("other").write_bytes(content)
        assert evaluated(capsys, "other")["loss_nats"] == expected


def test_a_text_in_another_encoding_is_answered_with_the_command_that_converts_it(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Все счастливые семьи похожи друг на друга.\n" * 30
    Path("the family's.txt").write_bytes(text.encode("cp1251"))
    err = refused(capsys, "the family's.txt")
    assert "data." not in err
    command = re.search(r"`(iconv .*)`", err)
    assert command
    executable = f"'{sys.executable}' -m charrnn eval --json"
    scored = subprocess.run(
        ["sh", "-c", command[1].replace("charrnn eval", executable)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["chars"] == len(text) - 1


def test_what_is_no_text_is_not_scored(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("book").write_bytes(b"%PDF-1.7\n1 0 obj")
    assert "book is a PDF document" in refused(capsys, "book")
    assert "is a prepared corpus" in refused(capsys, str(stream_run.path))


def test_unknown_characters_are_counted_and_named(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("odd.txt").write_text("the sea \u00e9\u00e9\x1b")
    assert run(["eval", "odd.txt", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["unknown_chars"] == 3
    assert '\u00e9" (U+00E9) 2x' in err
    assert "(U+001B) 1x" in err
    assert "\x1b" not in err


# --- How it is scored -----------------------------------------------------------------------------


def test_windows_are_another_protocol_and_count_the_same_characters(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, cold = evaluated(capsys), evaluated(capsys, "--window", "50")
    assert (cold["protocol"], cold["window"]) == ("window", 50)
    assert cold["chars"] == whole["chars"]
    assert cold["loss_nats"] != whole["loss_nats"]


def test_the_batch_size_changes_nothing(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    for protocol in ([], ["--window", "50"]):
        small = evaluated(capsys, *protocol, "--split", "train", "--batch-size", "1")
        large = evaluated(capsys, *protocol, "--split", "train", "--batch-size", "500")
        assert small["loss_nats"] == pytest.approx(large["loss_nats"], abs=1e-6)


def test_torch_computes_the_same(stream_run: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    ours, torchs = evaluated(capsys), evaluated(capsys, "--engine", "torch")
    assert torchs["loss_nats"] == pytest.approx(ours["loss_nats"], abs=1e-5)
    assert (ours["engine"], torchs["engine"]) == ("numpy", "torch")


# --- Learned from while it is read ----------------------------------------------------------------


def test_dynamic_is_a_protocol_of_its_own_and_leaves_the_run_as_it_is(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.read_bytes() for file in RUN.rglob("*") if file.is_file()}
    stateful, dynamic = evaluated(capsys), evaluated(capsys, "--dynamic")
    assert stateful["dynamic"] is None
    assert (dynamic["protocol"], dynamic["window"]) == ("dynamic", None)
    assert dynamic["dynamic"] == asdict(DynamicOptions())
    assert dynamic["engine"] == "torch"
    assert dynamic["chars"] == stateful["chars"]
    assert dynamic["loss_nats"] < stateful["loss_nats"]
    assert evaluated(capsys, "--dynamic")["loss_nats"] == dynamic["loss_nats"]
    assert {file: file.read_bytes() for file in RUN.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("mode", ["stream", "lines"])
def test_dynamic_at_a_rate_of_0_is_stateful(
    mode: Literal["stream", "lines"], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("words.txt").write_text(word_lines(200))
    make_run(DataConfig(source="words.txt", mode=mode))
    Path("odd.txt").write_text("the sea\nand \u00e9\n")
    for text in ([], ["odd.txt"]):
        stateful = evaluated(capsys, *text)
        dynamic = evaluated(capsys, *text, "--dynamic", "--dynamic-rate", "0")
        assert dynamic["loss_nats"] == pytest.approx(stateful["loss_nats"], abs=1e-5)
        for key in ("chars", "unknown_chars", "accuracy"):
            assert dynamic[key] == stateful[key]


def test_the_table_says_how_was_learned_and_the_help_what_the_defaults_are(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "--dynamic", "--dynamic-rate", "0.5", "--dynamic-decay", "0.25"]) == 0
    out = capsys.readouterr().out
    assert "dynamic: every 20 characters scored, then learned from\n" in out
    assert "rate 0.5, decay 0.25\n" in out
    rate, decay = (f"({each})" for each in (DynamicOptions().rate, DynamicOptions().decay))
    for command, shown in (("eval", rate), ("eval", decay), ("generate", rate)):
        assert run([command, "--help"]) == 0
        assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dynamic", "--window", "9"], "--window cannot go with it"),
        (["--dynamic", "--batch-size", "9"], "--batch-size cannot go with it"),
        (["--dynamic", "--by-line"], "--by-line cannot go with it"),
        (["--dynamic", "--dearest", "3"], "--dearest cannot go with it"),
        (["--dynamic", "--engine", "numpy"], "--engine numpy cannot go with it"),
        (["--dynamic-rate", "0.1"], "go with --dynamic"),
        (["--dynamic-decay", "0.1"], "go with --dynamic"),
        (["--dynamic", "--dynamic-rate", "-1"], "--dynamic-rate is -1.0"),
        (["--dynamic", "--dynamic-rate", "nan"], "--dynamic-rate is nan"),
        (["--dynamic", "--dynamic-decay", "2"], "--dynamic-decay is 2.0; it must be from 0 to 1"),
    ],
)
def test_what_does_not_go_with_dynamic_is_refused(
    arguments: list[str], message: str, stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, *arguments)


# --- When the run's own text must be found --------------------------------------------------------


def test_the_source_is_not_read_where_it_has_been_prepared(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sea.txt").unlink()
    assert evaluated(capsys)["chars"] == 399


def test_a_corpus_that_is_gone_is_prepared_again(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    before = evaluated(capsys)
    Path("data").rename("elsewhere")
    assert evaluated(capsys)["loss_nats"] == before["loss_nats"]


def test_a_text_that_has_changed_is_not_taken_for_the_runs_own(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").rename("elsewhere")
    Path("sea.txt").write_text(prose(4000, seed=9))
    err = refused(capsys)
    assert "is not the text that was expected" in err
    assert "`charrnn eval FILE --run runs/sea` scores any text" in err


def test_a_text_that_is_gone_is_named(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").rename("elsewhere")
    Path("sea.txt").unlink()
    err = refused(capsys)
    assert f"the text that {RUN} was trained on cannot be had: sea.txt" in err
    assert f"`charrnn prepare FILE --config {RUN}/config.yaml` prepares it" in err
    Path("ocean.txt").write_text(prose(4000), newline="")
    assert run(["prepare", "ocean.txt", "--config", f"{RUN}/config.yaml"]) == 0
    capsys.readouterr()
    assert evaluated(capsys)["chars"] == 399


def test_a_folder_that_takes_no_file_is_answered_with_the_option_that_moves_it(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").rename("elsewhere")
    Path("data").write_text("in the way")
    assert "hint: --data-dir or CHARRNN_DATA names another folder" in refused(capsys, code=1)


def test_a_run_trained_on_stdin_does_not_wait_for_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_stdin(monkeypatch, prose(4000).encode())
    make_run(DataConfig(source="-"))
    Path("data").rename("elsewhere")
    with_stdin(monkeypatch, b"untouched")
    assert "from stdin" in refused(capsys)
    assert sys.stdin.read() == "untouched"


# --- What it prints -------------------------------------------------------------------------------


def test_people_get_a_table_on_stdout_that_names_the_protocol(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = evaluated(capsys)
    assert run(["eval", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("runs/sea on the validation split of sea.txt\n")
    assert f"{answer['loss_nats']:.4f} nats per character" in out
    assert f"{answer['bits_per_char']:.4f}" in out
    assert "399 characters; 0 unknown" in out
    assert "stateful: the state carried from the beginning to the end" in out


def test_the_table_of_windows_and_of_lines_says_so(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("words.txt").write_text(word_lines(200))
    make_run(DataConfig(source="words.txt", mode="lines"), Path("runs/words"))
    assert run(["eval", "--run", "runs/sea", "--window", "64"]) == 0
    assert "window: every 64 characters from a zero state" in capsys.readouterr().out
    assert run(["eval", "--run", "runs/words"]) == 0
    out = capsys.readouterr().out
    assert "every line read from a zero state to its end" in out
    assert "ends of lines included" in out


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "--help"]) == 0
    assert "cat poem.txt | charrnn eval" in capsys.readouterr().out


def test_names_cannot_send_escape_codes(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "red\x1b[31m.txt"
    Path(name).write_text("the sea")
    assert run(["eval", name]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def test_as_a_process_of_its_own_it_needs_no_torch(stream_run: Corpus) -> None:
    program = "import sys; sys.modules['torch'] = None; from charrnn.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "eval", "--json", "-"],
        input=b"the sea and the salt",
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["chars"] == 19


# --- What it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "reason"), [("", "is empty"), ("x", "too short")])
def test_a_text_without_anything_to_predict_is_refused(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str], content: str, reason: str
) -> None:
    Path("little.txt").write_text(content)
    err = refused(capsys, "little.txt")
    assert "little.txt" in err
    assert reason in err


def test_lines_without_a_single_character_are_refused(
    lines_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("little.txt").write_text("\n\n\r\n")
    assert "little.txt is empty" in refused(capsys, "little.txt")


def test_windows_of_lines_are_refused(
    lines_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--window" in refused(capsys, "--window", "10")


def test_a_split_of_another_text_is_refused(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--split" in refused(capsys, "sea.txt", "--split", "train")


@pytest.mark.parametrize("option", [["--window", "0"], ["--batch-size", "0"], ["--engine", "jax"]])
def test_options_out_of_range_are_refused(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    assert option[0] in refused(capsys, *option)


def test_a_file_that_is_not_there_is_named(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "missing.txt" in refused(capsys, "missing.txt")


def test_without_a_run_the_hint_is_to_train_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "charrnn train" in refused(capsys)


def test_a_failure_is_json_too_when_json_is_asked_for(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "missing.txt", "--json"]) == 2
    out, _ = capsys.readouterr()
    assert "missing.txt" in json.loads(out)["error"]["message"]


def test_a_configuration_of_another_mode_is_refused(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    config = RUN / "config.yaml"
    config.write_text(config.read_text().replace("mode: stream", "mode: lines"))
    assert "know different characters" in refused(capsys)


def test_weights_that_overflow_are_a_failure_and_no_score(
    stream_run: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = stream_run
    card = replace(
        DEFAULT_CARD,
        vocabulary_size=len(corpus.vocabulary),
        corpus_sha256=corpus.manifest.corpus_sha256,
    )
    writer = RunWriter.reopen(RUN)
    weights = random_weights(card)
    weights["output.bias"][:] = np.linspace(-1e30, 1e30, len(corpus.vocabulary))
    writer.save_best(weights, card)
    writer.close()
    assert "of no use" in refused(capsys, code=1)
