# The two commands of the README are `make demo` and `make test`. Each bootstraps .venv from the lock by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
STAMP := .venv/.installed

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## bootstrap .venv from requirements.lock; the command is then .venv/bin/genops

# The stamp holds the lock that was installed: a second call does nothing until the lock or pyproject.toml changes.
$(STAMP): requirements.lock pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  [ -x .venv/bin/python ] || uv venv --quiet --python $(PYTHON) .venv; \
	  uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock && \
	  uv pip install --quiet --python .venv/bin/python --no-deps --editable .; \
	else \
	  [ -x .venv/bin/python ] || $(PYTHON) -m venv .venv; \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

lock: ## resolve requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra local --group dev --python-version 3.11 --universal --generate-hashes \
	  --no-emit-index-url --no-header --quiet --upgrade --output-file requirements.lock

.PHONY: help install lock
