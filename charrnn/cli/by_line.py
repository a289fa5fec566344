"""What each line of a text costs, one line of output a line: for `eval --by-line` and `explain`."""

import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from charrnn.cli.options import check_range, option
from charrnn.console import Console, as_json, escape_controls, write_result
from charrnn.processors import free_threads

if TYPE_CHECKING:
    from charrnn.evaluation.by_line import LineCost
    from charrnn.network import Network
    from charrnn.run.reader import TrainedModel
    from charrnn.text.corpus import SplitName
    from charrnn.text.reading import Part

BY_LINE = """Print what each line costs, in bits and in bits per character; with --json an object a
line. Works on a text of any length, as it comes."""
DEAREST = "Only the N lines that cost most per character, the dearest first."

ByLine = Annotated[bool, option(BY_LINE, None, "--by-line")]
Dearest = Annotated[int | None, option(DEAREST, "N", "--dearest")]
HEADING = "{bits:>9} {each:>9} {line:>8}  text"


def write_lines(
    name: str | None,
    split: str,
    model: "TrainedModel",
    *,
    dearest: int | None,
    data_dir: Path | None = None,
    json: bool,
    console: Console,
    network: "Network | None" = None,
    rows: int | None = None,
) -> None:
    """Write what each line of a text, or of a split of the run's own corpus, costs.

    Raises:
        RunFailedError: The weights are such that the costs overflow.
    """
    from charrnn.evaluation.by_line import cost_by_line
    from charrnn.evaluation.evaluate import ThreadedNetwork, rows_for
    from charrnn.evaluation.scoring import check_finite
    from charrnn.inference.network import NumpyNetwork

    check_range("--dearest", dearest)
    parts, cut_at = _parts(name, split, model, data_dir, console)
    network = network or ThreadedNetwork(NumpyNetwork.of(model), free_threads())
    rows = rows or rows_for(free_threads())
    known = model.vocabulary
    costs: Iterable[LineCost] = cost_by_line(network, known, parts, cut_at=cut_at, rows=rows)
    if dearest is not None:
        costs = heapq.nlargest(dearest, costs, key=lambda cost: cost.bits_per_char)
    if not json:
        each = "per byte" if known.unit == "byte" else "per char"
        console.note(HEADING.format(bits="bits", each=each, line="line"))
    for cost in costs:
        check_finite(cost.bits_per_char, model.path)
        write_result(as_json(_fields(cost)) if json else _as_text(cost))


def _parts(
    name: str | None, split: str, model: "TrainedModel", data_dir: Path | None, console: Console
) -> tuple["Iterator[Part]", int | None]:
    """Return a text, or a split, in parts; and the length of those examples that were cut."""
    from charrnn.config.load import read_run_config
    from charrnn.evaluation.eval_text import own_split, parts_of_split, parts_of_text
    from charrnn.run.paths import CONFIG_FILE

    data = read_run_config(model.path / CONFIG_FILE).data
    if name is not None:
        return parts_of_text(name, model, data, console.progress), None
    own: SplitName = "train" if split == "train" else "valid"
    text = own_split(model, data, own, console.progress, data_dir=data_dir)
    return parts_of_split(text, model.vocabulary), text.cut_at


def _as_text(cost: "LineCost") -> str:
    text = escape_controls(cost.text, keep=frozenset("\t"))  # an example may have several lines
    return f"{cost.bits:9.1f} {cost.bits_per_char:9.3f} {cost.number:8}  {text}"


def _fields(cost: "LineCost") -> dict[str, Any]:
    return {
        "line": cost.number,
        "text": cost.text,
        "bits": cost.bits,
        "chars": cost.chars,
        "bits_per_char": cost.bits_per_char,
    }
