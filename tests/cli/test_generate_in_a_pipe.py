"""`charrnn generate` between other programs: readers that leave, signals, terminals, encodings."""

import contextlib
import fcntl
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.process import COMMAND, SECONDS
from tests.models import LETTERS, write_run

ESCAPE_CODES = "\x1b\x07\u202e"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of plain letters, of control characters too, and of lines."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "stream")
    write_run(folder / "odd", characters=LETTERS + ESCAPE_CODES + "é\N{SNOWMAN}")
    write_run(folder / "lines", lines=True)
    return folder


def command(*arguments: object, run: str = "stream") -> list[str]:
    return [*COMMAND, "generate", "--run", run, "--rng-seed", "1", *map(str, arguments)]


def begin(
    runs: Path,
    *arguments: object,
    run: str = "stream",
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a generation whose output the test reads itself."""
    return subprocess.Popen(
        command(*arguments, run=run),
        cwd=runs,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def complete(runs: Path, *arguments: object, run: str = "stream", **variables: str) -> bytes:
    """The stdout of a generation that must succeed without a word on stderr."""
    done = subprocess.run(
        command(*arguments, run=run),
        cwd=runs,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def in_shell(runs: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which `$G` begins a generation; bash tells of every exit code."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=runs,
        env={**os.environ, "G": " ".join(command())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )


# --- Readers that leave, files that are full or closed ------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "$G --forever | head -c 10; code=${PIPESTATUS[0]}",
        "$G --forever | head -1; code=${PIPESTATUS[0]}",
        "$G --samples 5000 --length 50 | head -1; code=${PIPESTATUS[0]}",
        "yes a | $G --seeds - --length 20 --json | head -1; code=${PIPESTATUS[1]}",
        "$G --length 50 | (exec <&-; sleep 2); code=${PIPESTATUS[0]}",
    ],
)
def test_when_the_reader_leaves_it_ends_silently_with_141(script: str, runs: Path) -> None:
    done = in_shell(runs, f"{script}; exit $code")
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_the_reader_gets_before_it_leaves_is_the_text(runs: Path) -> None:
    done = in_shell(runs, "$G --forever | head -c 20000")
    assert done.stdout == complete(runs, "--length", 20_000)


def test_a_stdout_that_somebody_made_non_blocking_gets_the_whole_text(runs: Path) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    process = begin(runs, "--length", 100_000, stdout=theirs)
    os.close(theirs)
    time.sleep(2)  # the pipe is full by now
    with os.fdopen(ours, "rb") as stream:
        text = stream.read()
    assert process.communicate(timeout=SECONDS)[1] == b""
    assert process.returncode == 0
    assert len(text) == 100_000


def test_a_full_disk_is_reported(runs: Path) -> None:
    done = in_shell(runs, "$G > /dev/full")
    assert done.returncode == 1
    assert b"error: cannot write to stdout: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("options", ["", "--samples 3"])
def test_a_closed_stdout_is_reported(options: str, runs: Path) -> None:
    done = in_shell(runs, f"$G {options} >&-")
    assert done.returncode == 1
    assert b"error: stdout is closed" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("stdout", ["/dev/full", "&-"])
def test_an_error_that_json_cannot_tell_of_is_still_told(stdout: str, runs: Path) -> None:
    done = in_shell(runs, f"$G --json --run nowhere >{stdout}")
    assert done.returncode == 2
    assert b"error: there is no run directory nowhere" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_closed_stdin_matters_only_when_it_is_asked_for(runs: Path) -> None:
    assert in_shell(runs, "$G --seed a <&-").returncode == 0
    for option in ("--seed -", "--seeds -"):
        done = in_shell(runs, f"$G {option} <&-")
        assert done.returncode == 1
        assert b"error: stdin is closed" in done.stderr


def test_an_open_pipe_on_stdin_holds_nothing_up(runs: Path) -> None:
    process = begin(runs, "--seed", "a", stdin=subprocess.PIPE)
    assert process.wait(SECONDS) == 0
    process.communicate()


# --- Signals ------------------------------------------------------------------------------------

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def read_until(process: subprocess.Popen[bytes], size: int) -> bytes:
    """Read at least so many bytes of its stdout."""
    assert process.stdout is not None
    text = b""
    while len(text) < size:
        text += os.read(process.stdout.fileno(), size)
    return text


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_it_with_all_that_was_made_written(
    number: signal.Signals, code: int, runs: Path
) -> None:
    process = begin(runs, "--forever")
    text = read_until(process, 3000)
    process.send_signal(number)
    rest, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (code, b"")
    text += rest
    assert complete(runs, "--length", len(text)) == text


def wait_until_full(process: subprocess.Popen[bytes]) -> None:
    """Wait until no more arrives in the pipe that is its stdout."""
    assert process.stdout is not None
    held, before = array("i", [0]), -1
    while held[0] != before:
        before = held[0]
        time.sleep(0.5)
        fcntl.ioctl(process.stdout, termios.FIONREAD, held)


def test_a_signal_is_heard_while_nobody_reads(runs: Path) -> None:
    with begin(runs, "--forever") as process:
        read_until(process, 1)
        wait_until_full(process)
        for _ in range(SECONDS):  # the second one gives up what was not written
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)  # two at once could reach it as one
        assert process.poll() == 130


def test_json_tells_of_an_interrupted_text(runs: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    os.mkfifo(seed)
    process = begin(runs, "--json", "--length", 10**9, "--seed-file", seed)
    seed.write_text("the ")  # waits for the reader: from here on there is little left to start
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    told = json.loads(output)
    assert told["ended_by"] == "interrupted"
    assert told["characters"] == len(told["text"]) - len("the ") > 0


def test_of_many_texts_those_that_are_complete_are_written_before_it_ends(runs: Path) -> None:
    process = begin(runs, "--samples", 10**9, "--length", 50, "--null")
    text = read_until(process, 3000)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (130, b"")
    texts = (text + rest).split(b"\0")
    assert texts.pop() == b""
    assert {len(each) for each in texts} == {50}


def test_an_interrupted_stream_goes_on_where_its_text_ended(runs: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    process = begin(runs, "--forever", "--save-state", state)
    text = read_until(process, 5000)
    process.send_signal(signal.SIGINT)
    text += process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 130
    done = subprocess.run(
        [*COMMAND, "generate", "--run", "stream", "--load-state", state, "--length", "500"],
        cwd=runs,
        capture_output=True,
        check=True,
    )
    assert complete(runs, "--length", len(text) + 500) == text + done.stdout


@pytest.mark.parametrize("option", ["--seed", "--seeds"])
def test_ctrl_c_while_waiting_for_a_seed_ends_it_silently(option: str, runs: Path) -> None:
    process = begin(runs, option, "-", stdin=subprocess.PIPE)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) in {130, -signal.SIGINT}  # a shell says 130 to both
    assert process.communicate() == (b"", b"")


# --- Conversations ------------------------------------------------------------------------------


def test_each_seed_is_answered_before_the_next_is_given(runs: Path) -> None:
    process = begin(runs, "--seeds", "-", "--length", 10, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for seed in (b"a", b"the ", b"xyz"):
        process.stdin.write(seed + b"\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(seed)
    process.communicate()
    assert process.returncode == 0


def peak_memory(runs: Path, lines: int) -> tuple[int, int]:
    """The peak memory in bytes and the lines of output for so many seeds through a pipe."""
    feeder = subprocess.Popen(
        [sys.executable, "-c", f"for n in range({lines}): print('ab ' * (n % 40))"],
        stdout=subprocess.PIPE,
    )
    assert feeder.stdout is not None
    process = begin(
        runs, "--seeds", "-", "--unknown", "skip", "--length", 12, stdin=feeder.stdout.fileno()
    )
    assert process.stdout is not None
    count = sum(1 for _ in process.stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    feeder.wait()
    feeder.stdout.close()
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit, count


def test_ten_thousand_seeds_take_no_more_memory_than_a_thousand(runs: Path) -> None:
    few, few_lines = peak_memory(runs, 1000)
    many, many_lines = peak_memory(runs, 10_000)
    assert (few_lines, many_lines) == (1000, 10_000)
    assert many < few + 20_000_000


# --- Terminals and encodings --------------------------------------------------------------------


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal that changes nothing: our end, and the end for the program."""
    import tty

    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        with contextlib.suppress(OSError):
            os.close(theirs)


def on_terminal(runs: Path, *arguments: object, run: str) -> bytes:
    """What a generation writes on a terminal."""
    with terminal() as (ours, theirs):
        process = begin(runs, *arguments, run=run, stdout=theirs)
        os.close(theirs)
        output = b""
        while select.select([ours], [], [], SECONDS)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the program's end is closed
                break
            if not piece:
                break
            output += piece
        process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    return output


def test_the_text_is_the_same_on_a_terminal_in_a_pipe_and_in_json(runs: Path) -> None:
    options = ("--seed", "the ", "--length", 400)
    piped = complete(runs, *options)
    assert on_terminal(runs, *options, run="stream") == piped
    assert json.loads(complete(runs, *options, "--json"))["text"] == piped.decode()
    names = complete(runs, "--samples", 40, run="lines")
    assert on_terminal(runs, "--samples", 40, run="lines") == names


def test_an_interrupted_text_leaves_the_prompt_a_line_of_its_own(runs: Path) -> None:
    with terminal() as (ours, theirs):
        process = subprocess.Popen(
            command("--forever", "--ban", "\n"), cwd=runs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        output = os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # EIO: the program's end is closed
            while piece := os.read(ours, 65536):
                output += piece
        assert process.wait(SECONDS) == 130
    assert output.endswith(b"\n")
    assert output.count(b"\n") == 1


def test_control_characters_are_visible_on_a_terminal_and_untouched_in_a_pipe(runs: Path) -> None:
    piped = complete(runs, "--length", 400, run="odd")
    shown = on_terminal(runs, "--length", 400, run="odd")
    assert all(char.encode() in piped for char in ESCAPE_CODES)
    assert not any(char.encode() in shown for char in ESCAPE_CODES)
    text = piped.decode()
    for char in ESCAPE_CODES:
        text = text.replace(char, char.encode("unicode_escape").decode())
    assert shown.decode() == text


SCRIPTS = {
    "persian": "می\u200cروم کتاب\u200cها ستاره\u200cها\n",
    "hindi": "क्\u200dष र्\u200dय नमस्ते\n",
    "emoji": "\U0001f3f3\ufe0f\u200d\U0001f308 1\ufe0f\u20e3 \U0001f3f4\U000e0067\U000e007f\n",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_joiners_selectors_and_tags_are_the_same_on_a_terminal(name: str, tmp_path: Path) -> None:
    write_run(tmp_path / name, characters=SCRIPTS[name])
    options = ("--length", 300, "--temperature", 5)
    piped = complete(tmp_path, *options, run=name)
    assert all(char in piped.decode() for char in SCRIPTS[name])
    assert on_terminal(tmp_path, *options, run=name) == piped


def test_a_character_is_seen_on_a_terminal_when_it_is_made(runs: Path) -> None:
    with terminal() as (ours, theirs):
        process = begin(runs, "--forever", stdout=theirs)
        os.close(theirs)
        pieces = [os.read(ours, 65536) for _ in range(20)]
        process.send_signal(signal.SIGINT)
        while select.select([ours], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                if os.read(ours, 65536):
                    continue
            break
        process.communicate(timeout=SECONDS)
    assert min(map(len, pieces)) < 500


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_any_locale_will_do(locale: str, runs: Path) -> None:
    expected = complete(runs, "--seed", "é", "--length", 300, run="odd")
    assert "\N{SNOWMAN}".encode() in expected
    variables = {"LC_ALL": locale, "LANG": locale}
    assert complete(runs, "--seed", "é", "--length", 300, run="odd", **variables) == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_what_stdout_cannot_encode_is_written_as_an_escape(encoding: str, runs: Path) -> None:
    text = complete(runs, "--length", 300, run="odd").decode()
    output = complete(runs, "--length", 300, run="odd", PYTHONIOENCODING=encoding)
    assert output == text.encode(encoding, "backslashreplace")


def test_the_limit_of_files_is_no_limit_of_texts(runs: Path) -> None:
    """Descriptors are few where select is used; generation opens hardly any."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft <= hard
    done = in_shell(runs, "ulimit -n 32; $G --samples 50 --length 5 --null | tr -cd '\\0' | wc -c")
    assert done.stdout.strip() == b"50"
