"""Bytes as the unit of a text, as a shell sees it: trained, scored, written, shown, handed on."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from charrnn.config.schema import DataConfig
from charrnn.inference.network import NumpyNetwork
from charrnn.run.reader import read_model
from tests.cli.process import COMMAND, SECONDS, charrnn, succeed, succeed_json
from tests.models import write_corpus_run

TEXT = "Zoë trinkt Kaffee: 3 € 😀\nжук и море\n" * 60
BINARY = bytes(range(256)) * 20
SMALL = (
    *("--set=model.hidden_size=8", "--set=model.embedding_size=4", "--set=train.threads=1"),
    *("--set=train.precision=float32", "--set=train.kernel=torch", "--set=train.batch_size=4"),
    *("--set=train.sequence_length=16", "--set=train.eval_every_steps=2"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of untrained networks: of UTF-8 as a stream and in lines, and of binary data."""
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "text").write_text(TEXT, encoding="utf-8")
    (folder / "binary").write_bytes(BINARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(folder, "stream", "text")
        write(folder, "lines", "text", "lines")
        write(folder, "binary", "binary")
    return folder


def write(folder: Path, run: str, source: str, mode: Literal["stream", "lines"] = "stream") -> None:
    data = DataConfig(source=source, unit="byte", mode=mode, max_length=5000)
    write_corpus_run(folder / "runs" / run, data, scale=0.4)


def output(folder: Path, *arguments: str) -> bytes:
    """What `generate` writes to a pipe."""
    done = subprocess.run(
        [*COMMAND, "generate", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- Scoring ------------------------------------------------------------------------------------


def counted_bits(run: Path, content: bytes) -> float:
    """The bits of a stream of bytes, counted one at a time: id = byte + 2."""
    network = NumpyNetwork.of(read_model(run))
    ids_1T = np.frombuffer(content, np.uint8)[None].astype(np.intp) + 2
    logits_1TV, _ = network.advance(ids_1T[:, :-1], network.initial_state(1))
    logits_TV = logits_1TV[0].astype(np.float64)
    logs_TV = logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True))
    return -float(logs_TV[np.arange(len(logs_TV)), ids_1T[0, 1:]].sum() / np.log(2))


@pytest.mark.parametrize("content", [TEXT[:500].encode(), BINARY[:700], b"\xff\xfe\0"])
def test_bits_per_byte_are_those_of_an_independent_count(folder: Path, content: bytes) -> None:
    (folder / "other").write_bytes(content)
    answer = succeed_json("eval", "other", "--run", "runs/stream", cwd=folder)
    assert answer["chars"] == len(content) - 1
    assert (answer["unit"], answer["unknown_chars"]) == ("byte", 0)
    assert answer["bits_per_byte"] == pytest.approx(answer["bits_per_char"], rel=1e-12)
    expected = counted_bits(folder / "runs" / "stream", content) / (len(content) - 1)
    assert answer["bits_per_byte"] == pytest.approx(expected, rel=1e-5)


def test_the_bytes_of_a_file_of_lines_are_all_counted(folder: Path) -> None:
    answer = succeed_json("eval", "text", "--run", "runs/lines", cwd=folder)
    assert answer["chars"] == len(TEXT.encode())
    assert answer["bits_per_byte"] == pytest.approx(answer["bits_per_char"], rel=1e-12)


@pytest.mark.parametrize("run", ["stream", "lines"])
def test_the_costs_of_all_lines_add_up_to_those_of_the_text(folder: Path, run: str) -> None:
    whole = succeed_json("eval", "text", "--run", f"runs/{run}", cwd=folder)
    lines = succeed("eval", "-", "--by-line", "--json", "--run", f"runs/{run}", cwd=folder,
                    stdin=TEXT)  # fmt: skip
    costs = [json.loads(line) for line in lines.splitlines()]
    assert [each["text"] for each in costs] == TEXT.splitlines()
    assert sum(each["chars"] for each in costs) == whole["chars"]
    bits = whole["bits_per_char"] * whole["chars"]
    assert sum(each["bits"] for each in costs) == pytest.approx(bits, rel=1e-5)


def test_the_table_speaks_of_bytes(folder: Path) -> None:
    table = succeed("eval", "--run", "runs/stream", cwd=folder)
    assert "bits per byte" in table
    assert "character" not in table


# --- Writing ------------------------------------------------------------------------------------


def test_a_pipe_gets_whole_characters_and_as_many_as_asked_for(folder: Path) -> None:
    text = output(folder, "Zoë", "--run", "runs/stream", "--length", "9000", "--rng-seed", "1")
    assert len(text.decode()) == 3 + 9000


def test_what_an_interrupted_pipe_got_is_whole_characters(folder: Path) -> None:
    command = [*COMMAND, "generate", "--run", "runs/stream", "--forever", "--rng-seed", "1"]
    for wait in (20_001, 30_002):
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            begun = process.stdout.read(wait)
            process.send_signal(signal.SIGINT)
            written = begun + process.stdout.read()
        assert process.returncode == 130
        written.decode()


def test_every_write_is_of_whole_characters(folder: Path) -> None:
    """Also the first page of what had to wait for a slow reader."""
    script = (
        "import os, sys; write = os.write\n"
        "def checked(descriptor, data):\n"
        "    bytes(data).decode() if descriptor == 1 else None\n"
        "    return write(descriptor, data)\n"
        "os.write = checked\n"
        "from charrnn.__main__ import main; sys.argv[0] = 'charrnn'; main()\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", script, "generate", "--run", "runs/stream", "--seed", TEXT * 5,
         "--length", "3000", "--rng-seed", "1"],
        cwd=folder, capture_output=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.decode()) == 5 * len(TEXT) + 3000


def test_a_saved_stream_goes_on_as_if_it_had_not_been(folder: Path) -> None:
    run = ("--run", "runs/stream", "--rng-seed", "1")
    whole = output(folder, "ж", *run, "--length", "40")
    begin = output(folder, "ж", *run, "--length", "13", "--save-state", "state")
    rest = output(folder, *run, "--length", "27", "--load-state", "state")
    assert begin + rest == whole


def test_json_counts_characters(folder: Path) -> None:
    answer = succeed_json(
        "generate", "ж", "--run", "runs/stream", "--length", "30", "--logprobs", cwd=folder
    )
    assert answer["characters"] == 30 == len(answer["log_probabilities"])
    assert len(answer["text"]) == 31


def test_binary_data_passes_through_a_pipe_as_it_is(folder: Path) -> None:
    seed = BINARY[100:300]
    (folder / "seed").write_bytes(seed)
    run = ("--run", "runs/binary", "--length", "500", "--rng-seed", "1")
    written = output(folder, "--seed-file", "seed", *run)
    assert written[:200] == seed
    assert len(written) == 700
    typed = [os.fsencode(each) for each in (*COMMAND, "generate", *run)]
    done = subprocess.run([*typed, b"\xff\xfe"], cwd=folder, capture_output=True, check=True)
    assert done.stdout[:2] == b"\xff\xfe"
    assert len(done.stdout) == 502


def test_the_likeliest_bytes_of_binary_data_are_named(folder: Path) -> None:
    answer = succeed_json("generate", "a", "--run", "runs/binary", "--next", "256", cwd=folder)
    names = {each["character"] for each in answer["next"]}
    assert {"a", "\n", "\\xff", "\\x80"} < names
    assert len(names) == 256


# --- Training -----------------------------------------------------------------------------------


BYTES = ("--set=data.unit=byte", "--set=data.valid_chars=300")
EVEN = ("--set=train.final_learning_rate_fraction=1", "--set=train.warmup_steps=1")
"""A learning rate that does not depend on the number of steps."""


def test_a_training_of_bytes_is_resumed_with_the_same_result(folder: Path) -> None:
    run = ("train", "text", *SMALL, *BYTES, *EVEN)
    whole = succeed_json(*run, "--set=train.steps=8", "--out=runs/a", cwd=folder)
    assert whole["unit"] == "byte"
    succeed(*run, "--set=train.steps=4", "--out=runs/b", cwd=folder)
    more = ("train", "--resume", "--out=runs/b", "--set=train.steps=8")
    assert succeed_json(*more, cwd=folder)["valid_loss_nats"] == whole["valid_loss_nats"]
    digests = [
        json.loads((folder / "runs" / name / "model.json").read_text())["weights_sha256"]
        for name in ("a", "b")
    ]
    assert digests[0] == digests[1]
    assert succeed_json("eval", "--run=runs/a", cwd=folder)["chars"] == 299
    other = charrnn("train", "--resume", "--out=runs/b", "--set=data.unit=character", cwd=folder)
    assert other.returncode == 2
    assert "data.unit: byte -> character" in other.stderr


def test_a_prepared_text_of_bytes_is_trained_on(folder: Path) -> None:
    path = succeed("prepare", "text", *BYTES, cwd=folder).strip()
    answer = succeed_json("train", path, *SMALL, "--set=train.steps=2", "--out=runs/c", cwd=folder)
    assert answer["unit"] == "byte"
    vocabulary = json.loads((folder / "runs/c/vocabulary.json").read_text())
    assert (vocabulary["unit"], vocabulary["utf8"]) == ("byte", True)


def test_weights_of_bytes_do_not_become_those_of_characters(folder: Path) -> None:
    run = ("train", "text", *SMALL[2:], "--init-from=runs/stream", "--set=train.steps=2")
    refused = charrnn(*run, "--out=runs/d", cwd=folder)
    assert refused.returncode == 2
    assert "runs/stream reads bytes, and data.unit is character" in refused.stderr
    assert "--set data.unit=byte" in refused.stderr
    taken = charrnn(*run, "--out=runs/d", "--set=data.unit=byte", cwd=folder)
    assert taken.returncode == 0, taken.stderr
    assert "256 characters matched" in taken.stderr


# --- Showing and handing on ---------------------------------------------------------------------


@pytest.mark.parametrize("run", ["stream", "lines", "binary"])
def test_every_view_shows_a_run_of_bytes(folder: Path, run: str) -> None:
    found = succeed_json("explain", "report", "--run", f"runs/{run}", cwd=folder)
    shown = found["surprisal"]["characters"]
    source = BINARY if run == "binary" else TEXT.encode()
    expected = [chr(byte) if byte < 0x80 else f"\\x{byte:02x}" for byte in source]
    assert "".join(shown) in "".join(expected)
    assert len(found["embedding"]["characters"]) == 256
    cost = {each["name"]: each for each in found["baselines"]["models"]}["charrnn"]
    assert cost["bits_per_byte"] == cost["bits_per_char"]
    picture = succeed("explain", "surprisal", "--run", f"runs/{run}", cwd=folder)
    assert f"{len(shown):,} bytes cost" in picture
    assert ("жук" in picture) == (run != "binary")
    assert succeed("explain", "step", "ab", "--run", f"runs/{run}", cwd=folder)


def test_exports_say_what_they_are_of(folder: Path) -> None:
    card = succeed("export", "--run", "runs/stream", "--to", "card", "--out", "-", cwd=folder)
    assert "A byte-level language model" in card
    assert "always valid UTF-8" in card
    assert "no text" in succeed("export", "--run=runs/binary", "--to=card", "--out=-", cwd=folder)
    page = charrnn("export", "--run", "runs/stream", "--to", "html", cwd=folder)
    assert page.returncode == 2
    assert "the page reads characters, and runs/stream reads bytes" in page.stderr


def test_the_list_of_runs_says_what_a_loss_is_per(folder: Path) -> None:
    runs = succeed_json("runs", cwd=folder)["runs"]
    assert {each["unit"] for each in runs} == {"byte"}
    assert "/byte" in succeed("runs", cwd=folder)


def test_settings_about_characters_are_refused_by_name(folder: Path) -> None:
    done = charrnn("prepare", "text", "--set=data.unit=byte", "--set=data.min_count=2", cwd=folder)
    assert done.returncode == 2
    assert "data.min_count: is about characters, and data.unit is byte" in done.stderr
