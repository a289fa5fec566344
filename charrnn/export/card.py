"""A model card for the Hugging Face Hub: README.md, with metadata that the Hub reads.

https://huggingface.co/docs/hub/model-cards says what it reads. A run directory with this file is
a model repository; nothing in it should tell where on a machine the text lay.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath
from string import Template
from typing import Any

from charrnn import __version__
from charrnn.config.schema import Config, DataConfig
from charrnn.ensemble import without_zeros
from charrnn.evaluation.scoring import Score
from charrnn.messages import each_in_words, one_line
from charrnn.run.reader import TrainedModel
from charrnn.text.sources import BUILTIN_PREFIX, STDIN, is_url
from charrnn.text.vocabulary import Vocabulary

MOST_CHARACTERS_SHOWN = 200
KINDS = {
    "stream": "as one long text",
    "lines": "line by line",
    "examples": "example by example",
}

BODY = Template("""\
# $name

A $unit-level language model: it reads a text $unit by $unit and predicts the next one.
Trained with charrnn $version.

| | |
|---|---|
| network | $network |
| parameters | $parameters |
| vocabulary | $vocabulary |
| trained | $steps steps |
| validation loss | $loss nats per $unit ($bits bits), perplexity $perplexity |

## How to use it

```sh
pip install charrnn-cli
hf download USER/$name --local-dir $name
charrnn generate --run $name --length 300
charrnn eval --run $name text.txt   # any text
charrnn export --run $name --to $form
```

```python
import charrnn

model = charrnn.load("$name")
text = "".join(model.generate(length=300))
```

NumPy is enough to use it; torch is not loaded. `vocabulary.json` has the ${unit}s in id order,
`model.safetensors` the weights under torch's parameter names, `config.yaml` all settings of the
training.

## What it was trained on

$source, $kind. SHA-256: `$sha256`.

$held_out held out. The loss above is that of the held-out part at the step
where it was lowest, so it is slightly lower than on a text that had no part in the training.

## Its limits

- It has learned the spelling, words and layout of this one text, and knows nothing else: what it
  writes is fluent at best, and neither true nor meant.
- It may repeat passages of its training text word for word, and what is offensive or private there
  can come out of it. Where that text is, `charrnn prepare --config $name/config.yaml` prepares it,
  and `charrnn generate --run $name --novelty 20` tells how much of what is written stands in it.
- $knows
""")


def card_markdown(model: TrainedModel, config: Config, *, name: str) -> str:
    """Return the model card of a run.

    Args:
        model: The run.
        config: Its configuration.
        name: What to call it.
    """
    card, score = model.card, _score(model)
    weights = without_zeros(model.weights, card.ensemble_size, card.cell)
    body = BODY.substitute(
        name=_plain(name),
        version=__version__,
        network=_network(model),
        parameters=f"{sum(array.size for array in weights.values()):,}",
        vocabulary=f"{len(model.vocabulary):,} ids",
        steps=f"{card.step:,}",
        loss=f"{score.loss_nats:.4f}",
        bits=f"{score.bits_per_char:.4f}",
        perplexity=f"{score.perplexity:.4f}",
        source=", ".join(_source_in_words(name) for name in config.data.sources),
        kind=KINDS[config.data.mode],
        held_out=_held_out(config.data),
        sha256=card.corpus_sha256,
        form="html" if model.vocabulary.unit == "character" else "onnx",
        unit=model.vocabulary.unit,
        knows=_knows(model.vocabulary),
    )
    return f"---\n{_front_matter(model, config, name)}---\n\n{body}"


def _knows(vocabulary: Vocabulary) -> str:
    """Which characters the model knows, in words."""
    if vocabulary.is_utf8:
        return "It knows all 256 bytes; what it writes is always valid UTF-8."
    if vocabulary.is_binary:
        return "It knows all 256 bytes; what it writes is no text."
    known = _code(one_line("".join(vocabulary.known))[:MOST_CHARACTERS_SHOWN])
    return f"It knows {len(vocabulary.known):,} characters and no others: {known}"


def without_local_paths(config: Config) -> Config:
    """Return a configuration that names sources without folders of a machine and passwords."""
    source, valid_source = map(_public_names, (config.data.source, config.data.valid_source))
    assert source is not None
    return replace(config, data=replace(config.data, source=source, valid_source=valid_source))


def _public_names(names: str | list[str] | None) -> str | list[str] | None:
    return (
        [_public(name) for name in names] if isinstance(names, list) else names and _public(names)
    )


def _held_out(data: DataConfig) -> str:
    """What validation was made of, in words."""
    if data.valid_sources:
        names = ", ".join(_code(_public(name)) for name in data.valid_sources)
        return f"Apart from it, {names} was"
    if data.valid_chars is not None:
        return f"The last {data.valid_chars:,} {data.unit}s of the text were"
    place = "The last" if data.split == "end" and not data.shuffle else "Here and there,"
    return f"{place} {data.valid_fraction:.0%} of the text was"


def notes_without_paths(notes: Iterable[str]) -> list[str]:
    """Return those notes above a run's settings that name no path."""
    return [note for note in notes if "/" not in note]


def _front_matter(model: TrainedModel, config: Config, name: str) -> str:
    import yaml

    score, unit = _score(model), model.vocabulary.unit
    metrics = [
        {"type": "loss", "name": f"nats per {unit}", "value": round(score.loss_nats, 6)},
        {"type": f"bits_per_{unit}", "value": round(score.bits_per_char, 6)},
        {"type": "perplexity", "value": round(score.perplexity, 6)},
    ]
    result = {
        "task": {"type": "text-generation", "name": "Text generation"},
        "dataset": {
            "type": "text",
            "name": one_line(", ".join(without_local_paths(config).data.sources)),
            "split": "validation",
        },
        "metrics": metrics,
    }
    metadata: dict[str, Any] = {
        "library_name": "charrnn",
        "pipeline_tag": "text-generation",
        "tags": ["charrnn", f"{unit}-level", model.card.cell],
        "metrics": ["perplexity"],
        "model-index": [{"name": one_line(name), "results": [result]}],
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=math.inf)


def _score(model: TrainedModel) -> Score:
    """The loss that the run was saved with, and what follows from it."""
    return Score(nats=model.card.valid_loss_nats, chars=1)


def _network(model: TrainedModel) -> str:
    card = model.card
    layers = "1 layer" if card.layers == 1 else f"{card.layers} layers"
    networks = each_in_words(card.ensemble_size)
    units = f"{card.hidden_size // card.ensemble_size:,} units"
    return f"{networks}{card.cell.upper()}, {layers} of {units}, {card.input} input"


def _source_in_words(name: str) -> str:
    if name == STDIN:
        return "A text from standard input"
    if name == DataConfig().source:
        return "The Python language reference, as CPython carries it"
    if is_url(name) or name.startswith(BUILTIN_PREFIX):
        return _code(_public(name))
    return f"A text of the author's own, {_code(_public(name))}"


def _public(name: str) -> str:
    """A source's name as others may see it."""
    if is_url(name):
        return re.sub(r"//[^/]*@", "//", name)
    if name == STDIN or name.startswith(BUILTIN_PREFIX):
        return name
    last = PurePath(name).name
    return "text" if last in {"", ".", "..", STDIN} else last


def _plain(name: str) -> str:
    """A name as a shell, Markdown and Python take it for one word."""
    return "".join(char if char.isalnum() or char in "-_." else "-" for char in name)


def _code(text: str) -> str:
    """Put text in backticks: one more than it has in a row, as Markdown asks."""
    longest = max(map(len, "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {one_line(text)} {fence}"
