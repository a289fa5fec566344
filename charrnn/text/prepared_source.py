"""A corpus that was prepared before, named as the source of a training.

It is taken as it is: its options are those that its text was read with then, and a configuration
that leaves them open takes them over.
"""

import json
from collections.abc import Container, Iterable
from dataclasses import fields
from pathlib import Path

from charrnn.config.schema import DataConfig
from charrnn.errors import UserError
from charrnn.files import expanded
from charrnn.messages import format_path
from charrnn.text.corpus import Corpus, TextOptions, open_corpus, read_manifest
from charrnn.text.folder import is_prepared_text

SETTINGS = tuple(field.name for field in fields(DataConfig))


def prepared_source(data: DataConfig) -> Path | None:
    """Return the folder of the prepared corpus that is the only source; None if none is.

    Raises:
        UserError: A text of its own for validation is named beside it.
    """
    folder = expanded(data.sources[0])
    if len(data.sources) > 1 or not is_prepared_text(folder):
        return None
    if data.valid_sources:
        raise UserError(
            f"{format_path(folder)} is prepared, its validation part included",
            hint="leave data.valid_source out, or name the text itself",
        )
    return folder


def with_prepared_options(data: DataConfig, explicit: Container[str] = ()) -> DataConfig:
    """Return `data` with the options of the prepared corpus that is its source, if one is.

    Args:
        data: The `data` section of a configuration.
        explicit: Dotted names of the settings that were given and must not say otherwise.

    Raises:
        UserError: They do, or the corpus is damaged.
    """
    folder = prepared_source(data)
    if folder is None:
        return data
    prepared = read_manifest(folder).options.put_into(data)
    _refuse_others(
        folder, data, prepared, [name for name in SETTINGS if f"data.{name}" in explicit]
    )
    return prepared


def open_prepared_source(folder: Path, data: DataConfig) -> Corpus:
    """Open the prepared corpus that is the source.

    Raises:
        UserError: It is damaged, or was prepared with other options.
    """
    corpus = open_corpus(folder)
    _refuse_others(folder, data, corpus.manifest.options.put_into(data), SETTINGS)
    return corpus


def _refuse_others(
    folder: Path, data: DataConfig, prepared: DataConfig, names: Iterable[str]
) -> None:
    """Refuse options that would read the text otherwise than it was read."""
    asked = TextOptions.from_config(data).put_into(data)
    for name in names:
        value = getattr(prepared, name)
        if getattr(asked, name) != value:
            raise UserError(
                f"{format_path(folder)} was prepared with data.{name}={json.dumps(value)}",
                hint="leave that setting out, or name the text itself",
            )
