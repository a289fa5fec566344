"""`charrnn prepare` as a shell sees it: stdout, stderr, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.cli.app import run
from charrnn.text.corpus import open_corpus

ROOT = Path(__file__).parents[2]
TEXT = "The sea, the sea.\r\n\r\n" * 50


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sea.txt").write_bytes(TEXT.encode())


def test_stdout_is_the_folder_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prepare", "sea.txt"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    corpus = open_corpus(Path(out.rstrip("\n")))
    assert corpus.manifest.characters == len(TEXT)
    assert "1,050 (11 distinct)" in err
    assert "945 characters" in err
    assert "13 ids as uint8" in err


def test_a_second_time_says_that_there_is_nothing_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(["prepare", "sea.txt"])
    first = capsys.readouterr().out
    assert run(["prepare", "sea.txt"]) == 0
    out, err = capsys.readouterr()
    assert out == first
    assert "prepared before, nothing to do" in err


def test_json_is_one_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prepare", "sea.txt", "--set", "data.mode=lines", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert Path(result["path"]).is_dir()
    assert result["fresh"] is True
    assert result["options"]["mode"] == "lines"
    assert result["empty_lines"] == 50
    assert result["splits"]["valid"] == {"ids": 85, "lines": 5, "unknown": 0}
    assert result["sources"][0]["name"] == "sea.txt"


def test_quiet_leaves_only_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prepare", "sea.txt", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert Path(out.strip()).is_dir()
    assert err == ""


def test_the_configuration_names_the_corpus_and_how_it_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("sea.yaml").write_text("data: {source: sea.txt, mode: lines, valid_fraction: 0.2}\n")
    assert run(["prepare", "--config", "sea.yaml", "--set", "data.min_count=2"]) == 0
    manifest = open_corpus(Path(capsys.readouterr().out.strip())).manifest
    assert manifest.sources[0].name == "sea.txt"
    assert manifest.options.valid_fraction == 0.2
    assert manifest.options.min_count == 2


def test_a_named_corpus_goes_before_the_one_of_the_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("sea.yaml").write_text("data: {source: missing.txt}\n")
    assert run(["prepare", "sea.txt", "sea.txt", "--config", "sea.yaml", "--out", "both"]) == 0
    assert capsys.readouterr().out == "both\n"
    assert len(open_corpus(Path("both")).manifest.sources) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no corpus is named"),
        (["missing.txt"], "missing.txt: there is no such file"),
        (["sea.txt", "--set", "data.encoding=utf-9"], "data.encoding"),
        (["sea.txt", "--set", "data.min_cuont=2"], "min_cuont"),
        (["sea.txt", "--set", "data.sha256=" + "0" * 64], "not the text that was expected"),
        (["sea.txt", "--config", "missing.yaml"], "missing.yaml"),
        (["sea.txt", "--out", "sea.txt"], "sea.txt is in the way"),
    ],
)
def test_wrong_input_is_an_error_of_one_message_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run(["prepare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "Traceback" not in err


def test_a_failure_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prepare", "missing.txt", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "missing.txt" in error["message"]
    assert error["exit_code"] == 2


def test_a_text_of_one_character_is_prepared_with_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a.txt").write_text("a" * 100)
    assert run(["prepare", "a.txt"]) == 0
    assert "single distinct character" in capsys.readouterr().err


def test_escape_codes_in_a_name_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("\x1b[31mred.txt").write_text(TEXT)
    assert run(["prepare", "\x1b[31mred.txt"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\\x1b[31mred.txt" in err


def piped(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("charrnn", f"'{sys.executable}' -m charrnn")],
        env={**os.environ, "PYTHONPATH": str(ROOT) + os.pathsep + os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_shell_can_pipe_text_in_and_take_the_folder() -> None:
    result = piped('DIR=$(cat sea.txt | charrnn prepare -) && ls "$DIR"')
    assert result.stdout.split() == [
        "manifest.json",
        "train_ids.npy",
        "valid_ids.npy",
        "vocabulary.json",
    ]
    assert "\x1b" not in result.stderr


def test_a_closed_stdin_is_told_and_no_traceback() -> None:
    result = piped("charrnn prepare - <&-")
    assert result.returncode == 2
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_stdout_is_a_failure() -> None:
    result = piped("charrnn prepare sea.txt > /dev/full")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
