"""A partner changes how fast a text comes and nothing else: whether it answers, lags or dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from charrnn.generation.partner import PRODUCTS_BETWEEN, TRIAL_PRODUCTS, Trial
from charrnn.machine import processor_count
from tests.cli.process import COMMAND, SECONDS
from tests.models import write_run

REPOSITORY = Path(__file__).parents[2]
needs_partner = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64" or processor_count() < 2,
    reason="a partner needs Linux on x86-64 and a second processor",
)

PROGRAM = """
import json, os, signal, sys
from dataclasses import replace
import numpy as np
from charrnn.generation import partner
from charrnn.inference.network import NumpyNetwork, stepper_for
from tests.models import DEFAULT_CARD, random_weights

partner.LEAST_BYTES = 0
partner._withdraw = lambda: None  # on a busy machine, the lowest priority may be for ever
case, cell, layers, hidden = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
card = replace(DEFAULT_CARD, cell=cell, layers=layers, hidden_size=hidden)
network = NumpyNetwork(random_weights(card, scale=0.3), card)
alone, paired = stepper_for(network, 1), partner.PairedStepper(network)
helper, answers = paired.partner, partner.Partner.answers
helped = 0

def patient(self, number, *, latest):
    global helped
    answered = answers(self, number, latest=latest if case == "killed" else float("inf"))
    helped += answered
    return answered

partner.Partner.answers = patient
same = True
for step in range(60):
    if case == "killed" and step == 20:
        os.kill(helper.process, signal.SIGKILL)  # and it is still to be ended after that
    for each in (alone, paired):
        each.read(step % 30)
    same &= np.array_equal(alone.predict(), paired.predict())
    same &= np.array_equal(alone.state(), paired.state())
paired.close()
print(json.dumps({"same": bool(same), "helped": helped, "shared": len(helper.products)}))
"""


@needs_partner
@pytest.mark.parametrize(
    ("cell", "layers", "hidden", "shared"),
    [("lstm", 2, 64, 2), ("gru", 2, 64, 3), ("rnn", 1, 256, 1)],
)
@pytest.mark.parametrize("case", ["patient", "killed"])
def test_every_bit_is_the_same_with_a_partner(
    case: str, cell: str, layers: int, hidden: int, shared: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, case, cell, str(layers), str(hidden)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["same"]
    assert told["shared"] == shared
    assert case == "killed" or told["helped"] > 0


@pytest.fixture(scope="module")
def large_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose products are worth sharing."""
    return write_run(tmp_path_factory.mktemp("runs") / "large", hidden_size=256)


def endless(run: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "generate", "--run", str(run), "--rng-seed", "1", "--forever"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read(process: subprocess.Popen[bytes], size: int) -> bytes:
    assert process.stdout is not None
    text = b""
    while len(text) < size:
        text += os.read(process.stdout.fileno(), size - len(text))
    return text


def partner_of(process: subprocess.Popen[bytes]) -> int:
    """The partner's process, once there is one."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: children.read_text() != "")
    return int(children.read_text())


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def is_gone(number: int) -> bool:
    """Whether a process has ended, though nobody may have asked for its exit code."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@needs_partner
def test_a_partner_that_is_stopped_holds_nothing_up_and_changes_no_text(large_run: Path) -> None:
    process = endless(large_run)
    text = read(process, 3000)
    partner = partner_of(process)
    os.kill(partner, signal.SIGSTOP)
    text += read(process, 3000)
    os.kill(partner, signal.SIGCONT)
    text += read(process, 3000)
    os.kill(partner, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SECONDS)[1] == b""
    assert process.returncode == 130
    wait_until(lambda: is_gone(partner))
    alone = [*COMMAND, "generate", "--run", str(large_run), "--rng-seed", "1", "--length", "9000"]
    assert subprocess.run(alone, capture_output=True, check=True).stdout == text


@needs_partner
def test_a_partner_leaves_when_its_text_is_killed(large_run: Path) -> None:
    process = endless(large_run)
    partner = partner_of(process)
    process.kill()
    process.communicate()
    wait_until(lambda: is_gone(partner))


@pytest.mark.parametrize("helps", [True, False])
def test_after_a_trial_of_both_ways_the_quicker_one_is_taken_until_the_next(helps: bool) -> None:
    trial = Trial()
    ways = []
    for _ in range(2 * (2 * TRIAL_PRODUCTS + PRODUCTS_BETWEEN)):
        ways.append(trial.with_help)
        trial.note(1.0 if trial.with_help == helps else 2.0)
    once = [True] * TRIAL_PRODUCTS + [False] * TRIAL_PRODUCTS + [helps] * PRODUCTS_BETWEEN
    assert ways == 2 * once
