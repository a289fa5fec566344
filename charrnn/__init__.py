"""charrnn: character-level recurrent language models, trained with torch and served with NumPy.

import charrnn

text = "".join(charrnn.load("runs/shakespeare").generate("ROMEO:", length=200))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charrnn.generation.language_model import load

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is public when it is first used (PEP 562): the package's import is instant."""
    if name == "load":
        from charrnn.generation.language_model import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
