"""A model as one HTML file, which runs it in any browser without a server or a network.

The page's parts are real files beside this one, in `page/`; the model is put among them: a JSON
description, and the weights in base64. A content security policy lets the page run these scripts
and nothing else, and reach no address.
"""

import base64
import hashlib
import html
import json
import math
from importlib.resources import files
from string import Template
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from charrnn import __version__
from charrnn.config.schema import GenerateConfig
from charrnn.ensemble import without_zeros
from charrnn.messages import each_in_words
from charrnn.network import FloatArray
from charrnn.run.reader import TrainedModel

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")

SCRIPTS = ("engine.js", "transcript.js", "app.js")
SUMMARY = (
    "Predicts characters: {networks}{cell}, {layers}, {units} units, {bits:.2f} bits per character."
)


def html_page(
    model: TrainedModel,
    defaults: GenerateConfig,
    *,
    name: str,
    normalize: Literal["none", "nfc"] = "none",
    precision: Precision = "float32",
) -> str:
    """Return the page that runs a model.

    Args:
        model: The run.
        defaults: Its options of generation, which the page begins with.
        name: The page's title.
        normalize: How the text that the model learned was normalised.
        precision: Of the weights in the page; bfloat16 takes half the room.
    """
    style = _part("style.css")
    scripts = [_part(file) for file in SCRIPTS]
    arrays = without_zeros(model.weights, model.card.ensemble_size, model.card.cell)
    shapes = [[key, *array.shape] for key, array in arrays.items()]
    weights = b"".join(stored(array, precision).tobytes() for array in arrays.values())
    return Template(_part("index.html")).substitute(
        policy=_policy(style, scripts),
        version=html.escape(__version__),
        name=html.escape(name),
        summary=_summary(model),
        style=style,
        description=_json(
            {"name": name, "normalize": normalize}
            | _description(model, defaults)
            | {"weights": {"dtype": precision, "tensors": shapes}}
        ),
        weights=base64.b64encode(weights).decode("ascii"),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def stored(array: FloatArray, precision: Precision) -> npt.NDArray[Any]:
    """Return numbers as the page holds them: little-endian float32, or bfloat16 as its 16 bits."""
    if precision == "float32":
        return array.astype("<f4", copy=False)
    bits = array.view(np.uint32)
    to_even = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return ((bits + to_even) >> np.uint32(16)).astype("<u2")


def rounded(array: FloatArray, precision: Precision) -> FloatArray:
    """Return the float32 numbers that the page computes with."""
    if precision == "float32":
        return array
    return (stored(array, precision).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _description(model: TrainedModel, defaults: GenerateConfig) -> dict[str, Any]:
    card = model.card
    return {
        "sizes": {
            "cell": card.cell,
            "input": card.input,
            "embedding_size": card.embedding_size,
            "hidden_size": card.hidden_size,
            "ensemble_size": card.ensemble_size,
            "layers": card.layers,
            "tie_weights": card.tie_weights,
            "mode": card.mode,
            "vocabulary_size": card.vocabulary_size,
        },
        "characters": model.vocabulary.characters,
        "defaults": {
            "temperature": defaults.temperature,
            "length": defaults.length,
            "topK": defaults.top_k,
            "topP": defaults.top_p,
            "minP": defaults.min_p,
        },
    }


def _summary(model: TrainedModel) -> str:
    card = model.card
    return SUMMARY.format(
        networks=each_in_words(card.ensemble_size),
        cell=card.cell.upper(),
        layers="1 layer" if card.layers == 1 else f"{card.layers} layers",
        units=f"{card.hidden_size // card.ensemble_size:,}",
        bits=card.valid_loss_nats / math.log(2),
    )


def _json(value: dict[str, Any]) -> str:
    r"""JSON that cannot end the element it stands in: `<` is written as \u003c."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def _policy(style: str, scripts: list[str]) -> str:
    """Allow this style and these scripts, by their digests, and nothing else."""
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return (files("charrnn.export") / "page" / name).read_text(encoding="utf-8")
