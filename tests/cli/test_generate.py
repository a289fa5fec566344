"""`charrnn generate` as a shell meets it: what it prints, and how it answers to what is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charrnn.cli.generate import GENERATION
from charrnn.generation.language_model import load
from charrnn.generation.options import OPTION_NAMES
from charrnn.run.model_card import TextFormat
from tests.cli.process import charrnn, succeed, succeed_json
from tests.models import LETTERS, write_run

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stream model and a lines model."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "stream")
    write_run(folder / "lines", lines=True)
    return folder


def generate(runs: Path, *arguments: object, run: str = "stream", stdin: str = "") -> str:
    """What a generation that must succeed prints; with the random seed 1."""
    return succeed("generate", "--run", run, "--rng-seed", 1, *arguments, cwd=runs, stdin=stdin)


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


# --- Seeds --------------------------------------------------------------------------------------


def test_the_seed_stands_before_the_text_unless_told_otherwise(runs: Path) -> None:
    whole = generate(runs, "--seed", "the ", "--length", 40)
    assert whole.startswith("the ")
    assert len(whole) == 44
    assert generate(runs, "--seed", "the ", "--length", 40, "--no-echo") == whole[4:]


def test_a_seed_comes_from_the_command_line_a_file_or_stdin(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "seed.txt"
    file.write_text("the\n")
    expected = generate(runs, "--seed", "the\n", "--length", 20)
    assert generate(runs, "--seed", r"the\n", "--escapes", "--length", 20) == expected
    assert generate(runs, "--seed-file", file, "--length", 20) == expected
    assert generate(runs, "--seed", "-", "--length", 20, stdin="the\n") == expected
    assert generate(runs, "the\n", "--length", 20) == expected
    assert generate(runs, "-", "--length", 20, stdin="the\n") == expected


def test_a_seed_that_begins_like_an_option_follows_two_dashes(runs: Path) -> None:
    known = write_run(runs / "dashes", characters="-\nab ")
    assert generate(runs, "--length", 9, "--", "--a", run=known.name).startswith("--a")


def test_several_words_without_quotation_marks_are_answered_with_the_right_command(
    runs: Path,
) -> None:
    failed = charrnn("generate", "once", "upon a", cwd=runs)
    assert failed.returncode == 2
    assert "`charrnn generate 'once upon a'`" in failed.stderr


def test_a_line_model_takes_the_last_line_end_of_stdin_for_what_it_is(runs: Path) -> None:
    expected = generate(runs, "--seed", "the", run="lines")
    assert generate(runs, "--seed", "-", run="lines", stdin="the\n") == expected
    assert expected.endswith("\n")
    assert expected.count("\n") == 1


def test_an_unknown_character_is_named_and_three_ways_around_it_work(runs: Path) -> None:
    failed = charrnn("generate", "--run", "stream", "--seed", "aÉ", cwd=runs)
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert "'É' (U+00C9 LATIN CAPITAL LETTER E WITH ACUTE), number 2" in failed.stderr
    assert "--unknown" in failed.stderr
    texts = {
        way: generate(runs, "--seed", "aÉ", "--unknown", way, "--length", 30)
        for way in ("replace", "skip", "nearest")
    }
    assert all(text.startswith("aÉ") for text in texts.values())
    assert texts["skip"][2:] == generate(runs, "--seed", "a", "--length", 30)[1:]
    assert texts["nearest"][2:] == generate(runs, "--seed", "ae", "--length", 30)[2:]


def test_a_tilde_is_the_home_directory(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(runs))
    (runs / "openings.txt").write_text("the")
    options = ("--length=9", "--rng-seed=1")
    for seed in ("--seed-file=~/openings.txt", "--seeds=~/openings.txt"):
        assert succeed("generate", "--run=~/stream", seed, *options).startswith("the")
    succeed("generate", "--run=~/stream", "--save-state=~/state", *options)
    succeed("generate", "--run=~/stream", "--load-state=~/state", *options)
    assert (runs / "state").is_file()
    done = subprocess.run(
        [sys.executable, "-c", "import charrnn; print(charrnn.load('~/stream').trained.path)"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(runs / "stream")


@pytest.fixture
def composed_run(tmp_path: Path) -> Path:
    """A model of a text in Latin-1 whose characters were composed."""
    text = TextFormat(encoding="latin-1", normalize="nfc")
    return write_run(tmp_path / "composed", characters=LETTERS + "é", text=text)


def test_seeds_and_stop_strings_are_normalised_as_the_text_was(composed_run: Path) -> None:
    def ended(*arguments: str) -> dict[str, Any]:
        return succeed_json("generate", "--run", composed_run, "--rng-seed=1", *arguments)

    composed, in_parts = "\xe9", "e\u0301"
    assert ended("--seed", in_parts)["text"][2:] == ended("--seed", composed)["text"][1:]
    stopped = ended("--seed", "a", "--stop", in_parts, "--length", "2000")
    assert stopped["ended_by"] == "stop"
    assert composed not in stopped["text"]
    assert set(ended("--allow", in_parts)["text"]) == {composed}


def test_a_seed_file_may_be_in_the_encoding_of_the_text(composed_run: Path, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.txt"
    for encoding in ("utf-8", "latin-1", "utf-16"):
        seeds.write_bytes("caf\xe9".encode(encoding))
        made = succeed("generate", "--run", composed_run, "--seed-file", seeds, "--length=5")
        assert made.startswith("caf\xe9")
    seeds.write_bytes("caf\xe9\nth\xe9\n".encode("latin-1"))
    made = succeed("generate", "--run", composed_run, "--seeds", seeds, "--length=5")
    assert [line[:3] for line in made.splitlines()] == ["caf", "th\xe9"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--stop", "END"], '--stop "END" cannot occur: the model does not know "E" (U+0045)'),
        (["--stop", "a", "--stop", "b\xe9"], 'the model does not know "\xe9" (U+00E9)'),
        (
            ["--stop", "ab", "--ban", "b"],
            '--stop "ab" cannot occur: --allow and --ban leave no "b"',
        ),
        (["--run", "lines", "--stop", "\n"], "every line ends by itself"),
        (["--stop", "a\udce6"], "--stop has a part that is no character: byte 0xE6"),
        (["--match", "a\udce6"], "--match has a part that is no character: byte 0xE6"),
    ],
)
def test_a_stop_string_that_cannot_occur_is_refused(
    runs: Path, arguments: list[str], told: str
) -> None:
    failed = charrnn("generate", "--run", "stream", *arguments, cwd=runs)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert told in failed.stderr


def test_each_line_of_seeds_gives_one_line_in_order(runs: Path, tmp_path: Path) -> None:
    seeds = ["a", "", "the quick", "z"]
    (tmp_path / "seeds").write_text("\n".join(seeds))
    lines = generate(runs, "--seeds", tmp_path / "seeds", "--length", 60).splitlines()
    assert len(lines) == 4
    assert all(line.startswith(seed) for line, seed in zip(lines, seeds, strict=True))
    from_stdin = generate(runs, "--seeds", "-", "--length", 60, stdin="\n".join(seeds) + "\n")
    assert from_stdin.splitlines() == lines


def test_line_ends_in_results_a_line_each_are_escaped_and_raw_before_a_null(runs: Path) -> None:
    lines = generate(runs, "--seeds", "-", "--length", 300, stdin="a\nb\n").splitlines()
    raw = generate(runs, "--seeds", "-", "--length", 300, "--null", stdin="a\nb\n")
    *texts, end = raw.split("\0")
    assert end == ""
    assert [text.replace("\n", r"\n") for text in texts] == lines
    assert "\n" in raw


def test_several_texts_are_told_apart(runs: Path) -> None:
    output = generate(runs, "--samples", 3, "--length", 50, "--ban", "\n")
    assert re.fullmatch(r"(.{50}\n--\n){2}.{50}\n", output)
    names = generate(runs, "--samples", 5, run="lines").splitlines()
    assert len(names) == 5


# --- Results ------------------------------------------------------------------------------------


def test_json_tells_all_about_a_text(runs: Path) -> None:
    told = succeed_json(
        "generate", "--run", "stream", "--seed", "the ", "--length", 25, "--logprobs", cwd=runs
    )
    rng_seed = told["rng_seed"]
    scores = told.pop("log_probabilities")
    assert told.pop("seconds") > 0
    assert told.pop("mean_log_probability") == pytest.approx(sum(scores) / 25, abs=1e-5)
    options = ("--seed", "the ", "--length", 25, "--rng-seed", rng_seed)
    text = succeed("generate", "--run", "stream", *options, cwd=runs)
    assert told == {
        "text": text,
        "seed": "the ",
        "rng_seed": rng_seed,
        "sample": 0,
        "characters": 25,
        "ended_by": "length",
    }


@pytest.mark.parametrize(
    ("run", "options", "ended_by"),
    [
        ("stream", ["--stop", "a", "--stop", "e"], "stop"),
        ("stream", ["--match", "[a-z]{3}"], "match"),
        ("lines", ["--length", "0"], "line"),
        ("lines", ["--match", "a|b"], "match"),
    ],
)
def test_json_tells_why_a_text_ended(
    run: str, options: list[str], ended_by: str, runs: Path
) -> None:
    told = objects(generate(runs, "--json", "--samples", 3, *options, run=run))
    assert [each["ended_by"] for each in told] == [ended_by] * 3
    assert [each["characters"] for each in told] == [len(each["text"]) for each in told]


def test_texts_keep_to_a_grammar_or_a_json_schema(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "lark").write_text('start: word (" " word)*\nword: "the" | "sea"\n')
    options = ("--grammar", tmp_path / "lark", "--samples", 5, "--length", 400, "--null")
    texts = generate(runs, *options).split("\0")[:-1]
    assert all(re.fullmatch("(the|sea)( (the|sea))*", text) for text in texts)
    write_run(tmp_path / "json", characters='abc"[],')
    schema = {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}
    (tmp_path / "schema").write_text(json.dumps(schema))
    schemed = ("--json-schema", tmp_path / "schema", "--samples", 5, "--null")
    values = [
        json.loads(text) for text in generate(tmp_path, *schemed, run="json").split("\0")[:-1]
    ]
    assert all(len(value) <= 3 and set(value) <= {"a", "b"} for value in values)


def test_the_same_random_seed_gives_the_same_text_in_every_form_and_batch(runs: Path) -> None:
    seeds = "".join(
        f"{letter}{number % 7 * 'b'}\n" for number, letter in enumerate(LETTERS[2:] * 4)
    )
    options = ("--seeds", "-", "--length", 50)
    raw = generate(runs, *options, "--null", stdin=seeds)
    for batch_size in (1, 7, 64):
        batched = generate(runs, *options, "--null", "--batch-size", batch_size, stdin=seeds)
        assert batched == raw
    told = objects(generate(runs, *options, "--json", stdin=seeds))
    assert [each["text"] for each in told] == raw.split("\0")[:-1]
    assert generate(runs, "--seed", "a", "--length", 50) == raw.split("\0")[0]


def test_defaults_come_from_the_run_and_options_go_first(tmp_path: Path) -> None:
    from charrnn.config.schema import GenerateConfig

    write_run(tmp_path / "runs/mine", generate=GenerateConfig(length=7, temperature=0.0))
    first, second = (succeed("generate", cwd=tmp_path) for _ in range(2))
    assert len(first) == 7
    assert first == second
    assert len(succeed("generate", "--length", 9, cwd=tmp_path)) == 9


def test_novelty_is_told_on_stderr_and_in_json(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 20)
    (tmp_path / "config.yaml").write_text(
        "data: {source: text.txt}\n"
        "model: {hidden_size: 8, embedding_size: 4}\n"
        "train: {steps: 1, eval_every_steps: 1, precision: float32}\n"
    )
    succeed("train", "--config", "config.yaml", "--out", "runs/fox", cwd=tmp_path)
    options = ("generate", "--match", "the quick brown", "--seed", "", "--novelty", 5)
    done = charrnn(*options, cwd=tmp_path)
    assert done.stdout == "the quick brown"
    assert "100.0% of it stands in the training text in spans of 5" in done.stderr
    told = succeed_json(*options, cwd=tmp_path)
    assert told["novelty"] == {"span": 5, "copied_share": 1.0, "longest": 15}
    assert succeed_json(*options, "--quiet", cwd=tmp_path)["novelty"] == told["novelty"]


def test_novelty_without_the_training_text_says_how_to_get_it(runs: Path) -> None:
    failed = charrnn("generate", "--run", "stream", "--novelty", 5, cwd=runs)
    assert failed.returncode == 2
    assert "charrnn prepare --config" in failed.stderr


def test_a_stream_set_aside_goes_on_in_another_process(runs: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    whole = generate(runs, "--seed", "the ", "--length", 120)
    first = generate(runs, "--seed", "the ", "--length", 50, "--save-state", state)
    options = ("--length", 35, "--load-state", state, "--save-state", state)
    second = succeed("generate", "--run", "stream", *options, cwd=runs)
    third = generate(runs, *options)  # with the same random seed said again
    assert first + second + third == whole
    assert state.stat().st_size < 4096


def test_a_seed_given_to_a_stream_set_aside_is_read_after_it(runs: Path, tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "seed"
    file.write_text("xyz")
    begun = generate(runs, "--seed", "the ", "--length", 20, "--save-state", state)
    options = ("--length", 30, "--rng-seed", 2)
    loaded = ("--load-state", state, *options)
    went_on = generate(runs, *loaded, "--seed", "xyz")
    assert went_on == generate(runs, *loaded, "--seed-file", file)
    assert went_on == "xyz" + generate(runs, "--seed", begun + "xyz", *options)[27:]


# --- After it has learned from a text -------------------------------------------------------------

ADAPT = ("--adapt", "-", "--adapt-rate", "0.02", "--length", "16")
REPEATED = "the sea " * 150


def test_it_writes_on_in_the_manner_of_a_text_that_it_has_read(runs: Path) -> None:
    before = {file: file.read_bytes() for file in runs.rglob("*") if file.is_file()}
    coldest = ("--temperature", "0")
    assert generate(runs, *ADAPT, *coldest, stdin=REPEATED) == "the sea the sea "
    assert generate(runs, *ADAPT, *coldest, "the s", stdin=REPEATED) == "the sea the sea the s"
    likeliest = ("generate", "--run", "stream", *ADAPT[:4], "--next", "1", "the ")
    following = succeed(*likeliest, cwd=runs, stdin=REPEATED)
    assert following.startswith('"s"')
    assert {file: file.read_bytes() for file in runs.rglob("*") if file.is_file()} == before


def test_lines_are_written_in_the_manner_of_those_that_it_has_read(runs: Path) -> None:
    line = generate(runs, *ADAPT, "--temperature", "0", run="lines", stdin="sea salt\n" * 150)
    assert line == "sea salt\n"


def test_the_same_random_seed_adapts_to_the_same_texts(runs: Path) -> None:
    one = generate(runs, *ADAPT, stdin=REPEATED)
    assert one == generate(runs, *ADAPT, stdin=REPEATED)
    assert one != generate(runs, "--length", 16)
    many = generate(runs, *ADAPT, "--samples", 3, "--json", stdin=REPEATED)
    assert objects(many)[0]["text"] == one


def test_what_the_model_does_not_know_in_such_a_text_is_told(runs: Path) -> None:
    done = charrnn("generate", "--run", "stream", *ADAPT, cwd=runs, stdin="the sea É the sea")
    assert done.returncode == 0
    assert 'characters that the run does not know: "É"' in done.stderr


def test_a_text_in_another_encoding_is_answered_with_what_reads_it(runs: Path) -> None:
    stdin = "the caf\u00e9, the sea\n".encode("latin-1")
    failed = charrnn("generate", "--run", "stream", "--adapt", "-", cwd=runs, stdin=stdin)
    assert failed.returncode == 2
    assert "| charrnn generate --adapt - --run stream`" in failed.stderr


# --- What is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "-1"], "--temperature"),
        (["--temperature", "warm"], "'warm' is not a number"),
        (["--length", "2.5"], "'2.5' is not a whole number"),
        (["--samples", "0"], "--samples"),
        (["--batch-size", "0"], "--batch-size"),
        (["--seed", "a", "--seeds", "-"], "--seed and --seeds"),
        (["a", "--seed", "b"], "SEED and --seed exclude each other"),
        (["--strict", "--seed", "a"], "--strict goes with --seeds"),
        (["a", "--next", "0"], "--next"),
        (["a", "--next", "3", "--temperature", "1"], "--next writes no text, and --temperature"),
        (["a", "--next", "3", "--samples", "2"], "--next writes no text, and --samples"),
        (["É", "--next", "3"], "does not know the character 'É'"),
        (["--unknown", "what"], "--unknown"),
        (["--allow", "é"], "no character"),
        (["--match", "[0-9]+"], "--match"),
        (["--min-length", "10", "--length", "5"], "--min-length"),
        (["--forever", "--novelty", "5"], "--novelty needs the end"),
        (["--forever", "--samples", "2"], "more than one text needs the end"),
        (["--logprobs"], "--json"),
        (["--seed", r"\q", "--escapes"], r"\q is not an escape"),
        (["--seed-file", "nowhere"], "nowhere"),
        (["--seed-file", "."], "cannot read .: Is a directory"),
        (["--seed-file", "/dev/zero"], "too many for a seed"),
        (["--load-state", "nowhere"], "nowhere"),
        (["--save-state", "s", "--samples", "2"], "--save-state is for one text"),
        (["--save-state", "nowhere/s"], "there is no folder nowhere"),
        (["--save-state", "/dev/null"], "/dev/null is not a plain file"),
        (["--run", "lines", "--save-state", "s"], "this model writes lines"),
        (["--match", "a", "--stop", "b"], "--match and --stop cannot be combined"),
        (["--match", "a", "--grammar", "/dev/null"], "--match and --grammar exclude each other"),
        (["--json-schema", "nowhere"], "nowhere"),
        (["--save-state", "s", "--match", "a"], "--save-state and --match exclude each other"),
        (["--adapt", "nowhere"], "nowhere"),
        (["--adapt", "-"], "stdin is empty"),
        (["--adapt", "-", "--seeds", "-"], "cannot both be read from stdin"),
        (["--adapt", "x", "--save-state", "s"], "--adapt and --save-state exclude each other"),
        (["--adapt", "x", "--adapt-rate", "7"], "--adapt-rate is 7.0; it must be from 0 to 1"),
        (["--adapt-rate", "0.1"], "--adapt-rate goes with --adapt"),
        (["--run", "elsewhere"], "elsewhere"),
        (["--run", ""], "the run directory is empty"),
        (["--null", "--json"], "--null and --json"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2_and_no_text(
    arguments: list[str], message: str, runs: Path
) -> None:
    run = [] if "--run" in arguments else ["--run", "stream"]
    failed = charrnn("generate", *run, *arguments, cwd=runs)
    assert failed.returncode == 2
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    if "--json" not in arguments:
        assert failed.stdout == ""


def test_an_endless_text_cannot_be_told_in_json_and_json_says_so(runs: Path) -> None:
    failed = charrnn("generate", "--run", "stream", "--forever", "--json", cwd=runs)
    assert failed.returncode == 2
    assert "--json needs the end" in json.loads(failed.stdout)["error"]["message"]


def test_a_seed_that_is_not_text_is_named_with_its_place(runs: Path) -> None:
    failed = charrnn("generate", "--run", "stream", "--seed", "-", cwd=runs, stdin=b"ab\xff")
    assert failed.returncode == 2
    assert "byte 0xff at offset 2" in failed.stderr


# --- One bad seed of many -----------------------------------------------------------------------


BAD_SEEDS = ("ab\nÉ\nba\n".encode(), b"ab\nb\xff\nba\n")


@pytest.mark.parametrize("seeds", BAD_SEEDS, ids=["unknown character", "no text"])
@pytest.mark.parametrize("samples", [1, 2])
def test_one_bad_seed_of_many_is_answered_in_its_place_and_the_others_are_as_ever(
    seeds: bytes, samples: int, runs: Path
) -> None:
    options = ("--rng-seed", 1, "--length", 20, "--seeds", "-", "--samples", samples)
    command = ("generate", "--run", "stream", *options)
    good = objects(succeed(*command, "--json", cwd=runs, stdin="ab\nb\nba\n"))
    done = charrnn(*command, "--json", cwd=runs, stdin=seeds)
    assert done.returncode == 2
    found = objects(done.stdout)
    assert [each["sample"] for each in found] == list(range(3 * samples))
    bad, middle = found[samples : 2 * samples], range(samples, 2 * samples)
    assert all("seed 2: " in each["error"]["message"] for each in bad)
    assert all(each["error"]["exit_code"] == 2 and "text" not in each for each in bad)
    for number, (each, expected) in enumerate(zip(found, good, strict=True)):
        if number not in middle:
            assert each["text"] == expected["text"]


def test_without_json_a_bad_seed_is_an_empty_line_and_a_warning(runs: Path) -> None:
    options = ("--run", "stream", "--seeds", "-", "--length", 5, "--ban", "\n")
    done = charrnn("generate", *options, cwd=runs, stdin="ab\nÉ\nba\n")
    assert done.returncode == 2
    first, second, third = done.stdout.splitlines()
    assert (first[:2], second, third[:2]) == ("ab", "", "ba")
    assert "warning: seed 2: the model does not know the character 'É'" in done.stderr


def test_the_hint_in_an_error_object_names_options_as_they_are_typed(runs: Path) -> None:
    done = charrnn("generate", "--run", "stream", "--seeds", "-", "--json", cwd=runs, stdin="É\n")
    assert "--unknown" in json.loads(done.stdout)["error"]["hint"]


def test_strict_ends_at_the_first_bad_seed_after_the_texts_before_it(runs: Path) -> None:
    options = ("--run", "stream", "--seeds", "-", "--length", 5, "--strict")
    for seeds in BAD_SEEDS:
        done = charrnn("generate", *options, cwd=runs, stdin=seeds)
        assert done.returncode == 2
        assert done.stdout.startswith("ab")
        assert done.stdout.count("\n") == 1
        assert "error: seed 2: " in done.stderr


def test_a_wrong_escape_is_one_bad_seed_of_many_too(runs: Path) -> None:
    options = ("--run", "stream", "--seeds", "-", "--escapes", "--json", "--length", 5)
    found = objects(charrnn("generate", *options, cwd=runs, stdin="a\n\\q\nb\n").stdout)
    assert ["error" in each for each in found] == [False, True, False]


# --- The next character -------------------------------------------------------------------------


def next_after(runs: Path, seed: str, count: int, run: str = "stream") -> dict[str, float]:
    """What the library says, which is tested against the network."""
    found = load(runs / run).next_characters(seed, count)
    return {each.character: each.probability for each in found}


def test_the_likeliest_next_characters_are_printed_with_their_probabilities(runs: Path) -> None:
    lines = succeed("generate", "the se", "--next", 4, "--run", "stream", cwd=runs).splitlines()
    cells = [line.split("\t") for line in lines]
    found = {json.loads(char): float(probability) for char, probability in cells}
    assert found == pytest.approx(next_after(runs, "the se", 4), abs=1e-6)
    assert list(found) == list(next_after(runs, "the se", 4))


def test_json_has_the_next_characters_of_every_seed_and_an_error_for_a_bad_one(runs: Path) -> None:
    options = ("--next", 3, "--run", "lines", "--json")
    one = succeed_json("generate", "ann", *options[:-1], cwd=runs)
    assert one["seed"] == "ann"
    found = {each["character"]: each["probability"] for each in one["next"]}
    assert found == pytest.approx(next_after(runs, "ann", 3, run="lines"))
    done = charrnn("generate", "--seeds", "-", *options, cwd=runs, stdin="ann\nÉ\n")
    assert done.returncode == 2
    first, second = objects(done.stdout)
    assert first == one
    assert "does not know" in second["error"]["message"]
    done = charrnn("generate", "--seeds", "-", "--strict", *options, cwd=runs, stdin="É\nann\n")
    assert done.returncode == 2
    assert "error" in json.loads(done.stdout)


def test_the_next_characters_of_many_seeds_stand_on_a_line_each(runs: Path) -> None:
    options = ("--next", 2, "--run", "stream")
    output = succeed("generate", "--seeds", "-", *options, cwd=runs, stdin="a\nb\n")
    single = [succeed("generate", seed, *options, cwd=runs) for seed in "ab"]
    assert output.splitlines() == ["\t".join(each.splitlines()) for each in single]


def test_every_option_of_a_generation_is_an_option_of_the_command() -> None:
    assert set(GENERATION) == set(OPTION_NAMES)


# --- What it costs to start ---------------------------------------------------------------------


def test_generating_loads_nothing_heavy(runs: Path) -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules},"
        " file=sys.stderr))\n"
        "from charrnn.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "generate", "--run", "stream", "--length", "3"],
        cwd=runs,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert "numpy" in loaded
    assert not {"torch", "pydantic", "rich", "pydoc_data"} & loaded


def test_importing_the_library_loads_nothing_until_it_is_used() -> None:
    program = "import sys, charrnn; print('numpy' in sys.modules, charrnn.load.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False load\n"


def test_one_blas_thread_is_asked_for_unless_the_user_has_said() -> None:
    program = (
        "from charrnn.machine import *; use_one_blas_thread(); print(os.environ[BLAS_VARIABLES[0]])"
    )
    for given, expected in (({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")):
        environment = {
            name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, "PYTHONPATH": str(REPOSITORY), **given},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
