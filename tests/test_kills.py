"""A short campaign of kills; `make campaign-kills KILLS=1000` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FEW = ("--every=100", "--random=1", "--signals=1", "--cold=0")


def test_a_few_kills_at_chosen_and_random_moments_lose_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.kills", *FEW],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["lost"] == []
    assert figures["file_operations"].keys() == {"stream", "lines"}
    assert figures["tried"]["before a file operation"] >= 4
    assert figures["tried"]["at a random moment"] == 2
