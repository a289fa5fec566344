"""What a shell completes beside commands and options: run directories and settings.

Imported when a shell asks, which it does at every press of the tab key: nothing heavy belongs here.
"""

from charrnn.config.schema import Config
from charrnn.run.paths import CONFIG_FILE, RUNS_FOLDER
from charrnn.shipped import CONFIGS, YAML, shipped_path
from charrnn.validation import types_of


def run_directories() -> list[str]:
    """The runs that commands find by themselves: `runs/poems`."""
    return sorted(str(file.parent) for file in RUNS_FOLDER.glob(f"*/{CONFIG_FILE}"))


def shipped_configs() -> list[str]:
    """The configurations that come with charrnn, by name: `quickstart`."""
    return sorted(file.stem for file in shipped_path(CONFIGS).glob(f"*{YAML}"))


def setting_keys() -> list[str]:
    """What --set takes, up to the value: `model.hidden_size=`."""
    sections = types_of(Config).items()
    return [f"{section}.{key}=" for section, settings in sections for key in types_of(settings)]
