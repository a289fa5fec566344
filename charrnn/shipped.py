"""The files that come with charrnn: configurations, a list of names to learn, documentation.

In a checkout they lie beside the package, in `configs/`, `data/` and `docs/`; a wheel carries them
inside.
"""

from pathlib import Path

from charrnn.errors import UserError
from charrnn.messages import format_path, join_words, nearest

PACKAGE = Path(__file__).parent
CONFIGS = "configs"
NAMES = "data/names.txt"
YAML = ".yaml"


def shipped_path(name: str) -> Path:
    """Return where a shipped file or folder lies, `configs` or `data/names.txt`."""
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name


def find_config(path: Path) -> Path:
    """Return the configuration that is meant: a file, or a shipped one by its bare name.

    Raises:
        UserError: There is no file of this name, and none is shipped.
    """
    is_bare = len(path.parts) == 1 and path.suffix in {"", YAML} and path.name != "-"
    if not is_bare or (path.exists() and not path.is_dir()):
        return path
    shipped = {each.stem: each for each in sorted(shipped_path(CONFIGS).glob(f"*{YAML}"))}
    if path.stem in shipped:
        return shipped[path.stem]
    meant = nearest(path.stem, shipped)
    raise UserError(
        f"there is no configuration {format_path(path)}, neither here nor among charrnn's own",
        hint=f"did you mean {meant}?"
        if meant
        else f"charrnn's own are {join_words(shipped, 'and')}",
    )
