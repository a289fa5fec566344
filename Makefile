# What a person does with charrnn, one target each. `make PYTHON=python3.12 demo` picks the Python.
# Works with GNU make 3.81 and later, which macOS and every Linux have.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL_WITH := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
PIP_INSTALL := $(PIP_INSTALL_WITH) '.[plots]'
PIP_INSTALL_ALL := $(PIP_INSTALL_WITH) '.[onnx,plots,tensorboard]'
PIP_WITH_GROUPS := $(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
INSTALLED := $(VENV)/installed
DEV_INSTALLED := $(VENV)/installed-dev
PYTEST_ARGS ?=
MINUTES ?= 30
READERS ?=
TEXT ?= input.txt
KILLS ?= 1000

.DEFAULT_GOAL := help
.PHONY: help demo test test-wheel lint format fuzz bench bench-losses campaign-kills campaign-processes docs pictures clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Train the quickstart (about two minutes), evaluate it, print a sample.
	$(BIN)/charrnn train --config configs/quickstart.yaml
	$(BIN)/charrnn eval
	$(BIN)/charrnn generate --seed "The " --length 600

test: $(DEV_INSTALLED) ## Run the test suite; PYTEST_ARGS="-k config" picks tests.
	$(BIN)/python -m pytest --numprocesses auto $(PYTEST_ARGS)

test-wheel: ## Build sdist and wheel, install the wheel far from here, run every command.
	.ci/wheel $(PYTHON)

lint: $(DEV_INSTALLED) ## Check format, style and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(DEV_INSTALLED) ## Put every file into the common format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(DEV_INSTALLED) ## Search for input that breaks a reader; MINUTES=30, READERS="card text".
	$(PIP_INSTALL) --group fuzz
	$(BIN)/python -m tests.fuzz.exhaustive
	$(BIN)/python -m tests.fuzz.campaign --minutes $(MINUTES) $(READERS)

bench: $(DEV_INSTALLED) ## Run every benchmark of speed and print its ratios.
	@for benchmark in start prepare generate evaluate train; do \
		echo "== $$benchmark" && $(BIN)/python "benchmarks/$$benchmark.py" || exit 1; \
	done

bench-losses: $(DEV_INSTALLED) ## Train recipes and sizes, three seeds each (over two hours), and draw their losses.
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/sizes.py
	$(BIN)/python benchmarks/recipes.py --svg docs/recipes.svg

campaign-kills: $(DEV_INSTALLED) ## Kill trainings at every moment, KILLS=1000 times; nothing may be lost.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.campaigns.kills --kills $(KILLS)

campaign-processes: $(DEV_INSTALLED) ## Train by torchrun with 1, 2 and 4 processes, kill and stop them; the same bits.
	$(BIN)/python -m tests.campaigns.processes

docs: $(DEV_INSTALLED) ## Regenerate docs/cli.md, the JSON Schema and the tables of the settings.
	$(BIN)/python -m scripts.write_reference

pictures: $(DEV_INSTALLED) ## Train small networks (ten minutes) and draw docs/pictures; TEXT=input.txt.
	$(BIN)/python scripts/draw_ideas.py "$(TEXT)"

clean: ## Remove what tools leave behind; runs, corpora and .venv stay.
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL)
	@touch $@

$(DEV_INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_WITH_GROUPS)
	$(PIP_INSTALL_ALL) --group dev
	@touch $@ $(INSTALLED)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'charrnn needs Python 3.11 or later; for example: make PYTHON=python3.12 demo' >&2; \
		exit 1; \
	}
	$(PYTHON) -m venv $(VENV)
