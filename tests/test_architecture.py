"""Which way imports point, what must not be imported, and what a command never waits for.

What ruff can see in one file is a rule in pyproject.toml (banned APIs, heavy imports at module
level, relative imports, missing docstrings, unsafe calls); here, bad snippets show that the rules
bite. What needs several files or a running command is tested directly.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "charrnn"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A module imports from its own part of the package and from lower layers only.
LAYERS = [
    {"", "__main__", "cli"},
    {"model"},
    {"training", "explain", "export"},
    {"generation"},
    {"evaluation"},
    {"inference"},
    {"run"},
    {"text"},
    {"config"},
    {
        "console",
        "ensemble",
        "errors",
        "files",
        "machine",
        "messages",
        "network",
        "processors",
        "progress",
        "shipped",
        "tensors",
        "validation",
    },
]
LOWEST = LAYERS[-1]
"""Single files, which may import each other; no import may be circular."""

MAY_WRITE_RUNS = {"cli", "run", "training"}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported_by(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0, names=names):
            return [
                name if (name := f"{module}.{alias.name}") in MODULES else module for alias in names
            ]
    return []


def imports(module: str, *, when_loaded: bool = False) -> set[str]:
    """Every module that one imports, or only those that it imports as soon as it is loaded."""
    nodes = _run_at_once(tree_of(module)) if when_loaded else ast.walk(tree_of(module))
    return {name for node in nodes for name in imported_by(node)}


def _run_at_once(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is loaded: not functions, not what is for type checkers."""
    yield node
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if is_function or (isinstance(child, ast.If) and _is_type_checking(child.test)):
            continue
        yield from _run_at_once(child)


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def part_of(module: str) -> str:
    """The folder or file under charrnn/ that a module belongs to; "" for charrnn itself."""
    return module.partition(".")[2].partition(".")[0]


def layer_of(part: str) -> int:
    found = [number for number, layer in enumerate(LAYERS) if part in layer]
    assert found, f"charrnn/{part} is new; give it a place in LAYERS"
    return found[0]


def may_import(part: str, other: str) -> bool:
    if other in {part, ""}:  # charrnn/__init__.py has the version
        return True
    if LAYERS[layer_of(part)] is LOWEST or part == "__main__":
        return layer_of(other) == layer_of(part)
    return layer_of(other) > layer_of(part)


# --- Imports ------------------------------------------------------------------------------------


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports(module)
        if name in MODULES and not may_import(part_of(module), part_of(name))
    ]
    assert not wrong


def test_only_training_can_change_a_run() -> None:
    writers = {module for module in MODULES if "charrnn.run.writer" in imports(module)}
    assert {part_of(module) for module in writers} <= MAY_WRITE_RUNS


@pytest.mark.parametrize(("package", "part"), [("torch", "training"), ("typer", "cli")])
def test_only_one_part_imports_a_heavy_package(package: str, part: str) -> None:
    users = {
        part_of(module)
        for module in MODULES
        if package in {name.partition(".")[0] for name in imports(module)}
    }
    assert users == {part}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        module: {name for name in imports(module, when_loaded=True) if name in MODULES}
        for module in MODULES
    }
    loaded: set[str] = set()
    while ready := {module for module in graph.keys() - loaded if graph[module] <= loaded}:
        loaded |= ready
    assert graph.keys() == loaded, f"in a circle: {sorted(graph.keys() - loaded)}"


def test_nothing_is_compiled_or_imported_by_a_computed_name() -> None:
    """`eval` and `exec` are ruff's; it has no rule for these two builtins."""
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"compile", "__import__"}, f"{module}:{node.lineno}: {called}"


# --- Rules of ruff ------------------------------------------------------------------------------

BAD = [
    ("charrnn/text/bad.py", "import pickle", "TID251"),
    ("charrnn/run/bad.py", "from marshal import loads", "TID251"),
    ("charrnn/run/bad.py", "import shelve", "TID251"),
    ("charrnn/run/bad.py", "import joblib", "TID251"),
    ("charrnn/training/bad.py", "import torch\ntorch.load('weights')", "TID251"),
    ("charrnn/text/bad.py", "eval('1')", "S307"),
    ("charrnn/text/bad.py", "exec('1')", "S102"),
    ("charrnn/generation/bad.py", "import torch", "TID253"),
    ("charrnn/cli/bad.py", "from rich.table import Table", "TID253"),
    ("charrnn/cli/bad.py", "import yaml", "TID253"),
    ("charrnn/inference/bad.py", "from safetensors.numpy import load", "TID253"),
    ("charrnn/generation/bad.py", "import llguidance", "TID253"),
    ("charrnn/text/bad.py", "import requests", "TID253"),
    ("charrnn/text/bad.py", "from .vocabulary import Vocabulary", "TID252"),
    ("charrnn/text/bad.py", "x = 1", "D100"),
    ("charrnn/bad/__init__.py", "x = 1", "D104"),
]


def codes(path: str, source: str) -> set[str]:
    """What ruff, with the rules of this project, finds in a file of this path and content."""
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"),
            *("--stdin-filename", path, "-"),
        ],
        input=source + "\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode in {0, 1}, checked.stderr
    return {line.split(": ")[1].split()[0] for line in checked.stdout.splitlines() if ": " in line}


def test_the_rules_that_keep_the_package_safe_and_quick_to_start_bite() -> None:
    pytest.importorskip("ruff")
    for path, source, code in BAD:
        assert code in codes(path, source), f"{code} lets pass: {source}"


def test_what_these_rules_are_not_about_passes() -> None:
    pytest.importorskip("ruff")
    inside = '"""Say something."""\n\n\ndef _load() -> None:\n    import torch  # noqa: F401\n'
    assert codes("charrnn/training/good.py", inside) == set()


# --- In fresh processes -------------------------------------------------------------------------

PROGRAM = """
import atexit, sys
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from charrnn.cli.app import main
main()
"""


def packages_of(*arguments: str, cwd: Path, code: int = 0, **variables: str) -> set[str]:
    """The packages that a command has loaded when it ends, in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == code, result.stderr
    return set(result.stderr.splitlines()[-1].split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, its configuration and the run that a tiny training leaves."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 50)
    (folder / "config.yaml").write_text(
        "data: {source: text.txt}\n"
        "model: {hidden_size: 8, embedding_size: 4}\n"
        "train: {steps: 2, eval_every_steps: 2, precision: float32}\n"
    )
    packages_of("train", "--config", "config.yaml", "--out", "run", cwd=folder)
    return folder


LIGHT_COMMANDS = [
    ["--help"],
    ["--version"],
    ["prepare", "--help"],
    ["train", "--help"],
    ["generate", "--help"],
    ["eval", "--help"],
    ["export", "--help"],
    ["prepare", "--config", "config.yaml"],
    ["generate", "--run", "run", "--seed", "The", "--length", "3"],
    ["eval", "--run", "run"],
    ["eval", "--run", "run", "--by-line"],
    ["explain"],
    ["explain", "units", "--run", "run"],
    ["export", "--run", "run", "--to", "html", "--weights", "bfloat16", "--overwrite"],
    ["export", "--run", "run", "--to", "card", "--overwrite"],
    ["train", "--config", "config.yaml", "--print-config"],
]


@pytest.mark.parametrize("arguments", LIGHT_COMMANDS, ids=" ".join)
def test_a_command_that_does_not_train_leaves_torch_alone(
    arguments: list[str], folder: Path
) -> None:
    assert "torch" not in packages_of(*arguments, cwd=folder)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_help_and_version_load_no_arrays_and_no_yaml(arguments: list[str], folder: Path) -> None:
    packages = packages_of(*arguments, cwd=folder)
    assert not {"torch", "numpy", "yaml", "safetensors"} & packages


def test_completion_loads_no_arrays_and_no_yaml(folder: Path) -> None:
    packages = packages_of(
        cwd=folder, _CHARRNN_COMPLETE="complete_bash", COMP_WORDS="charrnn gen", COMP_CWORD="1"
    )
    assert "typer" in packages
    assert not {"torch", "numpy", "yaml", "safetensors"} & packages


def test_generating_loads_no_more_than_it_needs(folder: Path) -> None:
    packages = packages_of("generate", "--run", "run", "--seed", "The", "--length", "3", cwd=folder)
    assert not {"torch", "rich", "pydoc_data"} & packages


def test_a_text_that_is_not_there_is_missed_before_torch_is_loaded(folder: Path) -> None:
    assert "torch" not in packages_of("train", "nosuch.txt", cwd=folder, code=2)


def test_training_does_load_torch_so_that_these_tests_can_fail(folder: Path) -> None:
    assert "torch" in packages_of("train", "--config", "config.yaml", "--out", "again", cwd=folder)
