"""One reader under libFuzzer: `python -m tests.fuzz.target READER [CORPUS] [-option=value]...`."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["charrnn"]):
    from tests.fuzz.readers import READERS, Bench


def main() -> None:
    """Search until libFuzzer ends the process."""
    name, *arguments = sys.argv[1:]
    reader, bench = READERS[name], Bench(Path(tempfile.mkdtemp(dir=_fast_folder())))
    reader(bench, b"")  # so that what it imports does not count as slowness
    atheris.Setup([sys.argv[0], *arguments], lambda content: reader(bench, content))
    atheris.Fuzz()


def _fast_folder() -> Path | None:
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


if __name__ == "__main__":
    main()
