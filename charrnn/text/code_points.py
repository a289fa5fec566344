"""Text as an array of code points: the form in which NumPy can count, cut and translate it.

ASCII text becomes one byte a character, everything else four. The narrow form is not only
smaller: tables of 256 entries serve it, and they stay in the processor's first cache.
"""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

CodePoints = npt.NDArray[np.unsignedinteger[Any]]

CODE_POINTS = sys.maxunicode + 1
"""How many code points Unicode has; each is below this number."""

_UTF32 = f"utf-32-{'le' if sys.byteorder == 'little' else 'be'}"


def code_points_of(text: str) -> CodePoints:
    """Return the code points of `text`: uint8 if all of it is ASCII, uint32 otherwise."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    # NumPy's own string type is UCS-4: this is one conversion in C, faster than any codec.
    return np.array([text]).view(np.uint32)


def text_of(points: CodePoints) -> str:
    """Return the text with these code points, the opposite of `code_points_of`."""
    return points.astype(np.uint32).tobytes().decode(_UTF32, "surrogatepass")


def is_surrogate(code_point: int) -> bool:
    """Tell whether this is half of a UTF-16 pair, which is no character by itself."""
    return 0xD800 <= code_point <= 0xDFFF
