"""`charrnn train` as a person and a shell meet it."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from charrnn.cli.app import run
from charrnn.cli.signals import EXIT_CODES, HeldSignals, Interrupted, raise_in_main_thread
from charrnn.cli.train_display import TrainingView, sparkline
from charrnn.console import Console
from charrnn.processors import processor_count
from charrnn.run.reader import read_model
from charrnn.tensors import parse_described
from charrnn.training.events import Evaluated, Started
from tests.cli.process import (
    COMMAND,
    Command,
    charrnn,
    forked_command,
    succeed,
    succeed_json,
)
from tests.corpora import prose

SMALL = (
    "--set=model.hidden_size=16",
    "--set=model.embedding_size=8",
    "--set=train.threads=1",
    "--set=train.precision=float32",
    "--set=train.batch_size=4",
    "--set=train.sequence_length=16",
)
FOR_EVER = "--set=train.steps=100000000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sea.txt").write_text(prose(4000))
    (tmp_path / "sea.yaml").write_text("data: {source: sea.txt}\ntrain: {steps: 20}\n")
    return tmp_path


def begin_for_ever(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start an endless training and wait until it has taken steps."""
    process = Command("train", "--config", "sea.yaml", *SMALL, FOR_EVER, *options, cwd=folder)
    metrics = folder / "runs/sea/metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    assert process.poll() is None, process.stderr and process.stderr.read()
    return process


def test_it_prepares_trains_and_says_what_to_do_next(folder: Path) -> None:
    done = charrnn("train", "--config", "sea.yaml", *SMALL, cwd=folder)

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "charrnn generate --run runs/sea" in done.stderr
    assert "bits per character" in done.stderr
    model = read_model(folder / "runs/sea")
    assert model.card.step == 20
    config = yaml.safe_load((folder / "runs/sea/config.yaml").read_text())
    assert config["train"]["learning_rate"] == 0.004
    assert config["train"]["batch_size"] == 4


@pytest.mark.parametrize(
    ("sources", "run_name"),
    [
        (["sea.txt"], "sea"),
        (["sea.txt", "more/land.txt"], "sea"),
        (["more"], "more"),
        (["-"], "stdin"),
    ],
    ids=["a file", "two files", "a folder", "stdin"],
)
def test_a_text_is_trained_on_by_naming_it(sources: list[str], run_name: str, folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more/land.txt").write_text(prose(3000, seed=1))
    steps = "--set=train.steps=2"
    done = charrnn("train", *sources, *SMALL, steps, cwd=folder, stdin=prose(3000))
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((folder / "runs" / run_name / "config.yaml").read_text())
    assert config["data"]["source"] == (sources if len(sources) > 1 else sources[0])
    settings = [f"--set=data.source={json.dumps(sources)}", "--out=again"]
    done = charrnn("train", *settings, *SMALL, steps, cwd=folder, stdin=prose(3000))
    assert done.returncode == 0, done.stderr
    digests = [
        read_model(folder / path).card.weights_sha256 for path in (f"runs/{run_name}", "again")
    ]
    assert digests[0] == digests[1]


def test_a_named_text_replaces_that_of_the_configuration(folder: Path) -> None:
    (folder / "land.txt").write_text(prose(3000, seed=1))
    printed = succeed("train", "land.txt", "--config", "sea.yaml", "--print-config", cwd=folder)
    assert yaml.safe_load(printed)["data"]["source"] == "land.txt"


@pytest.mark.parametrize(
    "name", ["a b.txt", "it's.txt", '"q".txt', "#1.txt", "[x].txt", "über.txt"]
)
def test_any_name_of_a_file_can_be_named(name: str, folder: Path) -> None:
    printed = succeed("train", name, "--print-config", cwd=folder)
    assert yaml.safe_load(printed)["data"]["source"] == name


def test_a_run_is_resumed_by_the_name_of_its_text(folder: Path) -> None:
    succeed("train", "sea.txt", *SMALL, "--set=train.steps=2", cwd=folder)
    (folder / "land.txt").write_text(prose(3000, seed=1))
    succeed("train", "land.txt", *SMALL, "--set=train.steps=2", cwd=folder)
    more = ("train", "sea.txt", "--resume", "--set=train.steps=3")
    assert succeed_json(*more, cwd=folder)["run"] == "runs/sea"


def test_trained_again_it_makes_another_run_and_the_same_weights(folder: Path) -> None:
    answers = [succeed_json("train", "--config", "sea.yaml", *SMALL, cwd=folder) for _ in range(2)]
    assert [answer["run"] for answer in answers] == ["runs/sea", "runs/sea-2"]
    assert answers[0]["valid_loss_nats"] == answers[1]["valid_loss_nats"]
    digests = {read_model(folder / answer["run"]).card.weights_sha256 for answer in answers}
    assert len(digests) == 1


def test_quiet_says_nothing(folder: Path) -> None:
    done = charrnn("train", "--config", "sea.yaml", *SMALL, "--quiet", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_print_config_prints_every_default_and_trains_nothing(folder: Path) -> None:
    printed = succeed("train", "--config", "sea.yaml", "--print-config", cwd=folder)
    config = yaml.safe_load(printed)
    assert config["data"]["source"] == "sea.txt"
    assert config["train"]["steps"] == 20
    assert set(config) == {"data", "model", "train", "generate"}
    assert not (folder / "runs").exists()


def test_a_run_that_exists_is_not_overwritten(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine/thesis.txt").write_text("do not touch")
    done = charrnn("train", "--config", "sea.yaml", *SMALL, "--out", "mine", cwd=folder)
    assert done.returncode == 2
    assert "mine exists already" in done.stderr
    assert [path.name for path in (folder / "mine").iterdir()] == ["thesis.txt"]


def test_a_signal_saves_and_resume_goes_on(folder: Path) -> None:
    process = begin_for_ever(folder)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert "charrnn train --resume --out runs/sea" in said
    assert "Traceback" not in said
    lines = (folder / "runs/sea/metrics.jsonl").read_text().splitlines()
    stopped_at = json.loads(lines[-1])["step"]
    answer = succeed_json(
        "train", "--resume", "--set", f"train.steps={stopped_at + 60}", cwd=folder
    )
    assert answer["run"] == "runs/sea"
    assert answer["step"] == stopped_at + 60
    assert read_model(folder / "runs/sea").card.step > 0


def test_a_second_training_in_the_same_run_is_refused_and_a_kill_frees_it(folder: Path) -> None:
    process = begin_for_ever(folder)
    refused = charrnn("train", "--resume", "--out", "runs/sea", cwd=folder)
    assert refused.returncode == 2
    assert "another training is at work" in refused.stderr
    process.kill()
    process.communicate()
    goes_on = charrnn("train", "--resume", "--set", "train.steps=3", cwd=folder)
    assert goes_on.returncode == 0, goes_on.stderr


def test_resuming_with_another_batch_size_is_refused_and_named(folder: Path) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    done = charrnn("train", "--resume", "--set", "train.batch_size=8", cwd=folder)
    assert done.returncode == 2
    assert "train.batch_size: 4 -> 8" in done.stderr


def test_resuming_with_another_text_is_refused(folder: Path) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    (folder / "sea.txt").write_text(prose(4000, seed=1))
    done = charrnn("train", "--resume", "--set", "train.steps=40", cwd=folder)
    assert done.returncode == 2
    assert "corpus is not the one" in done.stderr


def test_a_text_that_was_moved_is_the_same_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run(["train", "--config=sea.yaml", *SMALL]) == 0
    (folder / "sea.txt").rename("ocean.txt")
    more = ["train", "--resume", "--set=train.steps=22"]
    Path("data").rename("elsewhere")
    assert run(more) == 2
    err = capsys.readouterr().err
    assert "sea.txt: there is no such file" in err
    assert "--set data.source=PATH" in err
    assert run([*more, "--set=data.source=ocean.txt"]) == 0
    (folder / "ocean.txt").write_text(prose(4000, seed=1))
    assert run(["train", "--resume", "--set=train.steps=24"]) == 2
    assert "corpus is not the one" in capsys.readouterr().err


def test_a_text_that_is_gone_is_taken_as_it_was_prepared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run(["train", "--config=sea.yaml", *SMALL]) == 0
    (folder / "sea.txt").unlink()
    capsys.readouterr()
    assert run(["train", "--resume", "--set=train.steps=22", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["step"] == 22
    assert "sea.txt cannot be read again; the text is taken from data/prepared/sea-" in err


def test_a_text_from_a_process_substitution_is_resumed_and_scored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a text is named /dev/fd/63, which another process does not have."""
    monkeypatch.chdir(folder)
    reader, writer = os.pipe()
    os.write(writer, prose(4000).encode())
    os.close(writer)
    source = f"--set=data.source=/dev/fd/{reader}"
    assert run(["train", "--out=run", *SMALL, source, "--set=train.steps=3"]) == 0
    os.close(reader)
    assert run(["train", "--resume", "--out=run", "--set=train.steps=5"]) == 0
    assert run(["eval", "--run=run"]) == 0
    assert [path.name[:5] for path in Path("data/prepared").iterdir()] == ["pipe-"]


def test_a_folder_of_poems_stays_the_same_text_when_charrnn_works_in_it(folder: Path) -> None:
    poems = folder / "poems"
    poems.mkdir()
    (poems / "a.txt").write_text(prose(3000))
    (poems / "b.txt").write_text(prose(3000, seed=1))
    train = ("train", *SMALL, "--set=data.source=.", "--set=train.steps=3", "--out=my model")
    first = succeed_json(*train, cwd=poems)
    (poems / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    prepared = succeed_json("prepare", ".", cwd=poems)
    assert [source["name"] for source in prepared["sources"]] == ["a.txt", "b.txt"]
    assert prepared["fresh"] is False
    assert prepared["left_out"] == ["picture.png is a PNG image"]
    resumed = succeed_json("train", "--resume", "--out=my model", "--set=train.steps=5", cwd=poems)
    assert (first["step"], resumed["step"]) == (3, 5)
    (poems / "c.txt").write_text(prose(3000, seed=2))
    changed = charrnn("train", "--resume", "--out=my model", "--set=train.steps=7", cwd=poems)
    assert changed.returncode == 2
    assert "corpus is not the one" in changed.stderr
    assert 'the text "' not in changed.stderr


def test_a_prepared_text_is_a_source_and_says_how_it_was_read(folder: Path) -> None:
    path = succeed("prepare", "sea.txt", "--set=data.mode=lines", cwd=folder).strip()
    prepared = f"--set=data.source={path}"
    train = ("train", "--out=run", *SMALL[:-1], "--set=train.steps=3", prepared)
    refused = charrnn(*train, "--set=data.mode=stream", cwd=folder)
    assert refused.returncode == 2
    assert 'was prepared with data.mode="lines"' in refused.stderr
    succeed(*train, cwd=folder)
    assert yaml.safe_load((folder / "run/config.yaml").read_text())["data"]["mode"] == "lines"
    (folder / "sea.txt").unlink()
    assert succeed_json("eval", "--run=run", cwd=folder)["mode"] == "lines"
    succeed("train", "--resume", "--out=run", "--set=train.steps=4", cwd=folder)


def test_prepared_texts_live_where_one_says(folder: Path, tmp_path: Path) -> None:
    train = ("train", "--out=run", *SMALL, "--set=data.source=sea.txt", "--set=train.steps=3")
    succeed(*train, f"--data-dir={tmp_path}/kept", cwd=folder)
    assert not (folder / "data").exists()
    (folder / "sea.txt").unlink()
    for command in (
        ("eval", "--run=run"),
        ("train", "--resume", "--out=run", "--set=train.steps=4"),
        ("generate", "--run=run", "--novelty=5", "--length=10"),
    ):
        assert charrnn(*command, cwd=folder).returncode == 2
        succeed(*command, f"--data-dir={tmp_path}/kept", cwd=folder)


def test_a_text_from_stdin_is_not_waited_for_again(folder: Path) -> None:
    train = ("train", "--out=run", *SMALL, "--set=data.source=-", "--set=train.steps=3")
    charrnn(*train, cwd=folder, stdin=prose(4000))
    answer = succeed_json("train", "--resume", "--out=run", "--set=train.steps=5", cwd=folder)
    assert answer["step"] == 5


def test_more_steps_and_another_rate_are_allowed_and_recorded(folder: Path) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    more = ("--set=train.steps=40", "--set=train.learning_rate=0.001")
    done = charrnn("train", "--resume", *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "train.steps: 20 -> 40" in done.stderr
    config = yaml.safe_load((folder / "runs/sea/config.yaml").read_text())
    assert (config["train"]["steps"], config["train"]["learning_rate"]) == (40, 0.001)


def test_weights_that_explode_end_with_advice_and_the_best_is_kept(folder: Path) -> None:
    """A decay of 10 at a rate of 10 multiplies every weight by -99, step after step."""
    wild = ("--set=train.learning_rate=10", "--set=train.weight_decay=10")
    closely = ("--set=train.eval_every_steps=1", "--set=train.warmup_steps=0")
    done = charrnn(
        "train", "--config", "sea.yaml", *SMALL, *wild, *closely, "--set=train.steps=300", "--json",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert "not finite at step" in done.stderr
    assert "train.learning_rate" in done.stderr
    assert json.loads(done.stdout)["error"]["exit_code"] == 1
    assert read_model(folder / "runs/sea").card.step >= 1


def test_minutes_fixes_the_number_of_steps_and_writes_it_down(folder: Path) -> None:
    (folder / "sea.yaml").write_text(f"data: {{source: sea.txt}}\ntrain: {{steps: {10**8}}}\n")
    done = charrnn("train", "--config=sea.yaml", *SMALL, "--minutes=0.08", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    config = yaml.safe_load((folder / "runs/sea/config.yaml").read_text())
    assert answer["reason"] == "steps done"
    assert 0 < config["train"]["steps"] == answer["step"] < 10**8
    assert (config["model"]["hidden_size"], config["model"]["weight_dropout"]) == (16, 0)
    chosen = next(line for line in done.stderr.splitlines() if "chosen:" in line)
    assert "train.steps=" in chosen
    assert "model." not in chosen


def test_minutes_that_are_too_short_are_refused_with_the_least_that_works(folder: Path) -> None:
    done = charrnn("train", "--config", "sea.yaml", "--minutes=0.001", cwd=folder)
    assert done.returncode == 2
    assert "--minutes 0.001 is too short" in done.stderr
    least = done.stderr.split("the least that works here is --minutes ")[1]
    assert float(least) > 0.001
    assert not (folder / "runs").exists()


def test_what_is_chosen_by_rule_has_the_same_weights_each_time_and_is_told(folder: Path) -> None:
    few = ("--set=train.steps=3", "--set=model.hidden_size=16", "--deterministic")
    told, digests = set(), set()
    for out in ("one", "two"):
        done = charrnn("train", "--config=sea.yaml", *few, f"--out={out}", cwd=folder)
        told |= {line for line in done.stderr.splitlines() if line.startswith("chosen: ")}
        digests.add(read_model(folder / out).card.weights_sha256)
    processors = min(processor_count(), 16)
    rule = (
        f"train.precision=float32 train.kernel=torch train.threads={processors} "
        f"train.parts={processors}"
    )
    assert told == {f"chosen: {rule}"}
    assert len(digests) == 1


def test_what_was_chosen_by_timing_is_written_down_and_gives_the_same_weights_again(
    folder: Path,
) -> None:
    few = ("--set=train.steps=3", "--set=model.hidden_size=16")
    done = charrnn("train", "--config=sea.yaml", *few, "--out=timed", cwd=folder)
    chosen = next(line for line in done.stderr.splitlines() if line.startswith("chosen: "))
    for setting in chosen.split()[1:]:
        section, _, name = setting.partition("=")[0].partition(".")
        written = yaml.safe_load((folder / "timed/config.yaml").read_text())[section][name]
        assert setting.endswith(f"={written}")
    succeed("train", "--config=timed/config.yaml", "--out=again", cwd=folder)
    timed, again = (read_model(folder / run).card for run in ("timed", "again"))
    assert timed.weights_sha256 == again.weights_sha256


def test_what_is_odd_about_a_text_is_told_as_prepare_tells_it(folder: Path) -> None:
    for text, warning in (
        ("a" * 500, "single distinct character"),
        (prose(3000) + "ежик в тумане" * 20, "of the validation part are characters that"),
    ):
        (folder / "sea.txt").write_text(text)
        prepared = charrnn("prepare", "sea.txt", cwd=folder)
        trained = charrnn("train", "--config=sea.yaml", *SMALL, "--overwrite", cwd=folder)
        said = [line for line in prepared.stderr.splitlines() if warning in line]
        assert len(said) == 1
        assert said[0] in trained.stderr.splitlines()


def test_a_validation_loss_that_only_rises_is_remarked_on_with_its_cause(folder: Path) -> None:
    """The network learns never to predict what the validation part consists of."""
    (folder / "sea.txt").write_text(prose(9000) + "ежиквтумане" * 90)
    done = charrnn(
        "train", "--config=sea.yaml", *SMALL, "--set=train.eval_every_steps=5", cwd=folder
    )
    remarks = [line for line in done.stderr.splitlines() if "has only risen" in line]
    assert len(remarks) == 1
    assert "characters that the training part lacks" in remarks[0]


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "soon"])
def test_minutes_that_are_no_time_are_refused(folder: Path, minutes: str) -> None:
    done = charrnn("train", "--config", "sea.yaml", f"--minutes={minutes}", cwd=folder)
    assert done.returncode == 2
    assert "minutes" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_names_the_right_one(folder: Path) -> None:
    done = charrnn("train", "--config", "sea.yaml", "--set", "model.hiden_size=3", cwd=folder)
    assert done.returncode == 2
    assert "hidden_size" in done.stderr


def test_a_missing_configuration_is_named(folder: Path) -> None:
    done = charrnn("train", "--config", "lake.yaml", cwd=folder)
    assert done.returncode == 2
    assert "lake.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_network_too_large_for_the_machine_is_refused_with_its_bytes(folder: Path) -> None:
    sizes = ("--set=model.hidden_size=65536", "--set=model.layers=64")
    done = charrnn("train", "--config", "sea.yaml", *sizes, cwd=folder)
    assert done.returncode == 2
    assert "bytes" in done.stderr
    assert not (folder / "runs").exists()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the handlers of signals back after a test."""
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("first", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_for_a_stop_and_a_second_one_ends_at_once(
    first: int, code: int, second: int
) -> None:
    raise_in_main_thread()
    asked: list[bool] = []
    with HeldSignals(lambda: asked.append(True)) as signals:
        signal.raise_signal(first)
        assert (asked, signals.exit_code) == ([True], code)
        with pytest.raises(Interrupted) as caught:
            signal.raise_signal(second)
    assert asked == [True]
    assert caught.value.exit_code == 128 + second


@pytest.mark.usefixtures("handlers")
def test_a_ctrl_c_that_a_script_wants_ignored_is_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked: list[bool] = []
    raise_in_main_thread()
    with HeldSignals(lambda: asked.append(True)):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert not asked


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_training_whose_log_reader_or_terminal_has_gone_still_saves(
    folder: Path, number: int, code: int
) -> None:
    """As in `charrnn train 2>&1 | tee log`, where Ctrl-C ends tee first, and a closed window."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this signal is ignored here, as under nohup, and so by all that is started")
    with begin_for_ever(folder) as process:
        assert process.stderr
        process.stderr.close()
        process.send_signal(number)
        assert process.wait(timeout=60) == code
    logged = json.loads((folder / "runs/sea/metrics.jsonl").read_text().splitlines()[-1])["step"]
    saved = parse_described((folder / "runs/sea/last/state.safetensors").read_bytes(), source="")
    assert saved.description["progress"]["step"] >= logged > 0


def test_a_second_ctrl_c_ends_at_once_and_leaves_the_last_save_whole(folder: Path) -> None:
    often = ("--set=train.save_every_steps=1", "--set=train.log_every_steps=1")
    process = begin_for_ever(folder, *often)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert any("once more" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert "Traceback" not in said
    lines = (folder / "runs/sea/metrics.jsonl").read_text().splitlines()
    answer = succeed_json(
        "train", "--resume", f"--set=train.steps={json.loads(lines[-1])['step'] + 3}", cwd=folder
    )
    assert answer["reason"] == "steps done"


def test_a_stop_in_the_middle_of_a_validation_is_heard(folder: Path) -> None:
    """The validation split is half of a text so long that almost all time goes there."""
    (folder / "sea.txt").write_text(prose(400_000))
    process = begin_for_ever(
        folder,
        "--set=data.valid_fraction=0.5",
        "--set=train.eval_every_steps=1",
        "--set=train.eval_time_fraction=1",
    )
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "charrnn train --resume" in said


def test_what_is_shown_and_how_often_it_looks_change_nothing_of_what_is_learned(
    folder: Path,
) -> None:
    train = ("train", "--config", "sea.yaml", *SMALL)
    succeed(*train, "--out=plain", cwd=folder)
    more = ("--set=train.eval_every_steps=7", "--set=train.sample_every_steps=3")
    succeed_json(*train, *more, "--quiet", "--out=quiet", cwd=folder)
    reader, terminal = pty.openpty()
    live = subprocess.Popen(
        [*forked_command(), *train, "--out=live"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = _read_to_end(reader)
    assert live.wait() == 0
    assert b"\x1b[" in shown, "a live bar"

    plain, *rest = (
        load_file(folder / run / "last/state.safetensors") for run in ("plain", "quiet", "live")
    )
    assert any(name.startswith("model.") for name in plain)
    for other in rest:
        assert plain.keys() == other.keys()
        assert all(np.array_equal(plain[name], other[name]) for name in plain)


@pytest.mark.parametrize(("mode", "texts"), [("stream", 1), ("lines", 5)])
def test_a_training_shows_and_keeps_what_the_network_writes(
    mode: str, texts: int, folder: Path
) -> None:
    train = ("train", "--config=sea.yaml", *SMALL, f"--set=data.mode={mode}")
    done = charrnn(*train, "--set=train.sample_every_steps=2", "--out=run", cwd=folder)
    lines = (folder / "run/samples.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    steps = [each["step"] for each in samples]
    assert steps == list(range(2, 21, 2))
    assert all(len(each["texts"]) == texts for each in samples)
    assert all(f"step {step:,} writes\n" in done.stderr for step in steps)


def test_a_resumed_training_writes_what_it_would_have_written(folder: Path) -> None:
    train = ("train", "--config=sea.yaml", *SMALL, "--set=train.sample_every_steps=2")
    succeed(*train, "--out=whole", cwd=folder)
    succeed(
        *train, "--set=train.save_every_steps=3", "--set=train.keep=5", "--out=parts", cwd=folder
    )
    succeed("train", "--resume", "--out=parts", "--from-step=9", cwd=folder)
    whole, parts = ((folder / run / "samples.jsonl").read_text() for run in ("whole", "parts"))
    assert whole == parts


def test_tensorboard_shows_the_losses_of_a_training_and_of_its_continuation(folder: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train = ("train", "--config=sea.yaml", *SMALL, "--tensorboard", "--out=run")
    settings = ("--set=train.log_every_steps=5", "--set=train.eval_every_steps=10")
    succeed(*train, *settings, cwd=folder)
    succeed("train", "--resume", "--out=run", "--tensorboard", "--set=train.steps=30", cwd=folder)
    found = events.EventAccumulator(str(folder / "run/tensorboard"))
    found.Reload()
    logged = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    for tag, key in [("loss/train", "train_loss_nats"), ("loss/valid", "valid_loss_nats")]:
        expected = {each["step"]: each[key] for each in logged if key in each}
        shown = {each.step: each.value for each in found.Scalars(tag)}
        assert shown == pytest.approx(expected, rel=1e-6)


def test_tensorboard_that_is_not_installed_is_named_before_anything_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert run(["train", "--config=missing.yaml", "--tensorboard"]) == 2
    assert "pip install 'charrnn-cli[tensorboard]'" in capsys.readouterr().err


def _read_to_end(descriptor: int) -> bytes:
    """What a terminal was sent; that it is closed is an error on Linux, and an end on macOS."""
    content = b""
    with suppress(OSError):
        while piece := os.read(descriptor, 4096):
            content += piece
    os.close(descriptor)
    return content


def test_a_run_from_anothers_weights_says_how_the_characters_compare(folder: Path) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    (folder / "land.txt").write_text("Ähren im the wind\n" * 200)
    settings = ("--set=data.source=land.txt", "--set=train.steps=2")
    done = charrnn("train", "--init-from=runs/sea", *settings, "--out=land", cwd=folder)
    assert done.returncode == 0, done.stderr
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("begun with")]
    assert "runs/sea (step 20)" in told
    assert '"Ä"' in told
    assert told in (folder / "land/config.yaml").read_text().splitlines()[0]
    assert read_model(folder / "land").card.hidden_size == 16

    refused = charrnn(
        "train", "--init-from=runs/sea", *settings, "--set=model.hidden_size=17", cwd=folder
    )
    assert refused.returncode == 2
    assert "model.hidden_size is 16 there and 17 here" in refused.stderr


def test_a_run_is_overwritten_when_that_is_asked_for_and_other_files_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    train = ["train", "--config=sea.yaml", *SMALL, "--out=run"]
    assert run([*train, "--set=train.keep=3"]) == 0
    (folder / "run/notes.txt").write_text("mine")
    assert run([*train, "--set=train.steps=3"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*train, "--set=train.steps=3", "--overwrite"]) == 0
    assert read_model(folder / "run").card.step == 3
    assert (folder / "run/notes.txt").read_text() == "mine"
    assert [path.name for path in (folder / "run/last").iterdir()] == ["state.safetensors"]
    assert run(["train", "--config=sea.yaml", *SMALL, "--overwrite", "--out=."]) == 2


def test_going_back_to_a_kept_save_is_recorded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    kept = ["--set=train.keep=2", "--set=train.save_every_steps=5"]
    assert run(["train", "--config=sea.yaml", *SMALL, *kept, "--out=run"]) == 0
    resume = ["train", "--resume", "--out=run"]
    assert run([*resume, "--from-step=11"]) == 2
    assert "10, 15 or 20" in capsys.readouterr().err
    assert run([*resume, "--from-step=10", "--set=train.learning_rate=0.001"]) == 0
    notes = (folder / "run/config.yaml").read_text().splitlines()[:2]
    assert notes == [
        "# step 10: train.learning_rate: 0.004 -> 0.001",
        "# step 10: gone back to step 10",
    ]
    assert run([*resume, "--set=train.steps=22"]) == 0
    assert (folder / "run/config.yaml").read_text().splitlines()[:3] == [
        *notes, "# step 20: train.steps: 20 -> 22"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ["--resume", "--init-from=run"],
        ["--resume", "--overwrite"],
        ["--from-step=9"],
        ["--init-from=nowhere"],
        ["--minutes=1", "--print-config"],
        ["--minutes=1", "--deterministic"],
        ["--minutes=1", "--set=train.steps = 5"],
        ["sea.txt", "--set=data.source=land.txt"],
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *options]) == 2
    assert "hint:" in capsys.readouterr().err


def test_what_was_killed_before_its_first_save_is_begun_again_in_the_same_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "run/last").mkdir(parents=True)
    (folder / "run/vocabulary.json").write_text("{")
    (folder / "run/last/.state.safetensors.x1.partial").write_text("part")
    assert run(["train", "--resume", "--out=run"]) == 2
    assert "charrnn train --out run` begins it" in capsys.readouterr().err
    assert run(["train", "--config=sea.yaml", *SMALL, "--out=run"]) == 0
    assert [path.name for path in (folder / "run/last").iterdir()] == ["state.safetensors"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_wrong_input(folder: Path) -> None:
    done = charrnn("train", "--config", "sea.yaml", "--set=train.device=cuda", cwd=folder)
    assert done.returncode == 2
    assert "no GPU" in done.stderr
    assert not (folder / "runs").exists()


def test_float16_is_refused_where_there_is_no_gpu(folder: Path) -> None:
    settings = ("--set=train.precision=float16", "--set=train.device=cpu")
    done = charrnn("train", "--config", "sea.yaml", *settings, cwd=folder)
    assert done.returncode == 2
    assert "float16, which is for a GPU" in done.stderr
    assert "hint: precision: auto" in done.stderr
    assert not (folder / "runs").exists()


def test_print_config_of_a_resumed_run_prints_what_it_would_go_on_with(folder: Path) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    printed = succeed("train", "--resume", "--print-config", "--set=train.steps=99", cwd=folder)
    train = yaml.safe_load(printed)["train"]
    assert (train["steps"], train["batch_size"]) == (99, 4)
    assert read_model(folder / "runs/sea").card.step == 20


def test_a_resumed_training_that_begins_with_an_evaluation_shows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = TrainingView(Console())
    view.show(Started("cpu", "float32", 1, steps=20, first_step=20))
    view.show(Evaluated(20, 1.25, 1.25, is_best=True))
    assert capsys.readouterr().err == "step 20 of 20 | valid 1.2500 (best)\n"


@pytest.mark.parametrize("missing", ["last/state.safetensors", "model.json"])
def test_a_run_with_a_part_missing_is_not_trained_over(folder: Path, missing: str) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    weights = (folder / "runs/sea/model.safetensors").read_bytes()
    (folder / "runs/sea" / missing).unlink()
    done = charrnn("train", "--resume", "--set", "train.steps=40", cwd=folder)
    assert done.returncode == 2
    assert missing in done.stderr
    assert (folder / "runs/sea/model.safetensors").read_bytes() == weights


def test_minutes_and_steps_together_are_refused(folder: Path) -> None:
    done = charrnn(
        "train", "--config", "sea.yaml", "--minutes=1", "--set=train.steps=5", cwd=folder
    )
    assert done.returncode == 2
    assert "--minutes" in done.stderr


def test_the_next_command_that_is_named_works_with_any_vocabulary(folder: Path) -> None:
    (folder / "sea.txt").write_text("ab c\n" * 500)
    done = charrnn("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    named = next(line for line in done.stderr.splitlines() if "  next" in line)
    assert named.split() == ["next", "charrnn", "generate", "--run", "runs/sea"]


def test_resuming_what_is_done_says_so_and_what_is_ignored(folder: Path) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    done = charrnn("train", "--resume", "--set=train.workers=2", cwd=folder)
    assert done.stderr.count("train.workers is ignored") == 1
    assert done.returncode == 0
    assert "all 20 steps were done before" in done.stderr


def test_a_time_without_a_size_chooses_one(folder: Path) -> None:
    settled = ("--set=train.threads=1", "--set=train.precision=float32")
    minutes = "--minutes=0.3"  # so small a text is done long before
    done = charrnn("train", "--config", "sea.yaml", *settled, minutes, cwd=folder)
    assert done.returncode == 0, done.stderr
    model = yaml.safe_load((folder / "runs/sea/config.yaml").read_text())["model"]
    card = read_model(folder / "runs/sea").card
    assert model["hidden_size"] * model["ensemble_size"] == card.hidden_size
    for name in ("hidden_size", "dropout"):
        assert f"model.{name}={model[name]}" in done.stderr
    several = model["ensemble_size"] > 1  # one is what it is without being chosen
    assert (f"model.ensemble_size={model['ensemble_size']}" in done.stderr) == several
    assert "train.steps=" in done.stderr  # they are planned anew on the way
    assert model["weight_dropout"] > 0


def test_a_native_kernel_needs_a_compiler_and_says_so(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "train", "--config", "sea.yaml", *SMALL, "--set=train.kernel=native"],
        cwd=folder,
        env={**os.environ, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "C compiler" in done.stderr
    assert "train.kernel=torch" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("losses", "curve"), [([], ""), ([2.0], ""), ([2.0, 2.0], "▁▁"), ([3.0, 2.5, 2.0, 1.0], "█▆▅▁")]
)
def test_the_curve_of_the_losses_goes_from_the_lowest_to_the_highest(
    losses: list[float], curve: str
) -> None:
    assert sparkline(losses) == curve
