"""`charrnn prepare`: turn text into ids on disk, and print where they are."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.options import DataDir, Debug, Json, NoColor, Overrides, Quiet, configs, option
from charrnn.console import Console, write_json, write_result
from charrnn.errors import UserError
from charrnn.messages import byte_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charrnn.config.schema import DataConfig
    from charrnn.text.corpus import Manifest, SourceRecord, SplitRecord

CORPUS = """Files (gz, xz, bz2 and zst too), folders, http(s) addresses, - for stdin,
builtin:python-docs. Several are joined in this order. Left out, data.source of the
configuration."""
CONFIG = "The YAML configuration whose data section says how to read the text."
OUT = "The folder to make. Left out, one in the folder of --data-dir."
MUCH_UNKNOWN = 0.2
"""A share of unknown characters in the validation part that is worth a warning."""


def prepare(
    corpus: Annotated[list[str] | None, typer.Argument(metavar="CORPUS", help=CORPUS)] = None,
    config_file: Annotated[Path | None, option(CONFIG, "FILE", "--config", words=configs)] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, option(OUT, "DIR", "--out", "-o")] = None,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    _no_color: NoColor = False,
    _debug: Debug = False,
) -> None:
    """Turn text into ids on disk, once; `train` does it too when it is still to be done.

    Prints the folder on stdout. The same text with the same options is not prepared again.

    For example:

        charrnn prepare poems.txt

        charrnn prepare letters/ diary.txt --set data.encoding=latin-1

        charrnn prepare notes/ --set "data.include=*.md" --set "data.exclude=[drafts, '*.bak']"

        cat *.log | charrnn prepare - --set data.mode=lines --out data/prepared/logs

        charrnn prepare tunes.abc --set data.mode=examples --set data.separator=blank

        charrnn prepare enwik8 --set data.unit=byte

        charrnn prepare --config shakespeare --json
    """
    from charrnn.config.load import load_for_training
    from charrnn.text.prepare import prepare as prepare_corpus
    from charrnn.text.prepared_source import with_prepared_options

    if not (corpus or config_file or overrides):
        raise UserError(
            "no corpus is named",
            hint="`charrnn prepare FILE` prepares a file, builtin:python-docs needs none",
        )
    loaded = load_for_training(config_file, overrides or [])
    data = replace(loaded.config.data, source=corpus) if corpus else loaded.config.data
    console = Console(quiet=quiet)
    console.note_waiting(corpus or data.sources)
    prepared = prepare_corpus(
        with_prepared_options(data, loaded.explicit),
        out=out,
        data_dir=data_dir,
        progress=console.progress,
    )
    path, manifest = str(prepared.corpus.path), prepared.corpus.manifest
    title = "prepared" if prepared.fresh else "prepared before, nothing to do"
    _show(manifest, title, unit_of(data), console)
    for warning in prepared.warnings:
        console.warn(warning)
    if json:
        report = {"path": path, "fresh": prepared.fresh, **asdict(manifest)}
        report["left_out"] = list(prepared.left_out)
        del report["format_version"], report["files"]
        write_json(report)
    else:
        write_result(path)


def unit_of(data: "DataConfig") -> str:
    """What a text is divided into, in words."""
    return "lines" if data.mode == "lines" else "examples"


def _show(manifest: "Manifest", title: str, unit: str, console: Console) -> None:
    """Show what was prepared as a table; `unit` is lines or examples."""
    sources, units = manifest.sources, f"{manifest.options.unit}s"
    learned = len(sources) - manifest.valid_sources
    held_out = f", from {_names(sources[learned:])}" if manifest.valid_sources else ""
    console.table(
        title,
        [
            ("source", _names(sources[:learned])),
            (units, f"{manifest.characters:,} ({manifest.distinct_characters:,} distinct)"),
            ("training", _size(manifest.splits.train, unit, units)),
            ("validation", _size(manifest.splits.valid, unit, units) + held_out),
            ("vocabulary", f"{manifest.vocabulary_size:,} ids as {manifest.dtype}"),
        ],
    )
    tell_what_is_odd(manifest, unit, console)


def tell_what_is_odd(manifest: "Manifest", unit: str, console: Console) -> None:
    """Note what was left out of a text, and warn of what will be of little use."""
    if manifest.empty_lines:
        console.note(f"{manifest.empty_lines:,} empty {unit} were left out")
    if manifest.cut:
        options = manifest.options
        console.note(f"{unit} cut at {options.cut_at:,} {options.unit}s: {manifest.cut:,}")
    if manifest.distinct_characters == 1:
        console.warn(
            f"the text has a single distinct {manifest.options.unit}; there is nothing to learn"
        )
    if unknown := unknown_in_words(manifest):
        console.warn(f"{unknown}, so its loss says little")


def unknown_in_words(manifest: "Manifest") -> str:
    """Say how much of the validation part is unknown; nothing if that is little."""
    valid = manifest.splits.valid
    share = valid.unknown / valid.ids
    if share < MUCH_UNKNOWN:
        return ""
    return f"{share:.0%} of the validation part are characters that the training part lacks"


def _names(sources: "Sequence[SourceRecord]") -> str:
    more = f" and {len(sources) - 1:,} more" if len(sources) > 1 else ""
    return f"{sources[0].name}{more}, {byte_size(sum(source.bytes for source in sources))}"


def _size(split: "SplitRecord", unit: str, units: str) -> str:
    examples = "" if split.lines is None else f"{split.lines:,} {unit}, "
    unknown = f", {split.unknown:,} of them unknown" if split.unknown else ""
    return f"{examples}{split.ids:,} {units}{unknown}"
