"""Every example of every `--help`, run as it stands, with trainings cut short."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.cli_reference import cli_reference
from tests.cli.process import ROOT, SECONDS, charrnn, environment_with_command, succeed
from tests.corpora import prose
from tests.models import write_run

SMALL = (
    *("--set=model.hidden_size=8", "--set=model.embedding_size=4", "--set=train.threads=1"),
    *("--set=train.precision=float32", "--set=train.kernel=torch", "--set=train.batch_size=4"),
    *("--set=train.sequence_length=16", "--set=train.optimizer=adamw", "--set=train.steps=4"),
)
POEMS = "Once upon a time. To be, or ROMEO:\n" + prose(5000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples speak of: texts, a run of text and one of names."""
    folder = tmp_path_factory.mktemp("work")
    for name in (
        "poems.txt",
        "poem.txt",
        "diary.txt",
        "letters/first.txt",
        "monday.log",
        "server.log",
        "enwik8",
        "notes/a.md",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(POEMS)
    (folder / "tunes.abc").write_text("\n\n".join(f"X:{n}\nabc|{prose(40)}" for n in range(40)))
    (folder / "openings.txt").write_text("Once\nTo be\n")
    shutil.copytree(ROOT / "configs", folder / "configs")
    write_run(folder / "runs" / "names", lines=True)
    for name, cell in (("rnn", "rnn"), ("lstm", "lstm"), ("shakespeare", "lstm")):
        run = ("--out", f"runs/{name}", f"--set=model.cell={cell}")
        succeed("train", "poems.txt", *run, *SMALL, cwd=folder)
    return folder


def cut_short(example: str) -> str:
    """A training of few steps, on a text that is at hand."""
    if "--config shakespeare" in example:
        example += " --set data.source=poems.txt --set data.sha256=null"
    if not example.startswith("charrnn train"):
        return example
    if "--minutes" in example:
        example = re.sub(r"--minutes \S+", "", example)
    return f"{example} {' '.join(SMALL)}" + (
        " --set train.steps=6" if "--resume" in example else ""
    )


def examples() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", cli_reference(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_example_works(folder: Path) -> None:
    assert len(examples()) > 15
    for example in map(cut_short, examples()):
        if re.search(r"[|<*]", example.replace('"[A-Z][a-z]+( [a-z]+){3}[.]"', "")):
            done = in_a_shell(folder, example)
        else:
            done = charrnn(*shlex.split(example)[1:], cwd=folder)
        assert done.returncode == 0, f"{example}\n{done.stderr}"


def in_a_shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment_with_command(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",  # `head -c` may cut a character in two
        check=False,
        timeout=SECONDS,
    )
