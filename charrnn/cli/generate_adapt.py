"""`charrnn generate --adapt FILE`: the run's model, after it has learned from a text."""

from charrnn.cli.eval import warn_of_unknown
from charrnn.config.load import read_run_config
from charrnn.console import Console
from charrnn.evaluation.eval_text import other_text
from charrnn.generation.language_model import LanguageModel
from charrnn.run.paths import CONFIG_FILE
from charrnn.training.dynamic import DynamicOptions, adapt


def adapted_to(
    name: str, model: LanguageModel, rate: float | None, console: Console
) -> LanguageModel:
    """Read a text with dynamic evaluation; the model that this leaves goes on from its end.

    Args:
        name: a path, `-` for stdin or what `charrnn prepare` takes.
        model: the run's.
        rate: how far each step goes; None for our own.
        console: where progress is shown, and a warning of characters that the model does not know.

    Raises:
        UserError: The text cannot be read, or there is too little of it.
        RunFailedError: The weights have run away.
    """
    run = model.trained
    data = read_run_config(run.path / CONFIG_FILE).data
    text = other_text(
        name, run, data, command="generate --adapt", warn=console.warn, progress=console.progress
    )
    warn_of_unknown(text.unknown, console)
    options = DynamicOptions().changed(rate=rate)
    with console.progress("adapting", text.targets, unit=f"{model.vocabulary.unit}s") as advance:
        return LanguageModel(*adapt(run, text.ids, text.starts, options=options, progress=advance))
