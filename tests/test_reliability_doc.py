"""docs/reliability.md: every promise names a test, and the test is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def names_of_tests_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def promises() -> list[str]:
    """The rows of the tables in which a promise is held by tests."""
    rows = re.findall(r"^\| (?!---|promise|what )(.+) \|$", DOCUMENT, re.MULTILINE)
    return [row for row in rows if "tests/" in row or row.count("|") == 1]


def test_every_test_that_is_named_is_there() -> None:
    found = NAMED.findall(DOCUMENT)
    assert len(found) > 20
    for file, name in found:
        assert (ROOT / file).is_file(), file
        assert not name or name in names_of_tests_in(ROOT / file), f"{file}::{name}"


def test_every_promise_names_a_test() -> None:
    assert len(promises()) > 15
    for row in promises():
        assert NAMED.search(row), row
