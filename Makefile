# The front door. Below it is one command, .venv/bin/recyclelora; `recyclelora --help` says the rest.

# A value as one word for the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'

PYTHON ?= python3
EXPERIMENT ?=
SPACE ?= $(if $(EXPERIMENT),$(shell test -e $(call quoted,$(EXPERIMENT)) || printf experiments/)$(EXPERIMENT)$(shell \
	test -e $(call quoted,$(EXPERIMENT)) || printf .yaml),search_spaces/default.yaml)
AT ?=
CELL ?=
CLUSTER ?=
RESULTS ?= results
PORT ?= 5000
WORKERS ?= 2
MOMENTS ?= 20
WHICH = $(call quoted,$(SPACE)) $(if $(AT),--at $(call quoted,$(AT)))
SITE = $(call quoted,$(CLUSTER))
ROW = $(if $(CELL),--cell $(call quoted,$(CELL)))
INTO = --results $(call quoted,$(RESULTS))
BIN := .venv/bin
READY := .venv/ready
ifdef DATA_ROOT
export DATA_ROOT
endif

.PHONY: help setup sweep plan noise status tables report ui test check lint chaos cluster-status cluster-logs cluster-stop

help:  ## this list
	@echo "make sweep   run what is missing of SPACE="$(call quoted,$(SPACE))", then print its table"
	@echo "make plan    the trials of SPACE, what is there already, and what the rest will cost"
	@echo "             EXPERIMENT=initialisation instead of SPACE names a file of experiments/, AT=dusk its base,"
	@echo "             CELL=\"main only\" one of its cells"
	@echo "make sweep CLUSTER=cluster/centre/profile.yaml   as a job on that cluster; then cluster-status, cluster-logs,"
	@echo "             cluster-stop, with the same CLUSTER and SPACE"
	@echo "make noise   the baseline of an experiment alone: how small a difference could be seen"
	@echo "make status  how far each sweep in RESULTS="$(call quoted,$(RESULTS))" is"
	@echo "make tables  write the tables in RESULTS again, from MLflow alone"
	@echo "make report  a page for each experiment in RESULTS: verdict, tables, figures, provenance"
	@echo "make ui      MLflow's pages on http://127.0.0.1:PORT (PORT="$(call quoted,$(PORT))")"
	@echo "make test    the quick tests;  make check: lint, types and all tests"
	@echo "make chaos   MOMENTS="$(call quoted,$(MOMENTS))" of each fault in a sweep (signals, deaths, locks, torn files), and what is left"
	@echo "make setup   the environment in .venv (the others call it)"
	@echo "DATA_ROOT=folder of data sets, for spaces that need files"

setup: $(READY)

# The stamp is written last: a set-up that was interrupted is simply run again, and pip keeps what it has.
$(READY): requirements.lock pyproject.toml
	@$(call quoted,$(PYTHON)) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "recyclelora needs Python 3.11 or newer; this is $$($(call quoted,$(PYTHON)) --version). Say PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/pip || $(call quoted,$(PYTHON)) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -q -e .
	@touch $@

sweep: $(READY)
	@$(BIN)/recyclelora $(if $(CLUSTER),submit $(SITE) $(WHICH) $(ROW),sweep $(WHICH) $(ROW) $(INTO))

cluster-status: $(READY)
	@$(BIN)/recyclelora remote status $(SITE)

cluster-logs: $(READY)
	@$(BIN)/recyclelora remote logs $(SITE) $(WHICH)

cluster-stop: $(READY)
	@$(BIN)/recyclelora remote stop $(SITE) $(WHICH)

plan: $(READY)
	@$(BIN)/recyclelora plan $(WHICH) $(ROW) $(INTO)

noise: $(READY)
	@$(BIN)/recyclelora noise $(WHICH) $(INTO)

status: $(READY)
	@$(BIN)/recyclelora status $(INTO)

tables: $(READY)
	@$(BIN)/recyclelora tables $(INTO)

report: $(READY)
	@$(BIN)/recyclelora report $(INTO)

ui: $(READY)
	@$(BIN)/recyclelora ui $(INTO) --port $(call quoted,$(PORT))

test: $(READY)
	$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist worksteal

lint: $(READY)
	$(BIN)/ruff check recyclelora tests
	$(BIN)/mypy

check: lint
	$(BIN)/python -m pytest -q -m "not alone" -n $(WORKERS) --dist worksteal
	$(BIN)/python -m pytest -q -m alone

chaos: $(READY)
	@$(BIN)/python -m tests.chaos --moments $(call quoted,$(MOMENTS)) $(INTO)
