"""`charrnn prepare`: turn text into ids on disk, and print where they are."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.options import DataDir, Debug, Json, Overrides, Quiet, option
from charrnn.console import Console, write_json, write_result
from charrnn.errors import UserError
from charrnn.messages import byte_size

if TYPE_CHECKING:
    from charrnn.text.corpus import Manifest, SplitRecord

CORPUS = """Files (gz, xz, bz2 and zst too), folders, http(s) addresses, - for stdin,
builtin:python-docs. Several are joined in this order. Left out, data.source of the
configuration."""
CONFIG = "The YAML configuration whose data section says how to read the text."
OUT = "The folder to make. Left out, one in the folder of --data-dir."


def prepare(
    corpus: Annotated[list[str] | None, typer.Argument(metavar="CORPUS", help=CORPUS)] = None,
    config_file: Annotated[Path | None, option(CONFIG, "FILE", "--config")] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, option(OUT, "DIR")] = None,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Turn text into ids on disk, once; `train` does it too when it is still to be done.

    Prints the folder on stdout. The same text with the same options is not prepared again.

    For example:

        charrnn prepare poems.txt

        charrnn prepare letters/ diary.txt --set data.encoding=latin-1

        charrnn prepare notes/ --set "data.include=*.md" --set "data.exclude=[drafts, '*.bak']"

        cat *.log | charrnn prepare - --set data.mode=lines --out data/prepared/logs

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
    prepared = prepare_corpus(
        with_prepared_options(data, loaded.explicit),
        out=out,
        data_dir=data_dir,
        progress=console.progress,
    )
    path, manifest = str(prepared.corpus.path), prepared.corpus.manifest
    title = path if prepared.fresh else f"{path}: prepared before, nothing to do"
    _show(manifest, title, console)
    for warning in prepared.warnings:
        console.warn(warning)
    if json:
        report = {"path": path, "fresh": prepared.fresh, **asdict(manifest)}
        report["left_out"] = list(prepared.left_out)
        del report["format_version"], report["files"]
        write_json(report)
    else:
        write_result(path)


def _show(manifest: "Manifest", title: str, console: Console) -> None:
    """Show what was prepared as a table, and what is odd about it."""
    size = byte_size(sum(source.bytes for source in manifest.sources))
    first, *others = (source.name for source in manifest.sources)
    more = f" and {len(others):,} more" if others else ""
    console.table(
        title,
        [
            ("source", f"{first}{more}, {size}"),
            ("characters", f"{manifest.characters:,} ({manifest.distinct_characters:,} distinct)"),
            ("training", _size(manifest.splits.train)),
            ("validation", _size(manifest.splits.valid)),
            ("vocabulary", f"{manifest.vocabulary_size:,} ids as {manifest.dtype}"),
        ],
    )
    if manifest.empty_lines:
        console.note(f"{manifest.empty_lines:,} empty lines were left out")
    if manifest.distinct_characters == 1:
        console.warn("the text has a single distinct character; there is nothing to learn")


def _size(split: "SplitRecord") -> str:
    lines = "" if split.lines is None else f"{split.lines:,} lines, "
    unknown = f", {split.unknown:,} of them unknown" if split.unknown else ""
    return f"{lines}{split.ids:,} characters{unknown}"
