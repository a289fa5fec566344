"""`charrnn export`: a trained model in another form, in one file."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from charrnn.cli.new_file import Overwrite, check_new_file
from charrnn.cli.options import Debug, Json, NoColor, Quiet, RunPath, check_choice, option
from charrnn.console import Console, write_json, write_result
from charrnn.errors import RunFailedError, UserError
from charrnn.files import expanded, write_atomically
from charrnn.machine import use_one_blas_thread
from charrnn.messages import byte_size, format_path, one_line, shell_word

if TYPE_CHECKING:
    from charrnn.export.loss import Losses
    from charrnn.generation.language_model import LanguageModel

FORMATS = {"html": "a page", "onnx": "an ONNX file", "card": "a model card"}
PRECISIONS = ("float32", "bfloat16")
STDOUT = "-"
TO = """html is a page that runs the model in a browser; onnx a file for ONNX runtimes (needs the
extra `onnx`); card a README.md that makes the run a model repository."""
OUT = """The file to write; - is stdout. Left out, the run's name with .html or .onnx here, or
README.md in the run directory."""
WEIGHTS = """For html: float32 writes what the command line writes; bfloat16 takes half the room,
and the difference in loss is measured."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file's content, and what there is to say of it beyond its size."""

    content: bytes
    facts: dict[str, Any]
    """For `--json`."""
    note: str = ""
    """For people."""


def export(
    to: Annotated[str, option(TO, "|".join(FORMATS), "--to", words=FORMATS)],
    run: RunPath = None,
    out: Annotated[str | None, option(OUT, "FILE", "--out", "-o")] = None,
    weights: Annotated[
        str | None, option(WEIGHTS, "|".join(PRECISIONS), default="float32", words=PRECISIONS)
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    _no_color: NoColor = False,
    _debug: Debug = False,
) -> None:
    """Write a trained model in another form: a page, an ONNX file, a model card.

    Prints the file's path on stdout.

    For example:

        charrnn export --to html

        charrnn export --run runs/shakespeare --to html --weights bfloat16 -o shakespeare.html

        charrnn export --run runs/shakespeare --to onnx

        charrnn export --run runs/shakespeare --to card
    """
    check_choice("--to", to, FORMATS)
    check_choice("--weights", weights, PRECISIONS)
    if weights is not None and to != "html":
        raise UserError("--weights is for --to html", hint="leave it out: other files hold float32")
    if out == STDOUT and (
        json or (to == "onnx" and sys.stdout is not None and sys.stdout.isatty())
    ):
        what = "--json writes to stdout" if json else "an ONNX file is nothing for a terminal"
        raise UserError(f"--out - is stdout, and {what}", hint="name a file")
    use_one_blas_thread()
    from charrnn.run.paths import resolve_run

    console = Console(quiet=quiet)
    path = resolve_run(run)
    target = (
        None if out == STDOUT else expanded(out) if out is not None else _default_file(path, to)
    )
    if target is not None:
        check_new_file("--out", target, overwrite=overwrite)
    exported = _export(path, to, weights or "float32", console)
    if to == "card" and out is None:
        _clean_config(path, console)
    _write(target, exported.content)
    if exported.note:
        console.note(exported.note)
    if target is None:
        return
    console.note(f"{FORMATS[to]} of {byte_size(len(exported.content))}:")
    if json:
        written = {"run": str(path), "to": to, "path": str(target), "bytes": len(exported.content)}
        write_json(written | exported.facts)
    else:
        write_result(str(target))


def _default_file(run: Path, to: str) -> Path:
    from charrnn.run.paths import README_FILE

    return run / README_FILE if to == "card" else Path(f"{_name_of(run)}.{to}")


def _name_of(run: Path) -> str:
    """The name of a run's folder, harmless in a page and a terminal."""
    return one_line(run.resolve().name) or "model"


def _export(path: Path, to: str, weights: str, console: Console) -> Exported:
    from charrnn.generation.language_model import load

    if to == "onnx":
        from charrnn.export.onnx_model import require_packages

        require_packages()
    model = load(path)
    if to == "html":
        if model.vocabulary.unit == "byte":
            raise UserError(
                f"the page reads characters, and {format_path(path)} reads bytes",
                hint="--to onnx and --to card are for every run",
            )
        return _html(model, weights, console)
    return _onnx(model) if to == "onnx" else _card(model)


def _html(model: "LanguageModel", weights: str, console: Console) -> Exported:
    from charrnn.export.html import Precision, html_page

    precision: Precision = "bfloat16" if weights == "bfloat16" else "float32"
    page = html_page(
        model.trained,
        model.defaults,
        name=_name_of(model.trained.path),
        normalize=model.text_format.normalize,
        precision=precision,
    )
    facts: dict[str, Any] = {"weights": precision}
    if precision == "float32":
        return Exported(page.encode(), facts)
    losses, note = _losses(model, console)
    facts |= {
        "loss_nats_float32": losses and losses.before,
        "loss_nats_bfloat16": losses and losses.after,
        "chars": losses and losses.chars,
    }
    return Exported(page.encode(), facts, note)


def _losses(model: "LanguageModel", console: Console) -> tuple["Losses | None", str]:
    """What bfloat16 costs, and how that is said; the text may be gone."""
    from charrnn.config.load import read_run_config
    from charrnn.export.html import rounded
    from charrnn.export.loss import compare_losses
    from charrnn.run.paths import CONFIG_FILE

    trained = model.trained
    weights = {name: rounded(array, "bfloat16") for name, array in trained.weights.items()}
    try:
        data = read_run_config(trained.path / CONFIG_FILE).data
        losses = compare_losses(trained, weights, data, console.progress)
    except UserError as error:
        return None, f"the difference in loss was not measured: {error.message}"
    return losses, (
        f"loss with bfloat16 {losses.after:.4f}, with float32 {losses.before:.4f}: "
        f"{losses.after - losses.before:+.4f} nats per character, "
        f"on {losses.chars:,} characters of the validation text"
    )


def _onnx(model: "LanguageModel") -> Exported:
    from charrnn.export.onnx_model import onnx_bytes, onnx_difference

    content = onnx_bytes(model.trained)
    difference = onnx_difference(model.trained, content)
    note = f"onnxruntime's numbers and charrnn's differ by {difference:.1e} at most"
    return Exported(content, {"largest_difference": difference}, note)


def _card(model: "LanguageModel") -> Exported:
    from charrnn.config.load import read_run_config
    from charrnn.export.card import card_markdown
    from charrnn.run.paths import CONFIG_FILE

    config = read_run_config(model.trained.path / CONFIG_FILE)
    text = card_markdown(model.trained, config, name=_name_of(model.trained.path))
    return Exported(text.encode(), {})


def _clean_config(path: Path, console: Console) -> None:
    """Take the folders out of a run's `config.yaml`, which is going to be published."""
    from charrnn.config.load import read_run_config
    from charrnn.export.card import notes_without_paths, without_local_paths
    from charrnn.run.paths import CONFIG_FILE
    from charrnn.run.writer import RunWriter

    with RunWriter.reopen(path) as writer:
        before, notes = read_run_config(path / CONFIG_FILE), writer.notes
        after, writer.notes = without_local_paths(before), notes_without_paths(notes)
        if (after, writer.notes) != (before, notes):
            writer.write_config(after)
    for key in ("source", "valid_source"):
        pairs = zip(getattr(before.data, f"{key}s"), getattr(after.data, f"{key}s"), strict=True)
        for old, new in pairs:
            if old != new:
                console.note(
                    f"{CONFIG_FILE} names {new} in place of {old}; "
                    f"`charrnn train --resume --out {shell_word(path)} "
                    f"--set data.{key}={shell_word(old)}` finds the text"
                )


def _write(target: Path | None, content: bytes) -> None:
    if target is not None:
        write_atomically(target, content)
        return
    if sys.stdout is None:
        raise RunFailedError("stdout is closed, and --out - writes to it")
    rest = memoryview(content)
    while rest:  # with PYTHONUNBUFFERED, one write may take a part alone
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()
