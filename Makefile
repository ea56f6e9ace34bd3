# Two commands: `make demo` runs the main job on real pictures, `make test` passes the tests.
# Each makes .venv itself. PYTHON=python3.12 make ... picks another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-fast test-all lint format docs proof clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       search, prune and compare on handwritten digits (about 2 minutes after installation)"
	@echo "make test       run the tests                make test-fast  those that take under two minutes together"
	@echo "make test-all   also the largest networks    make clean      remove what was built"
	@echo "make lint       ruff and mypy                make format     let ruff fix and format"
	@echo "make docs       the documentation as a site, in site/"
	@echo "make proof      measure what docs/results shows (hours; goes on where it was stopped)"

$(BIN)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "xaiprune needs Python 3.11 or newer: PYTHON=python3.12 make ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps 'lxt==2.1'  # a test reference; its own needs are not ours
	touch $@

demo: $(BIN)/.installed
	$(BIN)/xaiprune demo

PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

test: $(BIN)/.installed-dev
	$(PYTEST)

test-fast: $(BIN)/.installed-dev
	$(PYTEST) -m 'not slow and not long'

test-all: $(BIN)/.installed-dev
	$(PYTEST) -m ''

lint: $(BIN)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(BIN)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

proof: $(BIN)/.installed-dev
	$(BIN)/python -m benchmarks.wide

format: $(BIN)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
