"""A file that a command is asked to write: where it may be, and that nothing is lost by it."""

from pathlib import Path
from typing import Annotated

from charrnn.cli.options import option
from charrnn.errors import UserError
from charrnn.messages import format_path

Overwrite = Annotated[
    bool, option("Replace a file that is there.", None, "--overwrite", "--force", "-f")
]


def check_new_file(option: str, path: Path, *, overwrite: bool) -> None:
    """Find out before the work is done that its result could not be written.

    Raises:
        UserError: `path`, which is the value of `option`, is taken, or in no folder.
    """
    if not path.parent.is_dir():
        raise UserError(
            f"{option} {format_path(path)}: there is no folder {format_path(path.parent)}"
        )
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {format_path(path)} is not a plain file")
    if path.exists() and not overwrite:
        raise UserError(
            f"{format_path(path)} exists already and is not overwritten",
            hint=f"--overwrite replaces it, another {option} leaves it",
        )
