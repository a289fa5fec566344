"""Imports all that commands may import, and compiles the kernels: what is forked has them."""

import importlib
import pkgutil

import charrnn
from charrnn.training.kernels.compiler import compiled_kernels

LIBRARIES = (
    *("numpy.random", "rich.console", "rich.live", "rich.markdown", "rich.progress"),
    *("safetensors.numpy", "torch", "typer.rich_utils", "yaml"),
)

for module in pkgutil.walk_packages(charrnn.__path__, "charrnn."):
    importlib.import_module(module.name)
for name in LIBRARIES:
    importlib.import_module(name)
compiled_kernels()
