"""What may change when a training goes on, and what may not."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from charrnn.config.load import (
    LoadedConfig,
    apply_overrides,
    load_for_training,
    read_run_config,
)
from charrnn.config.schema import Config
from charrnn.errors import UserError
from charrnn.messages import one_line, shell_word
from charrnn.run.paths import CONFIG_FILE
from charrnn.run.reader import read_vocabulary
from charrnn.text.corpus import Corpus

CHANGEABLE = frozenset(
    {
        "data.source",  # whether it still is that text is told by its SHA-256
        "data.valid_source",
        "data.include",
        "data.exclude",
        "data.not_text",
        "data.sha256",
        "train.steps",
        "train.learning_rate",
        "train.adamw_rate_factor",
        "train.final_learning_rate_fraction",
        "train.warmup_steps",
        "train.weight_decay",
        "train.average_fraction",
        "train.logit_scale",
        "train.clip_norm",
        "train.eval_every_steps",
        "train.eval_time_fraction",
        "train.save_every_steps",
        "train.save_every_minutes",
        "train.keep",
        "train.log_every_steps",
        "train.patience",
        "train.device",
        "train.threads",  # what a step amounts to depends on train.parts alone
        "train.process_timeout_seconds",
    }
)
"""Settings with which it is still the same training; all of section `generate` are, too."""
SHOWN_DIGITS = 12
"""Of a SHA-256, so that two can be told apart."""
LEFT_OPEN = (
    ("train.precision", "auto"),
    ("train.kernel", "auto"),
    ("train.threads", None),
    ("train.parts", None),
)
"""Settings and values that leave them to be measured."""


def changed_config(
    run: Path, config_file: Path | None, overrides: Sequence[str]
) -> tuple[Config, list[str]]:
    """The configuration to go on with, and how it differs from the run's, in words.

    Raises:
        UserError: Something differs that would make it another training.
    """
    before = read_run_config(run / CONFIG_FILE)
    if before.train.parts is None:
        # A run from before there was train.parts: each thread had one.
        before = replace(before, train=replace(before.train, parts=before.train.threads))
    if config_file is None:
        after = apply_overrides(before, overrides)
    else:
        after = _with_explicit_settings(before, load_for_training(config_file, overrides))
    old, new = asdict(before), asdict(after)
    changes = {
        f"{section}.{name}": f"{section}.{name}: {value} -> {new[section][name]}"
        for section, settings in old.items()
        for name, value in settings.items()
        if value != new[section][name]
    }
    refused = [
        change
        for key, change in changes.items()
        if key not in CHANGEABLE and not key.startswith("generate.")
    ]
    if refused:
        raise UserError(
            f"{run} was trained with other settings: {'; '.join(refused)}",
            hint="resuming allows other steps, learning rate and intervals; "
            "for anything else begin a new run",
        )
    return after, list(changes.values())


def _with_explicit_settings(before: Config, loaded: LoadedConfig) -> Config:
    """What a file says goes first; what it leaves out or open stays as the run has it.

    A run may have settings that were neither given nor are the default: some were measured when it
    began, and `--minutes` chooses some.
    """
    explicit: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for key in loaded.explicit:
        section, _, name = key.partition(".")
        value = getattr(getattr(loaded.config, section), name)
        if (key, value) not in LEFT_OPEN:
            explicit[section][name] = value
    return replace(
        before,
        **{name: replace(getattr(before, name), **given) for name, given in explicit.items()},
    )


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
    elif trained_sha256 is not None and trained_sha256 != sha256:
        trained = one_line(str(trained_sha256)[:SHOWN_DIGITS])
        which = f"its SHA-256 begins with {sha256[:SHOWN_DIGITS]}, the run's with {trained}"
    else:
        return
    raise UserError(
        f"the corpus is not the one that {run} was trained on: {which}",
        hint=f"resume with the same text; --init-from {shell_word(run)} begins a new run, "
        "on any text, with these weights",
    )
