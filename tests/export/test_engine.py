"""The page's JavaScript under node, compared with NumPy."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.export.cases import KINDS, as_json, make_case

NODE = shutil.which("node")


def test_the_page_computes_in_node_what_numpy_computes(tmp_path: Path) -> None:
    if NODE is None:
        pytest.skip("node is not installed")
    cases = [
        f'"{kind["cell"]} {number}": {as_json(make_case(tmp_path / str(number), **kind))}'
        for number, kind in enumerate(KINDS)
    ]
    (tmp_path / "cases.json").write_text(f"{{{','.join(cases)}}}")
    done = subprocess.run(
        [NODE, "--test", str(Path(__file__).parent / "engine.test.js")],
        env={**os.environ, "CASES": str(tmp_path / "cases.json")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout
    assert f"# pass {3 * len(KINDS) + 6}" in done.stdout
