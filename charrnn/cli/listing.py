"""How wide the terminal is, and a list of choices with what they are that fits it."""

import shutil
import textwrap
from collections.abc import Mapping

PIPE_COLUMNS = 80
"""How wide what goes to a pipe or a file is."""


def columns_of_stdout() -> int:
    """The columns of the terminal, or of what is not one."""
    return shutil.get_terminal_size((PIPE_COLUMNS, 0)).columns


def listed(title: str, choices: Mapping[str, str]) -> str:
    """A title and a line for each choice; what is longer than the terminal goes on below."""
    width = max(map(len, choices))
    columns = columns_of_stdout()
    lines = [
        textwrap.fill(
            f"  {name:<{width}}  {about}",
            columns,
            subsequent_indent=" " * (width + 4),
            break_on_hyphens=False,
        )
        for name, about in choices.items()
    ]
    return "\n".join([title, "", *lines])
