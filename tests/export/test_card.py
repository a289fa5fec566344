"""The model card: metadata that parses, figures that are the run's, no folder of this machine."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from charrnn.config.schema import Config, DataConfig
from charrnn.export.card import card_markdown, notes_without_paths, without_local_paths
from charrnn.run.reader import read_model
from tests.models import write_run

HOSTILE = "a: b\n---\n`x` | <script> 'y' \"z\""


def config(*sources: str) -> Config:
    source: Any = sources[0] if len(sources) == 1 else list(sources)
    return Config(data=DataConfig(source=source))


def card(folder: Path, *sources: str, name: str = "verse", **sizes: Any) -> str:
    model = read_model(write_run(folder, **sizes))
    return card_markdown(model, config(*sources), name=name)


def metadata_of(text: str) -> Any:
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def test_the_metadata_is_what_the_hub_asks_for(tmp_path: Path) -> None:
    metadata = metadata_of(card(tmp_path / "run", "poems.txt", cell="gru"))
    assert metadata["library_name"] == "charrnn"
    assert metadata["pipeline_tag"] == "text-generation"
    assert "gru" in metadata["tags"]
    (entry,) = metadata["model-index"]
    (result,) = entry["results"]
    values = {each["type"]: each["value"] for each in result["metrics"]}
    assert values["loss"] == 1.0
    assert values["bits_per_character"] == pytest.approx(1 / math.log(2), abs=1e-6)
    assert values["perplexity"] == pytest.approx(math.e, abs=1e-6)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/home/ada/secret/poems.txt", "poems.txt"),
        ("../secret/poems.txt", "poems.txt"),
        ("secret/", "secret"),
        ("-", "standard input"),
        ("builtin:python-docs", "Python language reference"),
        ("https://example.org/secret/a.txt", "https://example.org/secret/a.txt"),
        ("https://ada:~@example.org/a.txt", "https://example.org/a.txt"),
    ],
)
def test_a_text_is_named_without_its_folders(source: str, said: str, tmp_path: Path) -> None:
    text = card(tmp_path / "run", source)
    assert said in text
    assert not re.search(r"\b(ada|home)\b", text)
    assert "../" not in text
    assert str(tmp_path) not in text


def test_a_name_cannot_break_out_of_the_metadata_or_the_markdown(tmp_path: Path) -> None:
    text = card(tmp_path / "run", f"texts/{HOSTILE.replace('/', '')}", name=HOSTILE)
    metadata = metadata_of(text)
    assert metadata["model-index"][0]["name"] == HOSTILE.replace("\n", "\\n")
    body = text.split("---\n", 2)[2]
    assert "<script>" not in re.sub(r"(`+) .*? \1", "", body)
    assert "\n---\n" not in body


def test_the_commands_of_the_card_are_commands_of_charrnn(tmp_path: Path) -> None:
    from charrnn.cli.app import COMMANDS

    named = re.findall(r"^charrnn (\w+)", card(tmp_path / "run", "a.txt"), re.MULTILINE)
    assert set(named) == {"generate", "eval", "export"}
    assert set(named) <= set(COMMANDS)


def test_sources_keep_their_order_and_their_kind() -> None:
    before = config("/a/b.txt", "https://x.org/c", "-", "builtin:names", "d/e")
    after = without_local_paths(before)
    assert after.data.source == ["b.txt", "https://x.org/c", "-", "builtin:names", "e"]
    assert replace(after, data=before.data) == before
    assert without_local_paths(config("x/y.txt")).data.source == "y.txt"
    assert without_local_paths(config("x/-")).data.source == "text"


def test_validation_files_are_named_without_their_folders() -> None:
    config = Config(data=DataConfig(source="x/y.txt", valid_source=["z/a.txt", "b.txt"]))
    assert without_local_paths(config).data.valid_source == ["a.txt", "b.txt"]


def test_a_note_that_names_a_path_is_left_out() -> None:
    notes = ["at step 5: train.steps: 5 -> 9", "begun with the weights of runs/a (step 3)"]
    assert notes_without_paths(notes) == notes[:1]
