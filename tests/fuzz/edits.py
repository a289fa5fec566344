"""Damage that a parser does not stop at: bytes taken as a list of edits of a whole JSON value.

Random bytes are rarely JSON. Read as edits, they put odd values into well-formed files, and get as
far as the checks of what the values mean.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, 3, 4, 5, -1, 255, 2**31, 2**53, 2**63, 2**64, 10**30, 10**300),
    *(0.0, 0.5, -0.5, 1.0, 1e308, 5e-324),
    *("", "a", "b", "\n", "\x1b[31m", "\u202e", "../../etc/passwd", "0" * 64, "f" * 64, "x" * 300),
    *("F32", "F64", "F16", "BF16", "F8_E4M3", "I64", "U8", "BOOL", "C64"),
    *("lstm", "gru", "rnn", "embedding", "onehot", "stream", "lines", "none", "nfc", "utf-16"),
    *("<pad>", "<unk>", "<bos>", "<eos>", "\U0001f600", "uint8", "__metadata__"),
    *([], [0], [1, 1], [2, 2], [8, 2], [0, 16], [0, 2**62], [[]], {}, {"a": 1}),
)
MOST_BYTES = 40
"""More edits than these bytes hold leave nothing of what was there."""

Place = tuple[Any, Any]
"""A list or an object, and the index or key in it."""


def edited(value: Any, edits: bytes) -> Any:
    """A copy of a JSON value with things replaced, removed, doubled and swapped in it."""
    root = [json.loads(json.dumps(value))]
    choices = iter(edits[:MOST_BYTES])
    for kind in choices:
        places = list(_places(root))
        holder, key = _picked(places, choices)
        match kind % 8:
            case 0 if holder is not root:
                del holder[key]
            case 1:
                holder[key] = json.loads(json.dumps(_value_at(*_picked(places, choices))))
            case 2 if isinstance(holder, list):
                holder.insert(key, holder[key])
            case 3 if isinstance(holder, dict):
                holder[str(_picked(ODD_VALUES, choices))] = holder[key]
            case 4 if isinstance(holder[key], int | float):
                holder[key] += next(choices, 0) - 128
            case _:
                holder[key] = json.loads(json.dumps(_picked(ODD_VALUES, choices)))
    return root[0]


def safetensors_parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file as its header, metadata that are JSON parsed too, and its body."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    metadata.pop("sha256", None)  # of what is about to be changed
    header["__metadata__"] = {name: json.loads(text) for name, text in metadata.items()}
    return header, content[8 + length :]


def safetensors_of(header: Any, body: bytes) -> bytes:
    """The opposite: a file with this header, whatever it says."""
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        metadata = header["__metadata__"]
        texts = {
            name: value if name == "sha256" else json.dumps(value)
            for name, value in metadata.items()
        }
        header = header | {"__metadata__": texts}
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + body


def _places(value: Any) -> Iterator[Place]:
    """Everywhere that something stands, outermost first."""
    if isinstance(value, list | dict):
        for key in range(len(value)) if isinstance(value, list) else list(value):
            yield value, key
            yield from _places(value[key])


def _picked(options: Sequence[Any], choices: Iterator[int]) -> Any:
    number = next(choices, 0)
    return options[number % len(options)]


def _value_at(holder: Any, key: Any) -> Any:
    return holder[key]
