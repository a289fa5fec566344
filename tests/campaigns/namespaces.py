"""Two machines on one: network namespaces, each with a name, joined by a cable of a chosen rate.

A namespace has its own network devices and addresses, so what runs in one reaches what runs in the
other through the cable (a veth pair) alone. The rate is set by tc's token bucket filter, in each
direction. Each machine has a host name too, and a table of names that knows both, as a name server
would. Needs the rights of root.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

NAMES = ("alpha", "beta")
ADDRESSES = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
CABLE = "veth0"
BURSTS_A_SECOND = 250
SMALLEST_BURST_BYTES = 1 << 18
ENTER = (
    "hostname {name} && mount --bind {etc}/hosts /etc/hosts "
    '&& mount --bind {etc}/nsswitch.conf /etc/nsswitch.conf && exec "$@"'
)
ENDING_SECONDS = 10


class NoRightsError(Exception):
    """Network namespaces cannot be made here; says why."""


class Machine:
    """A namespace in which commands run as on a machine of their own."""

    def __init__(self, name: str, etc: Path) -> None:
        self.name = name
        self.address = ADDRESSES[name]
        self.namespace = f"charrnn-{os.getpid()}-{name}"
        self._etc = etc

    def entering(self) -> list[str]:
        """The words before a command that is to run on this machine."""
        inside = ENTER.format(name=self.name, etc=self._etc)
        enter = ("ip", "netns", "exec", self.namespace, "unshare", "--uts", "--mount")
        return [*enter, "sh", "-c", inside, "sh"]

    def start(
        self, *command: str, cwd: Path, output: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a command in a folder; what it says is added to a file."""
        with output.open("ab") as stream:
            return subprocess.Popen(
                [*self.entering(), *command],
                cwd=cwd,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def processes(self) -> list[int]:
        """The ids of all processes on this machine, the youngest last."""
        return sorted(map(int, _ip("netns", "pids", self.namespace).split()))

    def kill(self) -> None:
        """End everything on it at once, as a power cut does."""
        end = time.monotonic() + ENDING_SECONDS
        while (processes := self.processes()) and time.monotonic() < end:
            for process in processes:
                _send(process, signal.SIGKILL)
            time.sleep(0.05)

    def set_cable(self, state: str) -> None:
        """Plug the cable in (up) or out (down)."""
        _ip("-n", self.namespace, "link", "set", CABLE, state)


@contextmanager
def two_machines(gigabits: float | None = None) -> Iterator[tuple[Machine, Machine]]:
    """Two machines, and between them a cable of so many Gbit/s; None is as fast as it goes.

    Raises:
        NoRightsError: They cannot be made here.
    """
    _remove_leftovers()
    with tempfile.TemporaryDirectory() as folder:
        etc = Path(folder)
        table = "".join(f"{ADDRESSES[name]} {name}\n" for name in NAMES)
        (etc / "hosts").write_text("127.0.0.1 localhost\n" + table)
        (etc / "nsswitch.conf").write_text("hosts: files\n")
        alpha, beta = (Machine(name, etc) for name in NAMES)
        try:
            _connect(alpha, beta, gigabits)
            yield alpha, beta
        finally:
            _remove([alpha.namespace, beta.namespace])


def _connect(alpha: Machine, beta: Machine, gigabits: float | None) -> None:
    try:
        for machine in (alpha, beta):
            _ip("netns", "add", machine.namespace)
        ends = ("netns", alpha.namespace, "type", "veth", "peer", "name", CABLE)
        _ip("link", "add", CABLE, *ends, "netns", beta.namespace)
        for machine in (alpha, beta):
            inside = ("-n", machine.namespace)
            _ip(*inside, "address", "add", f"{machine.address}/24", "dev", CABLE)
            for device in ("lo", CABLE):
                _ip(*inside, "link", "set", device, "up")
            if gigabits is not None:
                bits = round(gigabits * 1e9)
                burst = max(SMALLEST_BURST_BYTES, bits // 8 // BURSTS_A_SECOND)
                shape = f"tbf rate {bits}bit burst {burst} latency 50ms".split()
                _run("tc", *inside, "qdisc", "add", "dev", CABLE, "root", *shape)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise NoRightsError(f"no network namespaces here: {said.strip()}") from error


def _remove_leftovers() -> None:
    """Remove the machines of programs that were killed before they could do so themselves."""
    try:
        known = _ip("netns", "list").split()
    except (OSError, subprocess.CalledProcessError):
        return
    pattern = re.compile(rf"charrnn-(\d+)-({'|'.join(NAMES)})")
    names = filter(None, map(pattern.fullmatch, known))
    _remove([name[0] for name in names if not Path("/proc", name[1]).exists()])


def _remove(namespaces: list[str]) -> None:
    for namespace in namespaces:
        with suppress(OSError, subprocess.CalledProcessError):  # it may never have been made
            for process in map(int, _ip("netns", "pids", namespace).split()):
                _send(process, signal.SIGKILL)
            _ip("netns", "delete", namespace)


def _send(process: int, which: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, which)


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
