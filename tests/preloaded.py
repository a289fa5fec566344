"""Imports all that commands may import, so that what is forked from here starts quickly."""

import importlib
import pkgutil

import charrnn

LIBRARIES = (
    *("numpy.random", "rich.console", "rich.live", "rich.markdown", "rich.progress"),
    *("safetensors.numpy", "torch", "typer.rich_utils", "yaml"),
)

for module in pkgutil.walk_packages(charrnn.__path__, "charrnn."):
    importlib.import_module(module.name)
for name in LIBRARIES:
    importlib.import_module(name)
