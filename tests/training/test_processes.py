"""Training on several processes: the same network as one has, whatever happens to them.

Most of these start processes as torchrun would, from one that has imported torch already; the last
one is torchrun itself. `make campaign-processes` is the long form.
"""

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._C._distributed_c10d import TCPStore

from charrnn.run.reader import read_model
from charrnn.training.process_group import LAUNCHED, pairwise_sum
from tests.campaigns.kills import everything_learned
from tests.campaigns.processes import Disturbed, prepare_folder, settings_of
from tests.cli.process import charrnn, together

FEW = (
    "--set=train.steps=24",
    "--set=train.save_every_steps=10",
    "--set=train.eval_every_steps=8",
    "--set=train.sample_every_steps=10",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_folder(tmp_path / "texts")
    return tmp_path / "texts"


def group(
    commands: Sequence[Sequence[object]], cwd: Path
) -> list[subprocess.CompletedProcess[str]]:
    """Run each command as one of the processes of a group, on one machine."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    size = len(commands)
    places = [
        {
            LAUNCHED: "test",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(store.port),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
            "OMP_NUM_THREADS": "1",
        }
        for rank in range(size)
    ]
    return together(commands, places, cwd)


def train(
    folder: Path, processes: int, threads: int, out: str, *arguments: object
) -> dict[str, Any]:
    """Train, and return all that was learned."""
    command = ("train", *arguments, f"--set=train.threads={threads}", f"--out={out}")
    if not processes:
        assert charrnn(*command, cwd=folder).returncode == 0
    else:
        for done in group([command] * processes, folder):
            assert done.returncode == 0, done.stderr
    return everything_learned(folder / out)


@given(st.integers(0, 5), st.integers(0, 3), st.randoms())
def test_sums_of_neighbours_are_steps_of_the_sum_of_all(
    shares: int, each: int, chance: Any
) -> None:
    processes, parts = shares + 1, 2**each
    values = [torch.tensor([chance.uniform(-1, 1)]) for _ in range(processes * parts)]
    of_processes = [
        pairwise_sum(values[first : first + parts]) for first in range(0, len(values), parts)
    ]
    assert torch.equal(pairwise_sum(of_processes), pairwise_sum(values))


@pytest.mark.parametrize("kind", ["lstm-stream-adamw", "gru-lines-muon"])
def test_two_processes_take_the_steps_of_one_with_two_threads(kind: str, folder: Path) -> None:
    settings = (*settings_of(kind), *FEW)
    one = train(folder, 0, 2, "one", *settings)
    assert train(folder, 2, 1, "two", *settings) == one


def test_two_processes_share_out_the_rows_of_every_network_of_an_ensemble(folder: Path) -> None:
    settings = (*settings_of("lstm-lines-muon"), *FEW, "--set=model.ensemble_size=3")
    one = train(folder, 0, 2, "one", *settings)
    assert train(folder, 2, 1, "two", *settings) == one


def test_four_processes_and_rows_that_no_part_is_left_for(folder: Path) -> None:
    settings = (*settings_of("gru-stream-adamw"), *FEW, "--set=train.batch_size=3")
    one = train(folder, 0, 1, "one", *settings)
    assert train(folder, 4, 1, "four", *settings) == one


def test_a_resumed_training_may_have_another_number_of_processes(folder: Path) -> None:
    settings = (*settings_of("lstm-stream-muon"), *FEW, "--set=train.keep=9")
    whole = train(folder, 2, 1, "run", *settings)
    back = ("train", "--resume", "--from-step=10", "--out=run")

    odd = group([back] * 3, folder)
    assert [done.returncode for done in odd] == [2, 2, 2]
    assert "train.parts is 4, which 3 processes cannot share" in odd[0].stderr
    assert "1, 2 or 4 can" in odd[0].stderr

    assert train(folder, 4, 1, "run", *back[1:3]) == whole
    assert train(folder, 0, 2, "run", *back[1:3]) == whole


def test_only_process_0_speaks(folder: Path) -> None:
    command = ("train", *settings_of("rnn-stream-adamw"), *FEW, "--json")
    first, other = group([command] * 2, folder)
    assert json.loads(first.stdout)["step"] == 24
    assert "next  " in first.stderr
    assert (other.stdout, other.stderr) == ("", "")
    assert [run.name for run in (folder / "runs").iterdir()] == ["default"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("--set=train.batch_size=9", "has train.batch_size 9, process 0 has 8"),
        ("--set=data.source=other.txt", "has a text whose SHA-256 begins with "),
        ("--set=data.source=missing.txt", "process 1: missing.txt: there is no such file"),
        ("--set=data.source=-", "process 1: several processes cannot all read stdin"),
    ],
)
def test_a_process_that_is_not_like_process_0_is_refused_by_name(
    folder: Path, other: str, message: str
) -> None:
    (folder / "other.txt").write_text((folder / "stream.txt").read_text().replace("sea", "eas"))
    command = ("train", *settings_of("rnn-stream-adamw"), *FEW, "--out=run")
    first, second = group([command, (*command, other)], folder)
    assert (first.returncode, second.returncode) == (2, 2)
    assert message in first.stderr
    assert first.stderr.count("error: ") == 1
    assert second.stderr == ""
    assert not (folder / "run").exists()


def test_a_divergence_is_told_once(folder: Path) -> None:
    command = ("train", *settings_of("rnn-stream-adamw"), "--set=train.learning_rate=10")
    command = (*command, "--set=train.clip_norm=1000000", "--set=train.weight_decay=10")
    first, second = group([(*command, "--set=train.steps=3000")] * 2, folder)
    if first.returncode:
        assert "not finite" in first.stderr
        assert second.stderr == ""
    assert first.returncode == second.returncode


def test_minutes_are_one_plan_for_all(folder: Path) -> None:
    settings = ("--set=model.hidden_size=16", "--set=train.optimizer=muon")
    command = ("train", "stream.txt", "--minutes=0.1", "--out=run", *settings)
    first, second = group([command] * 2, folder)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert read_model(folder / "run").card.step > 0


def test_torchrun_begins_anew_after_a_kill_and_one_stop_ends_all(folder: Path) -> None:
    settings = (*settings_of("lstm-stream-adamw"), "--set=train.steps=400")
    whole = train(folder, 0, 1, "whole", *settings)

    disturbed = Disturbed(folder, 2, "run", *settings)
    wait_for(disturbed, "step 40 of")
    assert disturbed.hit(signal.SIGKILL)
    wait_for(disturbed, "continuing after step")
    assert disturbed.hit(signal.SIGTERM)
    assert disturbed.torchrun.wait(60) == 0
    assert "stopped" in disturbed.log.read_text()

    assert charrnn("train", "--resume", "--out=run", cwd=folder).returncode == 0
    assert everything_learned(folder / "run") == whole


def wait_for(disturbed: Disturbed, words: str) -> None:
    """Wait until a training has said something."""
    end = time.monotonic() + 60
    while words not in disturbed.log.read_text():
        assert time.monotonic() < end, disturbed.log.read_text()
        time.sleep(0.02)
