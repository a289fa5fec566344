"""What each line of a text costs, one line of output a line: for `eval --by-line` and `explain`."""

import heapq
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from charrnn.cli.options import check_range, option
from charrnn.console import Console, escape_controls, write_result
from charrnn.machine import free_threads

if TYPE_CHECKING:
    from charrnn.evaluation.by_line import LineCost
    from charrnn.network import Network
    from charrnn.run.reader import TrainedModel
    from charrnn.text.corpus import SplitName

BY_LINE = """Print what each line costs, in bits and in bits per character; with --json an object a
line. Works on a text of any length, as it comes."""
DEAREST = "Only the N lines that cost most per character, the dearest first."

ByLine = Annotated[bool, option(BY_LINE, None, "--by-line")]
Dearest = Annotated[int | None, option(DEAREST, "N", "--dearest")]
HEADING = f"{'bits':>9} {'per char':>9} {'line':>8}  text"


def write_lines(
    name: str | None,
    split: str,
    model: "TrainedModel",
    *,
    dearest: int | None,
    data_dir: Path | None = None,
    as_json: bool,
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
    texts = _texts(name, split, model, data_dir, console)
    network = network or ThreadedNetwork(NumpyNetwork.of(model), free_threads())
    rows = rows or rows_for(free_threads())
    costs: Iterable[LineCost] = cost_by_line(network, model.vocabulary, texts, rows=rows)
    if dearest is not None:
        costs = heapq.nlargest(dearest, costs, key=lambda cost: cost.bits_per_char)
    if not as_json:
        console.note(HEADING)
    for cost in costs:
        check_finite(cost.bits_per_char, model.path)
        write_result(_as_json(cost) if as_json else _as_text(cost))


def _texts(
    name: str | None, split: str, model: "TrainedModel", data_dir: Path | None, console: Console
) -> Iterator[str]:
    from charrnn.config.load import read_run_config
    from charrnn.evaluation.eval_text import own_split, texts_of, texts_of_split
    from charrnn.run.paths import CONFIG_FILE

    data = read_run_config(model.path / CONFIG_FILE).data
    if name is not None:
        return texts_of(name, model, data, console.progress)
    own: SplitName = "train" if split == "train" else "valid"
    text = own_split(model, data, own, console.progress, data_dir=data_dir)
    return texts_of_split(text, model.vocabulary)


def _as_text(cost: "LineCost") -> str:
    text = escape_controls(cost.text)
    return f"{cost.bits:9.1f} {cost.bits_per_char:9.3f} {cost.number:8}  {text}"


def _as_json(cost: "LineCost") -> str:
    fields = {
        "line": cost.number,
        "text": cost.text,
        "bits": cost.bits,
        "chars": cost.chars,
        "bits_per_char": cost.bits_per_char,
    }
    return json.dumps(fields, allow_nan=False)
