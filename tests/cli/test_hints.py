"""Every command that a hint names works where the hint is shown.

The commands are looked for in the source: one that nothing here provokes fails the tests.
"""

import ast
import contextlib
import io
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charrnn.cli.train_display import end_report
from charrnn.console import Console
from charrnn.errors import UserError
from charrnn.text.corpus import read_manifest
from charrnn.training.events import Finished
from tests.cli.process import Command, charrnn, succeed
from tests.corpora import prose

PACKAGE = Path(__file__).parents[2] / "charrnn"
SMALL = (
    *("--set=model.hidden_size=8", "--set=model.embedding_size=4", "--set=train.threads=1"),
    *("--set=train.precision=float32", "--set=train.kernel=torch", "--set=train.batch_size=4"),
    *("--set=train.sequence_length=16", "--set=train.eval_every_steps=10"),
)
RUN = "my runs/the sea's"
"""A name that works in a shell only if it is quoted."""
TRAIN = ("train", "sea.txt", *SMALL, "--set=train.keep=2", "--set=train.save_every_steps=5")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and a run of 20 steps."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "sea.txt").write_text(prose(4000))
    (folder / "land.txt").write_text(prose(4000, seed=1))
    succeed(*TRAIN, "--out", RUN, "--set=train.steps=20", cwd=folder)
    return folder


def said(folder: Path, *arguments: object) -> str:
    return charrnn(*arguments, cwd=folder).stderr


# --- Situations: what is wrong, and what is said ------------------------------------------------


def nothing_is_trained(folder: Path) -> str:
    return said(folder, "eval")


def a_run_is_there(folder: Path) -> str:
    return said(folder, *TRAIN, "--out", RUN)


def a_training_is_stopped(folder: Path) -> str:
    return _end_a_training(folder, signal.SIGINT)


def a_training_is_killed_before_its_first_evaluation(folder: Path) -> str:
    _end_a_training(folder, signal.SIGKILL)
    return said(folder, "eval", "--run", "new run")


def _end_a_training(folder: Path, number: int) -> str:
    endless = ("--set=train.steps=1000000", "--set=train.eval_every_steps=1000000")
    process = Command(*TRAIN, *endless, "--out", "new run", cwd=folder)
    while not (folder / "new run/config.yaml").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    return process.communicate(timeout=60)[1]


def a_training_is_killed_before_its_first_save(folder: Path) -> str:
    (folder / "new run").mkdir()
    shutil.copy(folder / RUN / "vocabulary.json", folder / "new run")
    return said(folder, "train", "--resume", "--out", "new run")


def the_last_save_is_damaged(folder: Path) -> str:
    (save,) = (file for file in (folder / RUN / "last").iterdir() if "-" not in file.name)
    save.write_bytes(save.read_bytes()[:100])
    return said(folder, "train", "--resume", "--out", RUN)


def all_steps_are_done(folder: Path) -> str:
    return said(folder, "train", "--resume", "--out", RUN)


def the_patience_has_run_out(folder: Path) -> str:
    still = ("--set=train.patience=1", "--set=train.learning_rate=1e-30", "--set=train.steps=40")
    succeed(*TRAIN, *still, "--out", "new run", cwd=folder)
    return said(folder, "train", "--resume", "--out", "new run")


def more_time_is_wanted(folder: Path) -> str:
    (folder / "my runs").rename(folder / "runs")
    return said(folder, "train", "--resume", "--minutes", 1)


def the_prepared_text_is_gone(folder: Path) -> str:
    shutil.rmtree(folder / "data")
    return said(folder, "generate", "--run", RUN, "--novelty", 5)


def the_text_is_gone(folder: Path) -> str:
    shutil.rmtree(folder / "data")
    (folder / "sea.txt").rename(folder / "ocean.txt")
    return said(folder, "eval", "--run", RUN)


def a_text_from_a_pipe_is_not_prepared(folder: Path) -> str:
    text = (folder / "land.txt").read_text()
    done = charrnn(
        "train", "-", *SMALL, "--out", "a run", "--set=train.steps=3", cwd=folder, stdin=text
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "data")
    return said(folder, "eval", "--run", "a run")


def a_card_leaves_folders_out(folder: Path) -> str:
    (folder / "my texts").mkdir()
    shutil.copy(folder / "sea.txt", folder / "my texts")
    succeed(
        "train", "my texts/sea.txt", *SMALL, "--out=new run", "--set=train.steps=10", cwd=folder
    )
    return said(folder, "export", "--run", "new run", "--to", "card")


def the_time_ended_before_the_whole_validation(folder: Path) -> str:
    """Depends on a clock, so the end of such a training is told without training."""
    finished = Finished(
        reason="steps done", step=20, chars=1, seconds=1.0, best_step=20, best_loss_nats=2.0,
        estimated_from=500, clipped_fraction=0.0, saving_seconds=0.0,
    )  # fmt: skip
    trainer: Any = SimpleNamespace(
        writer=SimpleNamespace(path=Path(RUN)),
        batches=SimpleNamespace(carries_state=False),
        corpus=SimpleNamespace(vocabulary=SimpleNamespace(unit="character")),
    )
    with contextlib.redirect_stderr(io.StringIO()) as told:
        end_report(finished, trainer, Console())
    return told.getvalue()


def no_corpus_is_named(folder: Path) -> str:
    return said(folder, "prepare")


def a_folder_is_not_prepared(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_manifest(folder)
    return caught.value.hint


def a_seed_has_no_quotation_marks(folder: Path) -> str:
    (folder / "my runs").rename(folder / "runs")
    return said(folder, "generate", "the", "sea")


def an_option_is_unknown(folder: Path) -> str:
    return said(folder, "eval", "--bogus")


def an_option_has_no_value(folder: Path) -> str:
    told = said(folder, "train", "--config")
    assert "`charrnn train --help`" in told
    return told


def a_command_is_unknown(folder: Path) -> str:
    return said(folder, "fly")


def a_setting_is_unknown(folder: Path) -> str:
    return said(folder, "train", "--set", "train.speed=9")


def a_run_is_misspelled(folder: Path) -> str:
    shutil.copytree(folder / "my runs", folder / "runs")
    return said(folder, "generate", "--run", "land")


def a_run_to_resume_is_not_there(folder: Path) -> str:
    shutil.copytree(folder / "my runs", folder / "runs")
    return said(folder, "train", "--resume", "--out", "runs/nowhere")


SITUATIONS: list[Callable[[Path], str]] = [
    nothing_is_trained,
    a_run_is_there,
    a_training_is_stopped,
    a_training_is_killed_before_its_first_evaluation,
    a_training_is_killed_before_its_first_save,
    the_last_save_is_damaged,
    all_steps_are_done,
    the_patience_has_run_out,
    more_time_is_wanted,
    the_prepared_text_is_gone,
    the_text_is_gone,
    a_text_from_a_pipe_is_not_prepared,
    a_card_leaves_folders_out,
    the_time_ended_before_the_whole_validation,
    no_corpus_is_named,
    a_folder_is_not_prepared,
    a_seed_has_no_quotation_marks,
    an_option_is_unknown,
    an_option_has_no_value,
    a_command_is_unknown,
    a_setting_is_unknown,
    a_run_is_misspelled,
    a_run_to_resume_is_not_there,
]


NO_HINTS = {"app.py", "card.py"}
"""Where other texts are: the help of `charrnn` itself, a README for another machine."""


# --- What is named is run -----------------------------------------------------------------------


def commands_in(text: str) -> list[str]:
    return re.findall("`(charrnn [^`]+)`", text)


def runnable(command: str) -> list[str]:
    """The words of a command, what stands for something filled in, trainings cut short."""
    placeholders = {"FILE": "land.txt", "N": "30", "COMMAND": "eval"}
    words = shlex.split(re.sub(r"\b(FILE|N|COMMAND)\b", lambda m: placeholders[m[0]], command))[1:]
    if words[0] == "train" and "train.steps" not in command and "--print-config" not in command:
        words += ["--set=train.steps=30", *(() if "--resume" in words else SMALL)]
    return words


def test_every_command_that_a_hint_names_works_where_it_is_shown(
    trained: Path, tmp_path: Path
) -> None:
    told = {}
    for provoke in SITUATIONS:
        folder = shutil.copytree(trained, tmp_path / provoke.__name__)
        told[provoke.__name__] = commands = commands_in(provoke(folder))
        assert commands, provoke.__name__
        for command in commands:
            done = charrnn(*runnable(command), cwd=folder)
            assert done.returncode == 0, f"{provoke.__name__}: {command}\n{done.stderr}"
    provoked = [command for commands in told.values() for command in commands]
    for place, pattern in named_commands():
        assert any(map(pattern.fullmatch, provoked)), f"{place}: nothing above provokes it"


def named_commands() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every command in backticks in a text of the package, and a pattern of what it becomes.

    Docstrings and help texts are no hints.
    """
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inside = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
            for part in node.values
        }  # fmt: skip
        for node in ast.walk(tree):
            if id(node) in alone | inside or file.name in NO_HINTS:
                continue
            for command in re.findall("`(charrnn [^`]+)`", _pattern_of(node)):
                yield f"{file.name}: {command}", re.compile(command)


def _pattern_of(node: ast.AST) -> str:
    """The text of a string, `.+` for each of its parts that is computed."""
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text).replace("\\ ", " ")
        case ast.JoinedStr(values=parts):
            return "".join(_pattern_of(part) for part in parts)
        case ast.FormattedValue():
            return ".+"
    return ""
