# Everything a person or CI runs. The two commands to know: `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8400
DATA ?= data
ARGS ?=
WORKERS ?= 3

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.ready ## Start everything on this machine and print the page's address
	-@scripts/build-assets
	@exec $(BIN)/rackwatt up --data $(DATA) --port $(PORT) $(ARGS)

test: $(VENV)/.ready assets servers ## Run all tests, with real servers
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report= $(ARGS)
	@$(BIN)/coverage report --include='*/accounting/*' --skip-covered --fail-under=95

check: $(VENV)/.ready ## Format, lint, types, structure, generated files, licences: exactly what CI checks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=wire:agents:collector:twin:dashboards:alerts:reports $(BIN)/lint-imports
	@$(BIN)/python scripts/generate.py --check
	@$(BIN)/rackwatt dashboards check
	@$(BIN)/rackwatt alerts check
	@$(BIN)/python scripts/licences.py

fmt: $(VENV)/.ready ## Format the code and write the generated files
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python scripts/generate.py
	@$(BIN)/rackwatt dashboards build
	@$(BIN)/rackwatt alerts build

bench: $(VENV)/.ready ## Run the benchmarks; a line of JSON each, and files in dist/bench
	@$(BIN)/python scripts/bench.py $(ARGS)

faults: $(VENV)/.ready servers ## Run every fault in its long form and print the table (a quarter of an hour)
	@scripts/faults $(ARGS)

soak: $(VENV)/.ready servers ## Run the system for half an hour with random faults; ARGS="--minutes 3"
	@scripts/soak $(ARGS)

sbom: $(VENV)/.ready ## Write the bill of materials, dist/rackwatt.cdx.json (CycloneDX)
	@$(BIN)/python scripts/sbom.py dist/rackwatt.cdx.json

lock: ## Resolve the dependencies anew into requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra all --extra dev pyproject.toml -o requirements.lock

assets: ## Fetch the page's charts and fonts, where Node is there
	@scripts/build-assets

servers: ## Install the servers that the tests start
	@scripts/install-servers

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rackwatt needs Python 3.11 or later; say which one with: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "Creating the Python environment (once, about a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean: ## Remove what can be made again; data/ stays
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help run test check fmt bench faults soak sbom lock assets servers clean
