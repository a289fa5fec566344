"""What may change when a training goes on, and what may not."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from charrnn.config.load import (
    LoadedConfig,
    apply_overrides,
    load_for_training,
    read_run_config,
)
from charrnn.config.schema import Config
from charrnn.errors import UserError
from charrnn.messages import format_path, format_value
from charrnn.run.paths import CONFIG_FILE
from charrnn.run.reader import read_vocabulary
from charrnn.text.corpus import Corpus

CHANGEABLE = {
    # Where the text is now; whether it still is that text is told by its SHA-256.
    "data": {"source", "sha256"},
    "train": {
        "steps",
        "learning_rate",
        "final_learning_rate_fraction",
        "warmup_steps",
        "weight_decay",
        "clip_norm",
        "eval_every_steps",
        "save_every_steps",
        "save_every_minutes",
        "keep",
        "log_every_steps",
        "patience",
        "device",
    },
    "generate": {field.name for field in fields(GenerateConfig)},
}
"""Settings, by section, with which it still is the same training."""
LEFT_OPEN = {"train.precision": "auto", "train.kernel": "auto", "train.threads": None}
"""Values that leave a setting to be measured."""


def changed_config(
    run: Path, config_file: Path | None, overrides: Sequence[str]
) -> tuple[Config, list[str]]:
    """The configuration to go on with, and how it differs from the run's, in words.

    Raises:
        UserError: Something differs that would make it another training.
    """
    before = _config_of(run)
    if config_file is None:
        after = apply_overrides(before, overrides)
    else:
        after = _with_explicit_settings(before, load_for_training(config_file, overrides))
    changes = differences(before, after)
    refused = [change for key, change in changes.items() if not _may_change(key)]
    if refused:
        raise UserError(
            f"{run} was trained with other settings: {'; '.join(refused)}",
            hint="resuming allows other steps, learning rate and intervals; "
            "for anything else begin a new run",
        )
    return after, list(changes.values())


def _config_of(run: Path) -> Config:
    """The configuration that a training wrote, with all that it had measured."""
    config = read_run_config(run / CONFIG_FILE)
    if config.train.precision == "auto":
        raise UserError(
            f"{format_path(run / CONFIG_FILE)} is not as a training writes it: "
            "train.precision is auto, and not what that came to",
            hint="copy the whole run directory again",
        )
    return config


def differences(before: Config, after: Config) -> dict[str, str]:
    """Every setting that differs, by its dotted name, as `name: old -> new`."""
    old, new = asdict(before), asdict(after)
    return {
        f"{section}.{name}": f"{section}.{name}: {value} -> {new[section][name]}"
        for section, settings in old.items()
        for name, value in settings.items()
        if value != new[section][name]
    }


def check_same_corpus(run: Path, corpus: Corpus, trained_sha256: object) -> None:
    """Refuse a corpus that is not the run's.

    Args:
        run: the run directory.
        corpus: what is to be trained on now.
        trained_sha256: of the corpus, as the last save has it; None if nothing was saved.

    Raises:
        UserError: The characters differ, and an example is named; or the SHA-256 does.
    """
    theirs, ours = read_vocabulary(run).characters, corpus.vocabulary.characters
    sha256 = corpus.manifest.corpus_sha256
    if theirs != ours:
        odd = sorted(set(theirs) ^ set(ours))
        which = f"{len(odd)} characters differ, for example {odd[0]!r}" if odd else "order differs"
    elif trained_sha256 not in {None, sha256}:
        which = f"its SHA-256 is {sha256}, the run's is {format_value(trained_sha256)}"
    else:
        return
    raise UserError(
        f"the corpus is not the one that {run} was trained on: {which}",
        hint="resume with the same text, or begin a new run",
    )


def _may_change(key: str) -> bool:
    return key in CHANGEABLE or key.startswith("generate.")


def _with_explicit_settings(before: Config, loaded: LoadedConfig) -> Config:
    """What a file says goes first; what it leaves out or open stays as the run has it.

    A run may have settings that were neither given nor are the default: some were measured when it
    began, and `--minutes` chooses some.
    """
    sections = {}
    for section, settings in asdict(before).items():
        new = getattr(loaded.config, section)
        explicit = {
            name: getattr(new, name)
            for name in settings
            if (key := f"{section}.{name}") in loaded.explicit
            and not (key in LEFT_OPEN and getattr(new, name) == LEFT_OPEN[key])
        }
        sections[section] = replace(getattr(before, section), **explicit)
    return replace(before, **sections)
