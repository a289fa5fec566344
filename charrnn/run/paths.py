"""The names in a run directory, and what to do without one."""

from pathlib import Path

RUNS_FOLDER = Path("runs")

CONFIG_FILE = "config.yaml"
VOCABULARY_FILE = "vocabulary.json"
WEIGHTS_FILE = "model.safetensors"
NEXT_WEIGHTS_FILE = "model.safetensors.next"
CARD_FILE = "model.json"
METRICS_FILE = "metrics.jsonl"
LAST_FOLDER = "last"
LOCK_FILE = ".lock"

START_HINT = "`charrnn train --config configs/quickstart.yaml` makes a run"
COPY_HINT = "copy the whole run directory again"
