"""Examples longer than a line, and validation of one's own choice, as a shell sees them."""

import json
import random
from pathlib import Path

import pytest

from charrnn.run.reader import read_model
from tests.cli.process import charrnn, succeed, succeed_json
from tests.models import write_run

SMALL = [
    f"--set={each}"
    for each in (
        "model.hidden_size=24",
        "model.embedding_size=8",
        "train.batch_size=8",
        "train.steps=60",
        "train.eval_every_steps=30",
        "train.precision=float32",
        "train.kernel=torch",
        "train.threads=1",
    )
]


def tunes(count: int, seed: int = 0) -> list[str]:
    """Tunes of several lines, in which no line is empty."""
    source = random.Random(seed)
    return [
        f"X:{number}\nK:{source.choice('ADG')}\n"
        + "|".join("".join(source.choices("ABcdefg2/", k=6)) for _ in range(source.randint(2, 5)))
        for number in range(1, count + 1)
    ]


def train(folder: Path, *settings: str) -> None:
    arguments = [f"--set={each}" for each in settings]
    succeed("train", "--out", folder, *SMALL, *arguments, "--quiet", cwd=folder.parent)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned tunes divided by blank lines."""
    folder = tmp_path_factory.mktemp("tunes")
    text = "\n\n\n".join(tunes(60)) + "\n"
    (folder / "tunes.abc").write_text(text.replace("\n\n\nX:7\n", "\n  \t\nX:7\n"))
    train(folder / "run", "data.source=tunes.abc", "data.mode=examples")
    return folder / "run"


# --- Generated examples -----------------------------------------------------------------------


def test_tunes_end_by_themselves_and_stand_apart_as_in_the_text(run: Path) -> None:
    options = ["--run", run, "-n", "8", "--rng-seed", "1", "--length", "5000"]
    objects = [json.loads(line) for line in succeed("generate", *options, "--json").splitlines()]
    assert {each["ended_by"] for each in objects} == {"line"}
    written = succeed("generate", *options)
    assert written == "\n\n".join(each["text"] for each in objects) + "\n"


def test_a_single_tune_has_a_line_end_behind_it(run: Path) -> None:
    options = ["--run", run, "--seed", "X:", "--rng-seed", "2", "--length", "5000"]
    (text,) = [json.loads(succeed("generate", *options, "--json"))["text"]]
    assert text.startswith("X:")
    assert succeed("generate", *options) == text + "\n"


def test_tunes_for_seeds_a_line_each_are_a_line_each(run: Path) -> None:
    options = ["--run", run, "--seeds", "-", "--rng-seed", "3", "--length", "200"]
    seeds = "X:1\nX:2\n"
    written = succeed("generate", *options, stdin=seeds)
    objects = succeed("generate", *options, "--json", stdin=seeds).splitlines()
    texts = [json.loads(line)["text"] for line in objects]
    assert written == "".join(text.replace("\n", r"\n") + "\n" for text in texts)


@pytest.mark.parametrize(
    ("separator", "between", "end"),
    [
        ("\n", "\n", "\n"),
        ("\n\n", "\n\n", "\n"),
        ("\n%\n", "\n%\n", "\n"),
        ("<|end|>", "<|end|>", ""),
        ("", "\n--\n", "\n"),
    ],
)
def test_several_examples_are_written_as_the_separator_divides_them(
    tmp_path: Path, separator: str, between: str, end: str
) -> None:
    run = write_run(tmp_path / "run", lines=True, separator=separator)
    options = ["generate", "--run", run, "-n", "3", "--rng-seed", "1", "--length", "40"]
    texts = [json.loads(line)["text"] for line in succeed(*options, "--json").splitlines()]
    assert succeed(*options) == between.join(texts) + end
    assert succeed(*options, "--null") == "".join(text + "\0" for text in texts)


def test_the_default_length_has_room_for_the_longest_example(tmp_path: Path) -> None:
    texts = ["ab" * 400, *["abc"] * 20]
    (tmp_path / "text.txt").write_text("\n%\n".join(texts))
    settings = ("data.source=text.txt", "data.mode=examples", r'data.separator="\n%\n"')
    train(tmp_path / "free", *settings, "train.steps=1")
    train(tmp_path / "given", *settings, "train.steps=1", "generate.length=30")
    defaults = [read_model(tmp_path / name).card.generate for name in ("free", "given")]
    assert [each and each.length for each in defaults] == [800, 30]


# --- Scored examples ----------------------------------------------------------------------------


def test_every_tune_is_scored_from_its_own_begin_to_its_end(run: Path, tmp_path: Path) -> None:
    texts = tunes(4, seed=9)
    (tmp_path / "all.abc").write_text("\r\n\r\n".join(text.replace("\n", "\r\n") for text in texts))
    together = succeed_json("eval", tmp_path / "all.abc", "--run", run)
    nats = 0.0
    for text in texts:
        (tmp_path / "one.abc").write_text(text)
        alone = succeed_json("eval", tmp_path / "one.abc", "--run", run)
        assert alone["chars"] == len(text) + 1
        nats += alone["loss_nats"] * alone["chars"]
    assert together["chars"] == sum(len(text) + 1 for text in texts)
    assert together["loss_nats"] * together["chars"] == pytest.approx(nats, rel=1e-5)
    size = sum(len(text) + 2 for text in texts)
    bits = together["bits_per_char"] * together["chars"]
    assert together["bits_per_byte"] == pytest.approx(bits / size)
    assert "every example read from a zero state" in succeed("eval", "--run", run, cwd=run.parent)


def test_the_validation_of_a_training_is_what_eval_says(run: Path) -> None:
    score = succeed_json("eval", "--run", run, cwd=run.parent)
    assert score["loss_nats"] == pytest.approx(read_model(run).card.valid_loss_nats, rel=1e-5)


def test_a_window_is_refused_where_every_example_begins_anew(run: Path) -> None:
    done = charrnn("eval", "--run", run, "--window", "9", cwd=run.parent)
    assert done.returncode == 2
    assert "was trained on examples" in done.stderr


# --- Too long -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train", "prepare"])
def test_a_line_that_would_take_all_memory_is_refused_by_its_number_and_length(
    tmp_path: Path, command: str
) -> None:
    lines = ["one", "", "x" * 210_000, *["two", "three"] * 20]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    settings = ["--set=data.source=lines.txt", "--set=data.mode=lines"]
    done = charrnn(command, *settings, cwd=tmp_path)
    assert done.returncode == 2
    assert "lines.txt: line 3 has 210,000 characters" in done.stderr
    assert "data.max_length is 5,000" in done.stderr
    assert not list(tmp_path.glob("data/prepared/*"))


def test_what_is_told_of_a_long_example_can_be_followed(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("\n\n".join(["ab\ncd"] * 20 + ["x\n" * 40] + ["e"] * 10))
    options = ["long.txt", "--set=data.mode=examples", "--set=data.max_length=30"]
    refused = charrnn("prepare", *options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "example 21 has 79 characters" in refused.stderr
    for setting in ("data.truncate=true", "data.max_length=79"):
        assert f"--set {setting}" in refused.stderr
        followed = succeed_json("prepare", *options, "--set", setting, cwd=tmp_path)
        assert followed["splits"]["train"]["lines"] == 27
        assert followed["cut"] == (1 if "truncate" in setting else 0)
    # What is prepared already is held to the length, too.
    assert charrnn("prepare", *options, cwd=tmp_path).returncode == 2
    cut = charrnn("prepare", *options, "--set", "data.truncate=true", cwd=tmp_path)
    assert "examples cut at 30 characters: 1" in cut.stderr


def test_a_separator_that_stands_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a\nb\n" * 50)
    settings = ["--set=data.mode=examples", "--set=data.separator=blanks"]
    done = charrnn("prepare", "text.txt", *settings, cwd=tmp_path)
    assert done.returncode == 2
    assert "it has 0 examples for training and 1 for validation" in done.stderr
    assert "blanks" in done.stderr


def test_settings_that_contradict_each_other_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a\nb\n" * 50)
    wrong = ["data.separator=%", "data.truncate=true", "data.max_length=null", "data.shuffle=true"]
    settings = [f"--set={each}" for each in wrong]
    done = charrnn("prepare", "text.txt", *settings, cwd=tmp_path)
    assert done.returncode == 2
    for key in ("data.separator", "data.truncate", "data.shuffle"):
        assert f"{key}:" in done.stderr
    for more in ("data.mode=lines", "data.valid_source=text.txt"):
        done = charrnn("prepare", "text.txt", "--set=data.split=blocks", f"--set={more}")
        assert "data.split:" in done.stderr


# --- Validation of one's own choice ---------------------------------------------------------------


def test_files_of_its_own_are_the_validation_and_nothing_of_the_source_is(tmp_path: Path) -> None:
    (tmp_path / "learn.txt").write_text("abcab" * 200)
    (tmp_path / "judge.txt").write_text("abcd" * 20)
    train(tmp_path / "run", "data.source=learn.txt", "data.valid_source=judge.txt")
    own = succeed_json("eval", "--run", "run", cwd=tmp_path)
    other = succeed_json("eval", "judge.txt", "--run", "run", cwd=tmp_path)
    assert own["source"] == other["source"] == "judge.txt"
    assert own["chars"] == other["chars"] == 79
    assert own["unknown_chars"] == other["unknown_chars"] == 20
    assert own["loss_nats"] == pytest.approx(other["loss_nats"])
    assert succeed_json("eval", "--run", "run", "--split", "train", cwd=tmp_path)["chars"] == 1000
    # It is still found when nothing is prepared any more, and refused when it has changed.
    for file in (tmp_path / "data/prepared").glob("*/*"):
        file.unlink()
    for folder in (tmp_path / "data/prepared").glob("*"):
        folder.rmdir()
    assert succeed_json("eval", "--run", "run", cwd=tmp_path)["chars"] == 79
    train_on = ["train", "--resume", "--out", "run", "--set=train.steps=61"]
    succeed(*train_on, cwd=tmp_path)
    (tmp_path / "judge.txt").write_text("abca" * 20)
    refused = charrnn(*train_on, cwd=tmp_path)
    assert refused.returncode == 2
    assert "is not the one that run was trained on" in refused.stderr
    for folder in (tmp_path / "data/prepared").glob("*"):
        folder.rename(tmp_path / f"old-{folder.name}")
    refused = charrnn("eval", "--run", "run", cwd=tmp_path)
    assert refused.returncode == 2
    assert "has changed" in refused.stderr


def test_where_training_ends_and_validation_begins_is_part_of_a_corpus(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"{name}xyz\n" * 30)
    sizes = {}
    for source, valid in (("[a.txt,b.txt]", "c.txt"), ("a.txt", "[b.txt,c.txt]")):
        settings = [f"--set=data.source={source}", f"--set=data.valid_source={valid}"]
        made = succeed_json("prepare", *settings, cwd=tmp_path)
        sizes[made["corpus_sha256"], made["path"]] = made["splits"]["valid"]["ids"]
    assert list(sizes.values()) == [150, 300]


def test_examples_can_have_validation_files_too(tmp_path: Path) -> None:
    (tmp_path / "learn").mkdir()
    for number in range(5):
        (tmp_path / "learn" / f"{number}.txt").write_text(f"poem\n\n{number}\n")
    (tmp_path / "judge.txt").write_text("one\n\nof ten\n")
    settings = ["--set=data.mode=examples", "--set=data.separator=file"]
    valid = "--set=data.valid_source=judge.txt"
    made = succeed_json("prepare", "learn", *settings, valid, cwd=tmp_path)
    assert made["splits"]["train"] == {"ids": 35, "lines": 5, "unknown": 0}
    assert made["splits"]["valid"]["lines"] == 1


def test_blocks_hold_out_something_of_every_part_of_a_text(tmp_path: Path) -> None:
    folder = tmp_path / "langs"
    folder.mkdir()
    for name, letters in (("1", "abc"), ("2", "def"), ("9", "\u0430\u0431\u0432")):
        (folder / name).write_text(letters * 3000, encoding="utf-8")
    unknown = {
        split: succeed_json("prepare", "langs", f"--set=data.split={split}", cwd=tmp_path)[
            "splits"
        ]["valid"]
        for split in ("end", "blocks", "files")
    }
    assert unknown["blocks"]["unknown"] == 0
    assert unknown["blocks"]["ids"] == pytest.approx(0.1 * 27_002, rel=0.01)
    assert unknown["files"]["ids"] in {9000, 9001}


def test_both_sources_cannot_be_stdin(tmp_path: Path) -> None:
    done = charrnn("prepare", "-", "--set=data.valid_source=-", cwd=tmp_path, stdin="abc" * 50)
    assert done.returncode == 2
    assert "both stdin" in done.stderr


def test_validation_can_come_through_a_pipe_and_training_goes_on_from_what_was_prepared(
    tmp_path: Path,
) -> None:
    (tmp_path / "learn.txt").write_text("abcab" * 200)
    settings = ["--set=data.source=learn.txt", "--set=data.valid_source=-", "--quiet"]
    succeed("train", "--out", "run", *SMALL, *settings, cwd=tmp_path, stdin="abcabc" * 9)
    succeed("train", "--resume", "--out", "run", "--set=train.steps=61", "--quiet", cwd=tmp_path)
    assert succeed_json("eval", "--run", "run", cwd=tmp_path)["chars"] == 53
