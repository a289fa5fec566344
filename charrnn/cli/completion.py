"""What a shell completes beside commands and options: run directories and settings.

Imported when a shell asks, which it does at every press of the tab key: nothing heavy belongs here.
"""

from charrnn.config.schema import Config
from charrnn.run.paths import CONFIG_FILE, RUNS_FOLDER
from charrnn.validation import types_of


def run_directories() -> list[str]:
    """The runs that commands find by themselves: `runs/poems`."""
    return sorted(str(file.parent) for file in RUNS_FOLDER.glob(f"*/{CONFIG_FILE}"))


def setting_keys() -> list[str]:
    """What --set takes, up to the value: `model.hidden_size=`."""
    sections = types_of(Config).items()
    return [f"{section}.{key}=" for section, settings in sections for key in types_of(settings)]
