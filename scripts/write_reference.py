"""Write what is made from the configuration's schema: `make docs`.

`docs/config.schema.json` is the JSON Schema that the shipped configurations name, and
`docs/configuration.md` has its tables between two marks, prose around them. With --check nothing
is written; what is out of date is named, and the exit status is 1.
"""

import json
import sys
from pathlib import Path

from charrnn.config.reference import json_schema, reference_tables

DOCS = Path(__file__).parent.parent / "docs"
SCHEMA = DOCS / "config.schema.json"
REFERENCE = DOCS / "configuration.md"
BEGIN = "<!-- The tables are made by `make docs` from charrnn/config/schema.py. -->\n"
END = "<!-- End of the tables. -->\n"


def contents() -> dict[Path, str]:
    """What each file should hold."""
    return {
        SCHEMA: json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
        REFERENCE: with_tables(REFERENCE.read_text(encoding="utf-8")),
    }


def with_tables(reference: str) -> str:
    """The reference with the tables between its marks made anew."""
    before, _, rest = reference.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{reference_tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write or check every file; returns the exit status."""
    stale = [path for path, text in contents().items() if not _holds(path, text)]
    for path in stale:
        if "--check" not in arguments:
            path.write_text(contents()[path], encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(DOCS.parent)}\n")
    return 1 if stale and "--check" in arguments else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
