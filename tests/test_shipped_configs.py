"""The configurations in `configs/`: each one valid, explained, and readable by editors."""

import shutil
from pathlib import Path

import jsonschema
import pytest

from charrnn.config.load import dump_config, load_for_training
from charrnn.config.schema import Config
from charrnn.config.yaml_reader import read_yaml
from scripts.write_reference import json_schema
from tests.cli.process import succeed, succeed_json

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

BROUGHT = {"large"}
"""Those whose text is a file that the user brings."""

every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def test_the_configurations_that_the_documentation_names_are_there() -> None:
    names = {path.stem for path in CONFIGS}
    assert names >= {"quickstart", "names", "gru", "rnn-onehot"}
    assert names >= {"shakespeare-1min", "shakespeare", "shakespeare-15min", "large"}


@every_config
def test_a_shipped_configuration_is_valid(path: Path) -> None:
    assert isinstance(load_for_training(path).config, Config)


@every_config
def test_a_shipped_configuration_fits_the_json_schema_that_it_names(path: Path) -> None:
    first_line, *_ = path.read_text(encoding="utf-8").splitlines()
    marker = "# yaml-language-server: $schema="
    assert first_line.startswith(marker)
    schema = path.parent / first_line.removeprefix(marker)
    assert schema.resolve() == ROOT / "docs" / "config.schema.json"
    jsonschema.Draft7Validator(json_schema()).validate(read_yaml(path))


@every_config
def test_a_shipped_configuration_says_in_prose_what_it_is_for(path: Path) -> None:
    _, *lines = path.read_text(encoding="utf-8").splitlines()
    header = [line for line in lines[: lines.index("")] if line.removeprefix("#").strip()]
    assert len(header) >= 2
    assert all(line.startswith("# ") for line in header)


@every_config
def test_a_shipped_configuration_survives_being_written_out(path: Path, tmp_path: Path) -> None:
    written = tmp_path / "config.yaml"
    written.write_text(dump_config(load_for_training(path).config), encoding="utf-8")
    assert load_for_training(written).config == load_for_training(path).config


@every_config
def test_a_local_source_of_a_shipped_configuration_is_there(path: Path) -> None:
    source = load_for_training(path).config.data.source
    assert isinstance(source, str)
    is_local = not source.startswith(("builtin:", "https:"))
    assert not is_local or path.stem in BROUGHT or (ROOT / source).is_file()


def test_tiny_shakespeare_is_pinned_to_the_bytes_that_everybody_compares_on() -> None:
    data = load_for_training(ROOT / "configs" / "shakespeare.yaml").config.data
    assert data.sha256 == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@every_config
def test_a_shipped_configuration_trains(path: Path, tmp_path: Path) -> None:
    """Shortened, and what would be downloaded replaced; everything else as it is shipped."""
    overrides = ["model.hidden_size=16", "train.steps=3", "train.threads=1"]
    if path.stem in BROUGHT or str(load_for_training(path).config.data.source).startswith("https:"):
        overrides += ["data.source=builtin:python-docs", "data.sha256=null"]
    if load_for_training(path).config.data.valid_chars is not None:
        overrides += ["data.valid_chars=5000"]
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data" / "names.txt", tmp_path / "data")
    answer = succeed_json(
        "train", "--config", path, *(f"--set={each}" for each in overrides), "--out", "run",
        cwd=tmp_path,
    )  # fmt: skip
    assert answer["step"] == 3
    assert succeed("generate", "--run", "run", "--length", "20", "--rng-seed", "1", cwd=tmp_path)
