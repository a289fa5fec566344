"""`charrnn train` as a person and a shell meet it."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml

from charrnn.cli.app import SILENT_ENDS, Terminated, _raise_terminated
from charrnn.cli.train_signals import stopping_at_signals
from charrnn.cli.train_view import PlainView
from charrnn.console import Console
from charrnn.run import read_model
from charrnn.training.events import Evaluated, Started
from charrnn.training.trainer import StopRequest
from tests.cli.process import charrnn, start, succeed, succeed_json
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


def begin_for_ever(folder: Path) -> subprocess.Popen[str]:
    """Start an endless training and wait until it has taken steps."""
    process = start("train", "--config", "sea.yaml", *SMALL, FOR_EVER, cwd=folder)
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resume_goes_on(folder: Path, number: int, code: int) -> None:
    process = begin_for_ever(folder)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == code, said
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
    answer = succeed_json("train", "--config", "sea.yaml", *SMALL, "--minutes", "0.08", cwd=folder)
    config = yaml.safe_load((folder / "runs/sea/config.yaml").read_text())
    assert answer["reason"] == "steps done"
    assert config["train"]["steps"] == answer["step"] > 20


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


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ((signal.SIGINT, signal.SIGINT), 130),
        ((signal.SIGTERM, signal.SIGTERM), 143),
        ((signal.SIGINT, signal.SIGTERM), 143),
    ],
)
def test_a_second_signal_ends_at_once_as_that_signal_does(
    signals: tuple[int, int], code: int
) -> None:
    stop = StopRequest()
    expected = KeyboardInterrupt if signals[1] == signal.SIGINT else Terminated
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, _raise_terminated),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    try:
        with stopping_at_signals(stop, Console(quiet=True)) as codes:
            signal.raise_signal(signals[0])
            assert stop.made
            assert codes == [130 if signals[0] == signal.SIGINT else 143]
            with pytest.raises(expected):
                signal.raise_signal(signals[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert SILENT_ENDS[expected] == code


def test_a_ctrl_c_that_a_script_wants_ignored_is_ignored() -> None:
    stop = StopRequest()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping_at_signals(stop, Console(quiet=True)):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert not stop.made


def test_a_log_reader_that_has_gone_does_not_stop_the_training(folder: Path) -> None:
    """As in `charrnn train 2>&1 | tee log`, where Ctrl-C ends tee first."""
    with begin_for_ever(folder) as process:
        assert process.stderr
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert (folder / "runs/sea/last/state.safetensors").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_wrong_input(folder: Path) -> None:
    done = charrnn("train", "--config", "sea.yaml", "--set=train.device=cuda", cwd=folder)
    assert done.returncode == 2
    assert "no GPU" in done.stderr
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
    view = PlainView(Console())
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


def test_resuming_what_is_done_says_so(folder: Path) -> None:
    succeed("train", "--config", "sea.yaml", *SMALL, cwd=folder)
    done = charrnn("train", "--resume", cwd=folder)
    assert done.returncode == 0
    assert "all 20 steps were done before" in done.stderr
