"""How many processors this process may use: those it may run on, within the quota of its container.

A container's share of the processors is a quota of its control group (cgroup), which the affinity
does not show: more threads than that wait for each other.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from charrnn.machine import BLAS_VARIABLES

CGROUPS = Path("/sys/fs/cgroup")
CGROUPS_OF_PROCESS = Path("/proc/self/cgroup")


def processor_count() -> int:
    """The processors that this process may use; a part of one is one."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    return min([count, *map(math.ceil, _quotas())])


def free_threads() -> int:
    """Threads that may compute side by side: a processor each, or one if BLAS has its own."""
    return processor_count() if os.environ.get(BLAS_VARIABLES[0]) == "1" else 1


def _quotas() -> Iterator[float]:
    """The processors' worth of time that each of the groups above this process may have."""
    for folder in _groups():
        with suppress(OSError, ValueError):  # there is no such file, or no quota ("max")
            files = [folder / "cpu.max"]
            if not files[0].exists():  # version 1
                files = [folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"]
            quota, period = map(float, " ".join(each.read_text() for each in files).split())
            if quota > 0:  # -1 is none
                yield quota / period


def _groups() -> Iterator[Path]:
    """The folders of this process's groups and of those above, cgroup v2's and v1's."""
    with suppress(OSError):
        for line in CGROUPS_OF_PROCESS.read_text().splitlines():
            _number, controllers, path = line.split(":", 2)
            if controllers == "" or "cpu" in controllers.split(","):
                group = CGROUPS / controllers / path.strip("/")
                yield from (
                    each for each in (group, *group.parents) if each.is_relative_to(CGROUPS)
                )
