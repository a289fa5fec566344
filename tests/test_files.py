"""Scratch folders: gone at the end, and swept up when their owner could not do it."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.files import scratch_folder

HOLD_A_FOLDER = """
import sys, time
from pathlib import Path
from charrnn.files import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half-made")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_scratch_folder_is_gone_at_the_end_even_after_an_error(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with scratch_folder(tmp_path / "deep" / "down") as folder:
            (folder / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail_halfway()
    assert list((tmp_path / "deep" / "down").iterdir()) == []


def test_a_scratch_folder_is_hidden_and_private(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert folder.name.startswith(".")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_a_killed_owner_left_is_swept_away_and_a_living_one_is_left_alone(
    tmp_path: Path,
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_FOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        assert owner.stdout is not None
        left = Path(owner.stdout.readline().strip())
        with scratch_folder(tmp_path):
            assert (left / "half").exists()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert (left / "half").exists()
        with scratch_folder(tmp_path):
            assert not left.exists()
    finally:
        owner.kill()
        owner.communicate()
