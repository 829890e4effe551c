# The README's two commands are `make demo` and `make test`; each bootstraps .venv from the lock by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: install ## the whole cascade on this machine: a good training file, then one with shuffled labels
	@$(BIN)/genops demo

check: lint unit ## lint, types and unit tests: under 90 s on a quiet machine

unit: install
	$(BIN)/pytest --numprocesses logical --dist loadfile tests/unit

test: check browser ## all: Google's own clients against the stand-ins, too, the reports in a browser, the cascade end to end
	$(BIN)/pytest --numprocesses 4 --dist loadfile tests/conformance tests/integration tests/browser
	$(BIN)/pytest --numprocesses 2 --dist loadfile tests/e2e

ahead: install ## the unit tests with the clock a year ahead (AHEAD=+1y, COMMAND="genops demo" for something else)
	@$(BIN)/python -m tests.ahead $(or $(AHEAD),+1y) $(or $(COMMAND),pytest --numprocesses 4 --dist loadfile tests/unit)

browser: install ## fetch the Chromium that the report is looked at with into .browser/ (once; 70 MB)
	@$(BIN)/python tests/browser/fetch_browser.py

install: $(STAMP) ## bootstrap .venv from requirements.lock; the command is then .venv/bin/genops

up: install ## start a local stack that stays, with the example configuration
	@GENOPS_CONFIG=$${GENOPS_CONFIG:-examples/genops.yaml} $(BIN)/genops up --detach

down: install ## stop it; its state is kept
	@$(BIN)/genops down

lint: install ## ruff, mypy, import-linter, deptry
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

bench: install ## upload to tuning job, and the cascade without the job's time, beside an empty cascade
	$(BIN)/python -m benchmarks.cascade

bench-arrivals: install ## upload to tuning run beside the Google provider's trigger, quiet and with killed processes
	$(BIN)/python -m benchmarks.arrivals

bench-waiting: install ## what 10 to 5,000 waiting tuning jobs cost, beside one trigger for each and the provider's operator
	$(BIN)/python -m benchmarks.waiting

bench-inference: install ## 10,000 prompts online: share of the quota, overhead, memory, and what a kill asks twice
	$(BIN)/python -m benchmarks.inference

bench-quota: install ## eight runs under one quota: shared, each with the whole of it, and one run alone; 12 minutes
	$(BIN)/python -m benchmarks.shared_quota

bench-ledger: install ## 500 candidates reserve and settle at once under one write a second to an object name, and the way before; 10 minutes
	$(BIN)/python -m benchmarks.ledger

bench-start: install ## what the command and the Dag files cost before they do anything, beside Typer's and Airflow's import
	$(BIN)/python -m benchmarks.start_up

chaos: install ## kill, stop and starve components under bursts of 100 uploads, and workers at each point of a submission: over an hour; prints tables
	$(BIN)/pytest tests/chaos -m chaos --chaos-report chaos.md

matrix: install ## try each Python and Airflow that can be had here, an hour each; writes docs/versions.md (PAIRS="--pair 3.13:3.4.0b2")
	@nice $(BIN)/python -m tests.matrix $(PAIRS)

fresh: install ## list what in the catalogue of models nobody has looked at for 60 days (no part of the tests)
	@$(BIN)/python -m genops_events.catalogue

schemas: install ## write the JSON Schemas of the completion events anew
	$(BIN)/python -m genops_events.record.events

reference: install ## write the pages of docs/reference/ anew that are made from the code
	$(BIN)/python -m docs.writing

docs: install ## build the site of docs/ into .site/, without a network; a broken link ends it
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs .site
	@echo "Open .site/index.html"

pictures: browser ## photograph a cascade in Airflow's window and its report, for README and docs (starts a stack of its own)
	$(BIN)/python -m docs.writing.pictures

lock: ## add to requirements.lock what pyproject.toml asks for (needs uv); UPGRADE=--upgrade takes the newest of everything
	uv pip compile pyproject.toml --extra local --group dev --group docs --python-version 3.11 --universal --generate-hashes \
	  --no-emit-index-url --no-header --quiet $(UPGRADE) --output-file requirements.lock

# The stamp is younger than the lock that was installed: a second call does nothing.
# A lock is not resolved again (--no-deps): what has come out since would be found, and have no hash in it. `pip check` looks afterwards.
$(STAMP): requirements.lock pyproject.toml
	@echo "Installing into .venv (once; takes a minute or two) ..." >&2
	@if command -v uv >/dev/null 2>&1; then \
	  [ -x $(BIN)/python ] || uv venv --quiet --python $(PYTHON) .venv; \
	  uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . && \
	  uv pip check --quiet --python $(BIN)/python; \
	else \
	  [ -x $(BIN)/python ] || $(PYTHON) -m venv .venv; \
	  export PIP_DISABLE_PIP_VERSION_CHECK=1; \
	  $(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . && \
	  $(BIN)/python -m pip check --quiet; \
	fi
	@touch $@

.PHONY: help demo check unit test ahead browser install up down lint bench bench-arrivals bench-waiting bench-inference bench-quota bench-ledger bench-start chaos matrix fresh schemas reference docs pictures lock
