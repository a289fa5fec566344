"""`charrnn prepare` as a shell sees it: stdout, stderr, exit codes."""

import bz2
import gzip
import hashlib
import json
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.cli.app import run
from charrnn.text.corpus import open_corpus
from tests.models import write_run

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


# --- What a file is -----------------------------------------------------------------------------


def prepared(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["prepare", "--json", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def text_of(answer: dict[str, Any]) -> str:
    corpus = open_corpus(Path(answer["path"]))
    return corpus.vocabulary.decode(np.concatenate([corpus.train.ids, corpus.valid.ids]))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_is_read_as_what_it_is_whatever_it_is_called(
    capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    contents = {
        "gzip": gzip.compress(TEXT.encode()),
        "xz": lzma.compress(TEXT.encode()),
        "bzip2": bz2.compress(TEXT.encode()),
        "utf-16": TEXT.encode("utf-16"),
        "utf-16-without-mark": TEXT.encode("utf-16-le"),
        "utf-16-in-gzip": gzip.compress(TEXT.encode("utf-16")),
    }
    for name, content in contents.items():
        Path(name).write_bytes(content)
        answer = prepared(capsys, name, "--set", f"data.encoding={encoding}")
        assert text_of(answer) == TEXT, name
        assert answer["corpus_sha256"] == hashlib.sha256(content).hexdigest()


def test_an_encoding_that_is_asked_for_is_used_where_nothing_speaks_against_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "水は低きに流れる。\n" * 30
    Path("water.txt").write_bytes(text.encode("utf-16-le"))
    assert text_of(prepared(capsys, "water.txt", "--set", "data.encoding=utf-16-le")) == text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"%PDF-1.7\n1 0 obj", "book is a PDF document"),
        (b"PK\x03\x04 word/document.xml", "book is a Word document (docx)"),
        (gzip.compress(b"a".ljust(257, b"\0") + b"ustar"), "a tar archive compressed with gzip"),
        (gzip.compress(gzip.compress(b"a")), "book is gzip data compressed with gzip"),
        (gzip.compress(TEXT.encode())[:-9], "book is gzip data that is cut short"),
    ],
    ids=["pdf", "docx", "tar.gz", "gz.gz", "cut short"],
)
def test_what_is_no_text_is_named_for_what_it_is(
    capsys: pytest.CaptureFixture[str], content: bytes, told: str
) -> None:
    Path("book").write_bytes(content)
    assert run(["prepare", "book"]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "data.encoding" not in err


def test_a_text_in_another_encoding_is_told_one_that_reads_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "Все счастливые семьи похожи друг на друга.\n" * 30
    Path("family.txt").write_bytes(text.encode("cp1251"))
    assert run(["prepare", "family.txt"]) == 2
    hint = re.search(r"data\.encoding=\S+", capsys.readouterr().err)
    assert hint
    assert text_of(prepared(capsys, "family.txt", "--set", hint[0])) == text


def test_zstd_without_what_reads_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    Path("sea.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    assert run(["prepare", "sea.zst"]) == 2
    err = capsys.readouterr().err
    assert "sea.zst is compressed with zstd, which this Python cannot read" in err
    assert "pip install zstandard" in err


@pytest.mark.parametrize("mode", ["stream", "lines"])
def test_line_ends_of_old_macs_are_told_of(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    Path("old.txt").write_bytes(TEXT.replace("\r\n", "\r").encode())
    code = run(["prepare", "old.txt", "--set", f"data.mode={mode}"])
    assert code == (0 if mode == "stream" else 2)
    err = capsys.readouterr().err
    assert "\\r" in err
    assert "tr '\\r' '\\n' < OLD > NEW" in err


# --- Folders ------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Path:
    """A folder with a text, a text in another encoding, a picture and binary data."""
    folder = Path("mixed")
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT)
    (folder / "b.txt").write_bytes(b"Caf\xe9 cr\xe8me, d\xe9j\xe0 vu\n" * 20)
    (folder / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    (folder / "d.bin").write_bytes(b"abc\0def\0")
    return folder


def test_what_is_no_text_in_a_folder_is_left_out_named_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _fresh in (True, False):
        assert run(["prepare", "mixed", "--json"]) == 0
        out, err = capsys.readouterr()
        answer = json.loads(out)
        assert [source["name"] for source in answer["sources"]] == ["mixed/a.txt"]
        assert [each.partition(":")[0] for each in answer["left_out"]] == [
            "mixed/b.txt",
            "mixed/c.png is a PNG image",
            "mixed/d.bin has NUL characters",
        ]
        assert "left out as not text, 3 of 4 files: mixed/b.txt: byte 3 (0xe9) is not utf-8" in err


def test_a_folder_with_what_is_no_text_is_refused_if_that_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse = ["--set", "data.not_text=refuse"]
    assert run(["prepare", "mixed", *refuse]) == 2
    assert "mixed: not text, 3 of 4 files: " in capsys.readouterr().err
    assert run(["prepare", "mixed", *refuse, "--set", "data.include=a*"]) == 0
    assert run(["prepare", "mixed", *refuse, "--set", "data.exclude=[b.txt, '*.[pb]*']"]) == 0


def test_a_folder_without_any_text_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prepare", "mixed", "--set", "data.include=[*.png]"]) == 2
    assert "begins with *, & or ! needs quotation marks" in capsys.readouterr().err
    assert run(["prepare", "mixed", "--set", "data.include=['*.png']"]) == 2
    assert "1 of 1 files: mixed/c.png is a PNG image" in capsys.readouterr().err
    assert run(["prepare", "mixed", "--set", "data.include=*.pdf"]) == 2
    assert "mixed holds no files that match" in capsys.readouterr().err


# --- Where things are ---------------------------------------------------------------------------


def test_a_tilde_is_the_home_directory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "kept").mkdir(parents=True)
    Path("sea.txt").rename(home / "sea.txt")
    (home / "sea.yaml").write_text("data: {source: ~/sea.txt}\n")
    monkeypatch.setenv("HOME", str(home))
    assert prepared(capsys, "~/sea.txt")["path"].startswith("data/prepared/sea-")
    arguments = ["--config", "~/sea.yaml", "--data-dir", "~/kept"]
    assert prepared(capsys, *arguments)["path"].startswith(f"{home}/kept/sea-")
    monkeypatch.setenv("CHARRNN_DATA", "~/kept")
    assert prepared(capsys, "~/sea.txt")["fresh"] is False


def test_a_read_only_folder_says_how_to_prepare_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("data").write_text("a file where the folder should be")
    assert run(["prepare", "sea.txt"]) == 1
    assert "--data-dir or CHARRNN_DATA names another folder" in capsys.readouterr().err


def test_a_prepared_folder_is_prepared_and_a_run_is_no_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = prepared(capsys, "sea.txt", "--set", "data.mode=lines")["path"]
    again = prepared(capsys, path)
    assert (again["path"], again["fresh"], again["options"]["mode"]) == (path, False, "lines")
    assert run(["prepare", path, "--out", "copy"]) == 2
    assert "is prepared already" in capsys.readouterr().err
    assert run(["prepare", path, "sea.txt"]) == 2
    assert "is a prepared corpus" in capsys.readouterr().err
    write_run(Path("model"))
    assert run(["prepare", "model"]) == 2
    assert "model is a run, not a text" in capsys.readouterr().err
