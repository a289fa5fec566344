"""The shape of the house: which way imports point, and what a command never has to wait for."""

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
SHARED_BY_ALL = {
    "config",
    "console",
    "errors",
    "files",
    "machine",
    "messages",
    "network",
    "tensors",
    "validation",
}

# Each room may import itself, the rooms named here, and what is shared by all.
ARROWS = {
    "": {"generation"},
    "cli": {"*"},
    "__main__": {"cli"},
    "config": set(),
    "console": set(),
    "errors": set(),
    "files": set(),
    "machine": set(),
    "messages": set(),
    "network": set(),
    "tensors": set(),
    "validation": set(),
    "text": set(),
    "run": {"text"},
    "inference": {"run", "text"},
    "evaluation": {"inference", "run", "text"},
    "generation": {"inference", "run", "text"},
    "training": {"evaluation", "inference", "run", "text"},
}
HEAVY = {"torch", "rich", "typer", "yaml", "safetensors", "pooch"}
MAY_BE_HEAVY = {
    "charrnn.training": {"torch"},
    "charrnn.cli": {"typer"},
    "charrnn.config": {"yaml"},
}
UNSAFE_NAMES = {"eval", "exec", "compile", "__import__"}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}


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


def room_of(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


every_module = pytest.mark.parametrize("module", list(MODULES))


@every_module
def test_imports_point_the_way_that_the_plan_says(module: str) -> None:
    room = room_of(module)
    assert room in ARROWS, f"{module} is new; draw its arrows in this test"
    allowed = ARROWS[room] | SHARED_BY_ALL | {room, ""}
    rooms = {room_of(name) for name in imports(module) if name in MODULES}
    assert "*" in allowed or rooms <= allowed


@every_module
def test_only_training_can_change_a_run(module: str) -> None:
    may = {"cli", "run", "training"}
    assert room_of(module) in may or "charrnn.run.writer" not in imports(module)


@every_module
def test_imports_are_absolute(module: str) -> None:
    relative = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ImportFrom)]
    assert all(node.level == 0 for node in relative)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        module: {name for name in imports(module, when_loaded=True) if name in MODULES}
        for module in MODULES
    }
    loaded: set[str] = set()
    while ready := {module for module in graph.keys() - loaded if graph[module] <= loaded}:
        loaded |= ready
    assert graph.keys() == loaded, f"in a circle: {sorted(graph.keys() - loaded)}"


@every_module
def test_only_the_training_wing_imports_torch(module: str) -> None:
    packages = {name.partition(".")[0] for name in imports(module)}
    assert "torch" not in packages or room_of(module) == "training"


@every_module
def test_heavy_packages_are_loaded_by_the_modules_that_are_about_them(module: str) -> None:
    packages = {name.partition(".")[0] for name in imports(module, when_loaded=True)}
    room = f"charrnn.{room_of(module)}"
    assert packages & HEAVY <= MAY_BE_HEAVY.get(room, set())


@every_module
def test_nothing_that_is_read_can_be_executed(module: str) -> None:
    assert not UNSAFE_MODULES & {name.partition(".")[0] for name in imports(module)}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in UNSAFE_NAMES, f"{module}:{node.lineno} calls {called}"
            assert called != "torch.load", f"{module}:{node.lineno} calls {called}"


@every_module
def test_a_module_begins_by_saying_what_it_is_about(module: str) -> None:
    assert (ast.get_docstring(tree_of(module)) or "").strip()


# --- In fresh processes -------------------------------------------------------------------------

PROGRAM = """
import atexit, sys
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from charrnn.cli.app import main
main()
"""


def packages_of(*arguments: str, cwd: Path, **variables: str) -> set[str]:
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
    assert result.returncode == 0, result.stderr
    return set(result.stderr.splitlines()[-1].split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, its configuration and the run that a tiny training leaves."""
    folder = tmp_path_factory.mktemp("house")
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
    ["prepare", "--config", "config.yaml"],
    ["generate", "--run", "run", "--seed", "The", "--length", "3"],
    ["eval", "--run", "run"],
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
    words = {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": "charrnn gen", "COMP_CWORD": "1"}
    packages = packages_of(cwd=folder, **words)
    assert "typer" in packages
    assert not {"torch", "numpy", "yaml", "safetensors"} & packages


def test_generating_loads_no_more_than_it_needs(folder: Path) -> None:
    packages = packages_of("generate", "--run", "run", "--seed", "The", "--length", "3", cwd=folder)
    assert not {"torch", "rich", "pydoc_data"} & packages


def test_training_does_load_torch_so_that_these_tests_can_fail(folder: Path) -> None:
    assert "torch" in packages_of("train", "--config", "config.yaml", "--out", "again", cwd=folder)
