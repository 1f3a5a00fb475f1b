# Fluffy: everything a person or CI starts. `make help` lists it.
# Needs only make and Python >= 3.11; everything else goes into .venv.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
SEEDS ?= 200
TREE_STEPS ?= 100000
ALONE := tests/cluster tests/s3 tests/client/test_terminal.py
MINUTES ?=
SEED ?=
DRILLS ?= leader_kills all_kills minority killed_client bad_chunks linearizable big_moves whole_files two_dead membership

.PHONY: browser help run stop test lint bench sim faults s3 s3fuzz schemathesis deploycheck clean

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1	\2/p' Makefile

# Any Python that is new enough, those that we test on first; an old python3 does no harm.
$(BIN)/python:
	@for python in python3.11 python3.12 python3.13 python3 python; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$($$python --version)"; exec $$python -m venv $(VENV); \
	  fi; \
	done; \
	echo "make: no Python >= 3.11 with venv was found; install python3.11 or newer (on Debian also python3-venv)" >&2; \
	exit 1

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing (once)"
	@$(BIN)/python -m pip install --quiet --use-pep517 --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing with the development tools (once)"
	@$(BIN)/python -m pip install --quiet --use-pep517 --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

run: $(VENV)/.installed ## start the cluster of config.yaml here and open the REPL; ARGS="--detach" leaves it running
	@$(BIN)/fluffy up $(ARGS)

stop: $(VENV)/.installed ## end what `make run ARGS="--detach"` left running
	@$(BIN)/fluffy down $(ARGS)

# First the rooms, two files at a time; then what needs the machine for itself. With ARGS: just those, one by one.
test: $(VENV)/.installed-dev ## the whole test suite; ARGS="tests/core -k name" chooses
	@if [ -n '$(subst ','\'',$(ARGS))' ]; then exec $(BIN)/python -m pytest $(ARGS); fi; \
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(addprefix --ignore=,$(ALONE)) && \
	$(BIN)/python -m pytest $(ALONE)

lint: $(VENV)/.installed-dev ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(VENV)/.installed-dev ## speed, each number beside its reference and compared with benchmarks/baseline.json
	@$(BIN)/python -m benchmarks --compare $(ARGS)

sim: $(VENV)/.installed-dev ## the simulated cluster and the protocol of jobs under SEEDS seeds; the file tree through twice TREE_STEPS random steps
	@$(BIN)/python -m fluffy.sim.run --seeds $(SEEDS) $(ARGS)
	@$(BIN)/python -m fluffy.sim.jobs_run --seeds $(SEEDS) $(ARGS)
	@$(BIN)/python -m tests.support.long_trees --steps $(TREE_STEPS)

faults: $(VENV)/.installed-dev ## drills that kill real processes; DRILLS="..." chooses; MINUTES=30 [SEED=n]: random faults
	@if [ -n "$(MINUTES)" ]; then \
	  $(BIN)/python -m tests.faults.random_faults --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS) || exit 1; exit 0; \
	fi; \
	for drill in $(DRILLS); do \
	  echo "== $$drill"; $(BIN)/python -m tests.faults.$$drill $(ARGS) || exit 1; \
	done

s3: $(VENV)/.installed-dev ## S3 conformance against all nodes of a real cluster, then real tools while leaders die
	@FLUFFY_S3_CLUSTER=1 $(BIN)/python -m pytest tests/s3 -q
	@$(BIN)/python -m tests.s3.tools $(ARGS)

s3fuzz: $(VENV)/.installed-dev ## made-up requests for the S3 door of a real node; MINUTES=10 [SEED=n]
	@$(BIN)/python -m tests.faults.s3_fuzz --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(ARGS)

schemathesis: $(VENV)/.installed-dev ## made-up requests from the API's own description against a real node; MINUTES=20 [SEED=n]
	@$(BIN)/python -c 'import schemathesis' 2>/dev/null || $(BIN)/python -m pip install --quiet --use-pep517 --disable-pip-version-check --editable '.[fuzz]'
	@$(BIN)/python -m tests.faults.api_fuzz --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED)) $(ARGS)

deploycheck: $(VENV)/.installed-dev ## the validators of what is in deploy/, as many as are on this machine
	@$(BIN)/python -c 'import check_jsonschema, kubernetes_validate, helm_python' 2>/dev/null || $(BIN)/python -m pip install --quiet --use-pep517 --disable-pip-version-check --editable '.[deploy]'
	@$(BIN)/python -m tests.deploy.check

browser: $(VENV)/.installed-dev build/axe/package/axe.min.js ## every page and button of the dashboards in a real Chromium, and axe-core (needs chromium and npm)
	@FLUFFY_BROWSER=1 $(BIN)/python -m pytest tests/browser -q -s $(ARGS)

build/axe/package/axe.min.js:
	@mkdir -p build/axe && cd build/axe && npm pack --silent axe-core@4.14.1 >/dev/null && tar xzf axe-core-4.14.1.tgz

.PHONY: monitoring
monitoring: $(VENV)/.installed-dev ## Debian's Prometheus over three nodes and a supernode: metrics, dashboards, alerts
	@$(BIN)/python -m tests.deploy.prometheus $(ARGS)

clean: ## remove what was made here (not the data of clusters)
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find fluffy tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
