"""One training in a run directory, and a lock that no crash leaves behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.errors import UserError
from charrnn.run.lock import RunLock

KILLED_WITH_A_CHILD = """
import os, signal, sys
from pathlib import Path
from charrnn.run.lock import RunLock

lock = RunLock(Path(sys.argv[1]))
if os.fork() == 0:
    os.close(1)
    signal.pause()
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_second_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = RunLock(tmp_path)
    with pytest.raises(UserError, match="another training is at work"):
        RunLock(tmp_path)
    first.release()
    RunLock(tmp_path).release()


def test_a_killed_training_leaves_no_lock_although_its_loaders_live_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_WITH_A_CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.read() == b"locked\n"
    assert process.wait() == -9
    try:
        RunLock(tmp_path).release()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
