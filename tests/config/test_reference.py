"""What is made from the schema for other readers: complete, valid and current."""

import os
import subprocess
import sys
from pathlib import Path

import jsonschema

from charrnn.validation import is_valid
from scripts.write_reference import SECTIONS, json_schema, reference_tables, settings_in

ROOT = Path(__file__).parents[2]


def test_every_setting_says_what_it_means() -> None:
    for section in SECTIONS:
        for setting in settings_in(section):
            assert setting.meaning.endswith("."), f"{section}.{setting.name}"
            assert f"| `{setting.name}` |" in reference_tables()


def test_every_default_is_a_value_that_its_setting_takes() -> None:
    for section in SECTIONS:
        for setting in settings_in(section):
            assert is_valid(setting.kind, setting.default), f"{section}.{setting.name}"


def test_the_json_schema_is_valid_json_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


def test_the_committed_schema_and_reference_are_current() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write_reference.py"), "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"`make docs` renews: {result.stdout} {result.stderr}"
