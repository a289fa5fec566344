"""charrnn: character-level recurrent language models, trained with torch and served with NumPy.

import charrnn

text = "".join(charrnn.load("runs/shakespeare").generate("ROMEO:", length=200))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charrnn.model import Model, load

__all__ = ["Model", "__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is public when it is first used (PEP 562): the package's import is instant."""
    if name in {"Model", "load"}:
        from charrnn import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
