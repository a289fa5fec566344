"""Every file of a run, a corpus and a stream set aside, at every length and with each bit flipped.

    python -m tests.fuzz.exhaustive

The suite tries one bit of each byte; this tries all, and counts. `make fuzz` begins with it.
"""

import sys
import tempfile
from itertools import chain
from pathlib import Path

from tests.damage import cut_off_everywhere, with_each_bit_flipped
from tests.fuzz.readers import READERS, Bench, examples

FILES = ("card", "vocabulary", "weights", "state", "manifest", "ids", "starts")


def main() -> int:
    """Try everything; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name, contents in examples(bench, FILES).items():
            whole = contents[0]
            tried = 0
            for damaged in chain(cut_off_everywhere(whole), with_each_bit_flipped(whole)):
                READERS[name](bench, damaged)
                tried += 1
            print(f"{name:<12} {len(whole):>6,} bytes, damaged in {tried:>7,} ways", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
