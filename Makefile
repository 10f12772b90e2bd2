# Development tasks; `make` lists them. `make check` runs what continuous integration runs.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install test test-fast lint format types check wheel lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv .venv

install: $(BIN)/python ## Install the project for development into .venv
	$(BIN)/pip install -q -e '.[dev]'

test: ## Run all tests
	$(BIN)/python -m pytest

test-fast: ## Run the tests that take milliseconds
	$(BIN)/python -m pytest -m 'not slow'

lint: ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: ## Rewrite to the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: ## Check types
	$(BIN)/mypy

check: ## Run what continuous integration runs: fresh environments, tests, style, types, the wheel
	.ci/run

wheel: ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

lock: ## Renew requirements.lock from pyproject.toml
	uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --upgrade --quiet --output-file requirements.lock

clean: ## Remove build products and caches
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find bl_compiler tests -name __pycache__ -type d -exec rm -rf {} +
