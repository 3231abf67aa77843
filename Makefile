# Everything here needs only python3 (3.10 or newer, with venv) and make. The first target installs what the others use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= runs/demo

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format types clean

help:
	@echo "make venv    create $(VENV) with the package and what its development needs"
	@echo "make demo    measure, fit, audit before and after on the embedded model; leaves $(DEMO)/report.html"
	@echo "make test    run the tests"
	@echo "make lint    check style;  make format  repair what a machine can"
	@echo "make types   check types"
	@echo "make clean   remove $(VENV), caches and builds (runs/ stays)"

venv: $(STAMP)

# The stamp is younger than both files only after an installation that went through.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: venv
	$(BIN)/fairmapping demo --out $(DEMO)

test: venv
	$(BIN)/python -m pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
	find src tests training -name __pycache__ -type d -prune -exec rm -rf {} +
