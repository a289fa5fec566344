"""`charrnn prepare`: turn text into ids on disk, and print where they are."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.options import Debug, Json, Overrides, Quiet
from charrnn.console import Console, write_json, write_result
from charrnn.errors import UserError

if TYPE_CHECKING:
    from charrnn.config.schema import DataConfig
    from charrnn.text.corpus import Manifest, SplitRecord
    from charrnn.text.prepare import Prepared


def prepare(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS",
            help="Files, folders, http(s) addresses, - for stdin, builtin:python-docs. "
            "Several are joined in this order. Left out, data.source of the configuration.",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The YAML configuration whose data section says how to read the text.",
        ),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The folder to make. Left out, one under data/prepared/.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Turn text into ids on disk, once; `train` does it too when it is still to be done.

    Prints the folder on stdout. The same text with the same options is not prepared again.

    For example:

        charrnn prepare poems.txt

        charrnn prepare letters/ diary.txt --set data.encoding=latin-1

        cat *.log | charrnn prepare - --set data.mode=lines --out data/prepared/logs

        charrnn prepare --config shakespeare --json
    """
    from charrnn.text.prepare import prepare as prepare_corpus

    console = Console(quiet=quiet)
    data = _data_config(corpus, config_file, overrides or [])
    prepared = prepare_corpus(data, out=out, progress=console.progress)
    _show(prepared, console)
    if json:
        write_json(_summary(prepared))
    else:
        write_result(str(prepared.corpus.path))


def _data_config(
    corpus: list[str] | None, config_file: Path | None, overrides: list[str]
) -> "DataConfig":
    from charrnn.config.load import load_config

    if not (corpus or config_file or overrides):
        raise UserError(
            "no corpus is named",
            hint="`charrnn prepare FILE` prepares a file, builtin:python-docs needs none",
        )
    data = load_config(config_file, overrides).data
    return replace(data, source=corpus) if corpus else data


def _show(prepared: "Prepared", console: Console) -> None:
    """Show what was prepared as a table, and what is odd about it."""
    manifest = prepared.corpus.manifest
    console.table(
        str(prepared.corpus.path) + ("" if prepared.fresh else ": prepared before, nothing to do"),
        [
            ("source", _sources(manifest)),
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


def _sources(manifest: "Manifest") -> str:
    from charrnn.messages import byte_size

    size = byte_size(sum(source.bytes for source in manifest.sources))
    name = manifest.sources[0].name
    others = len(manifest.sources) - 1
    return f"{name}{f' and {others:,} more' if others else ''}, {size}"


def _size(split: "SplitRecord") -> str:
    lines = "" if split.lines is None else f"{split.lines:,} lines, "
    unknown = f", {split.unknown:,} of them unknown" if split.unknown else ""
    return f"{lines}{split.ids:,} characters{unknown}"


def _summary(prepared: "Prepared") -> dict[str, Any]:
    """Return the object that `--json` prints."""
    manifest = asdict(prepared.corpus.manifest)
    return {
        "path": str(prepared.corpus.path),
        "fresh": prepared.fresh,
        **{key: value for key, value in manifest.items() if key not in {"format_version", "files"}},
    }
