"""`charrnn train` as a person and a shell meet it."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from charrnn.run import read_model
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
        pass
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
