"""`charrnn export` from outside: what it writes where, what it says, what it refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from charrnn.run.reader import read_model
from charrnn.run.writer import RunWriter
from tests.cli.process import ROOT, charrnn, succeed, succeed_json
from tests.corpora import prose
from tests.models import write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was trained on a text in another folder."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "attic").mkdir()
    text = folder / "attic" / "verse.txt"
    text.write_text(prose(6000))
    settings = ["model.hidden_size=16", "train.steps=6", "train.threads=1"]
    succeed(
        *("train", "--out", "runs/verse", "--set", f"data.source={text}"),
        *(f"--set={each}" for each in settings),
        cwd=folder,
    )
    return folder


def test_a_page_is_written_here_under_the_runs_name_and_its_path_is_printed(folder: Path) -> None:
    assert succeed("export", "--to", "html", cwd=folder) == "verse.html\n"
    page = (folder / "verse.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<title>verse</title>" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert str(folder) not in page


def test_bfloat16_halves_the_weights_and_its_loss_is_measured(folder: Path) -> None:
    wide = succeed_json("export", "--to", "html", "-o", "wide.html", cwd=folder)
    done = charrnn(
        *("export", "--to", "html", "-o", "half.html", "--weights", "bfloat16", "--json"),
        cwd=folder,
    )
    half = json.loads(done.stdout)
    parameters = wide["bytes"] - half["bytes"]
    weights = (folder / "wide.html").read_text().split('id="weights">')[1].split("<")[0]
    assert parameters == pytest.approx(len(weights) / 2, rel=0.01)
    measured = succeed_json("eval", cwd=folder)
    assert half["loss_nats_float32"] == pytest.approx(measured["loss_nats"], abs=1e-6)
    assert 0 < abs(half["loss_nats_bfloat16"] - half["loss_nats_float32"]) < 0.01
    assert half["chars"] == measured["chars"]
    assert f"{half['loss_nats_bfloat16']:.4f}" in done.stderr


def test_the_loss_is_not_made_up_where_the_text_is_gone(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    done = charrnn(
        *("export", "--run", "run", "--to", "html", "--weights", "bfloat16", "--json"), cwd=tmp_path
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["loss_nats_bfloat16"] is None
    assert "was not measured" in done.stderr


def test_onnx_is_written_after_it_was_compared(folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    answer = succeed_json("export", "--to", "onnx", cwd=folder)
    assert answer["path"] == "verse.onnx"
    assert answer["largest_difference"] < 1e-5
    assert (folder / "verse.onnx").stat().st_size == answer["bytes"]


def test_a_card_makes_the_run_a_model_repository_without_local_paths(
    folder: Path, tmp_path: Path
) -> None:
    subprocess.run(["cp", "-r", folder / "runs" / "verse", tmp_path / "verse"], check=True)
    done = charrnn("export", "--run", tmp_path / "verse", "--to", "card", cwd=folder)
    assert done.returncode == 0, done.stderr
    published = [path for path in (tmp_path / "verse").iterdir() if path.is_file()]
    assert {"README.md", "config.yaml", "model.json"} <= {path.name for path in published}
    for path in published:
        assert b"attic" not in path.read_bytes(), path.name
    config = yaml.safe_load((tmp_path / "verse" / "config.yaml").read_text())
    assert config["data"]["source"] == "verse.txt"
    assert f"--set data.source={folder}/attic/verse.txt" in done.stderr
    again = succeed_json("eval", "--run", tmp_path / "verse", cwd=folder)
    assert again["loss_nats"] == pytest.approx(succeed_json("eval", cwd=folder)["loss_nats"])
    resumed = ["--set", f"data.source={folder}/attic/verse.txt", "--set", "train.steps=8"]
    answer = succeed_json("train", "--resume", "--out", tmp_path / "verse", *resumed, cwd=folder)
    assert answer["step"] == 8


def test_stdout_takes_the_file_itself(folder: Path) -> None:
    before = (folder / "runs/verse/config.yaml").read_bytes()
    card = succeed("export", "--to", "card", "-o", "-", cwd=folder)
    assert card.startswith("---\nlibrary_name: charrnn\n")
    assert not (folder / "runs/verse/README.md").exists()
    assert (folder / "runs/verse/config.yaml").read_bytes() == before
    page = succeed("export", "--to", "html", "-o", "-", "--quiet", cwd=folder)
    assert page.startswith("<!doctype html>")


def test_a_file_that_is_there_is_replaced_only_when_asked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("mine")
    arguments = ("export", "--to", "html", "-o", tmp_path / "mine.html")
    done = charrnn(*arguments, cwd=folder)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert "--overwrite" in done.stderr
    assert (tmp_path / "mine.html").read_text() == "mine"
    succeed(*arguments, "--overwrite", cwd=folder)
    assert (tmp_path / "mine.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--to"),
        (["--to", "pdf"], "html, onnx or card"),
        (["--to", "html", "--weights", "int8"], "float32 or bfloat16"),
        (["--to", "onnx", "--weights", "bfloat16"], "--weights is for --to html"),
        (["--to", "html", "-o", "nowhere/x.html"], "there is no folder nowhere"),
        (["--to", "html", "-o", "runs"], "not a plain file"),
        (["--to", "html", "-o", "-", "--json"], "--json writes to stdout"),
        (["--to", "html", "--run", "runs/none"], "no run directory"),
    ],
)
def test_wrong_usage_is_one_message_and_writes_nothing(
    arguments: list[str], said: str, folder: Path
) -> None:
    before = sorted(folder.iterdir())
    done = charrnn("export", *arguments, cwd=folder)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(folder.iterdir()) == before


def test_a_place_that_cannot_be_written_is_a_failure(folder: Path) -> None:
    done = charrnn("export", "--to", "html", "-o", "/proc/page.html", cwd=folder)
    assert done.returncode == 1
    assert "cannot write /proc/page.html" in done.stderr


def test_without_the_extra_one_sentence_says_how_to_get_it(folder: Path) -> None:
    program = "import sys; sys.modules['onnx'] = None; from charrnn.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "export", "--to", "onnx", "-o", "new.onnx"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert 'pip install "charrnn-cli[onnx]"' in done.stderr
    assert not (folder / "new.onnx").exists()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run", weights_scale=float("inf"))
    for form in ("html", "card"):
        done = charrnn("export", "--run", "run", "--to", form, cwd=tmp_path)
        assert done.returncode == 2
        assert "not finite" in done.stderr


def test_a_run_that_is_overwritten_takes_its_card_with_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    succeed("export", "--run", run, "--to", "card")
    (run / "mine.txt").write_text("mine")
    RunWriter.claim(run, read_model(run).vocabulary, overwrite=True).close()
    assert not (run / "README.md").exists()
    assert (run / "mine.txt").exists()


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    write_run(tmp_path / "run", hidden_size=192)  # more than a pipe holds
    command = f"{sys.executable} -m charrnn export --run run --to html -o - | head -c 20"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 141
    assert done.stdout == "<!doctype html>\n<htm"
    assert done.stderr == ""


def test_a_folder_with_a_name_that_is_no_text_gives_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a\x1b\n<b>\udc80")
    succeed("export", "--run", run, "--to", "html", "-o", "page.html", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>a\\x1b\\n&lt;b&gt;\\udc80</title>" in page
