"""How many processors a process may use, on machines made of files."""

import os
from pathlib import Path

import pytest

from charrnn import processors
from charrnn.processors import processor_count


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with eight processors; what is written to `cgroup` and `groups/` is its quotas."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(processors, "CGROUPS_OF_PROCESS", tmp_path / "cgroup")
    return tmp_path


def test_without_a_quota_all_processors_are_used(machine: Path) -> None:
    assert processor_count() == 8
    (machine / "cgroup").write_text("0::/\n")
    assert processor_count() == 8


@pytest.mark.parametrize(
    ("content", "count"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("?", 8)],
)
def test_a_quota_of_the_second_version_is_respected(
    machine: Path, content: str, count: int
) -> None:
    (machine / "cgroup").write_text("0::/user/me\n")
    (machine / "groups/user/me").mkdir(parents=True)
    (machine / "groups/user/me/cpu.max").write_text(content + "\n")
    assert processor_count() == count


def test_the_quota_of_a_group_above_counts_too(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/user/me\n")
    (machine / "groups/user/me").mkdir(parents=True)
    (machine / "groups/user/me/cpu.max").write_text("max 100000\n")
    (machine / "groups/user/cpu.max").write_text("300000 100000\n")
    assert processor_count() == 3


@pytest.mark.parametrize("inside", ["cpu,cpuacct/docker/0123", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "count"), [("-1", 8), ("250000", 3)])
def test_a_quota_of_the_first_version_is_respected(
    machine: Path, inside: str, quota: str, count: int
) -> None:
    """A container sees its own group where the system's root is, under the path it has outside."""
    (machine / "cgroup").write_text("5:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n")
    group = machine / "groups" / inside
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(quota + "\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert processor_count() == count
