"""docs/scaling.md: its commands are understood, its tables are those of the figures measured."""

import importlib
import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from tests.campaigns.namespaces import NoRightsError, two_machines
from tests.cli.process import charrnn
from tests.documents import ROOT

DOCUMENT = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^torchrun .*?(?=  +#|$)", DOCUMENT, re.MULTILINE)

scaling = importlib.import_module("benchmarks.scaling")


@pytest.mark.parametrize("command", COMMANDS)
def test_torchrun_and_charrnn_know_the_options_of_every_command(
    command: str, tmp_path: Path
) -> None:
    """What needs several machines cannot be run here; `make campaign-machines` does the like."""
    options = get_args_parser().parse_args(shlex.split(command)[1:])
    assert options.module
    assert options.training_script == "charrnn"
    arguments = options.training_script_args
    done = charrnn(*arguments, "--print-config", cwd=tmp_path)
    if "--resume" in arguments:
        assert (done.returncode, "runs/large" in done.stderr) == (2, True)
    else:
        assert done.returncode == 0, done.stderr


def test_the_commands_of_both_kinds_are_there() -> None:
    assert [("--standalone" in each, "--nnodes 2" in each) for each in COMMANDS].count(
        (True, False)
    ) == len(COMMANDS) - 2


def test_the_tables_are_those_of_the_figures() -> None:
    figures = json.loads(scaling.FIGURES.read_text())
    assert scaling.with_tables(DOCUMENT, figures) == DOCUMENT


def test_what_is_predicted_falls_with_machines_and_rises_with_the_rate() -> None:
    costs = scaling.Costs.of(json.loads(scaling.FIGURES.read_text()))
    by_machines = [scaling.efficiency("1x512", 20_000, n, 1, costs) for n in (1, 2, 8, 64)]
    by_rate = [scaling.efficiency("1x512", 20_000, 8, rate, costs) for rate in (0.1, 1, 10)]
    assert by_machines[0] == 1
    assert all(after < before for before, after in itertools.pairwise(by_machines))
    assert all(0 < before <= after < 1 for before, after in itertools.pairwise(by_rate))


def test_the_weights_that_are_predicted_for_are_those_of_a_network() -> None:
    from charrnn.config.schema import ModelConfig
    from charrnn.training.model import CharRNN

    model = CharRNN(
        ModelConfig(hidden_size=32, layers=2, embedding_size=scaling.EMBEDDING), scaling.VOCABULARY
    )
    assert sum(each.numel() for each in model.parameters()) == scaling.weights_of("2x32")


def test_without_the_command_ip_it_is_said_that_there_are_no_namespaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoRightsError, match="no network namespaces here"), two_machines():
        pass


def test_another_text_on_another_machine_is_refused_by_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.machines", "--only", "texts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "skipped" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tried"] == {"another text refused": 1}
