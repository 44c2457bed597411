# QuantMatrix workbench. `make` alone says what there is. Needs make, a POSIX shell and Python 3.11 to 3.14, or uv.
#
# Options go through ARGS:     make day ARGS="--headless --data FILE --date 2018-03-02"
# The interpreter is chosen by PYTHON: make day PYTHON=python3.13

.DEFAULT_GOAL := help
.PHONY: help day test check kill crashes takeover sweep mutants bench lab clean distclean setup

BIN := .venv/bin
ARGS ?=
PYTHON ?=

# Tests run on several processes; WORKERS=0 runs them in one, for a debugger.
WORKERS ?= auto

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

day: setup ## one whole trading day: preflight, session, shutdown, reconciliation, review
	$(BIN)/qm day $(ARGS)

test: setup ## every test
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

check: setup ## format, lint, types and the floors between the packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

sweep: setup ## every recorded day there is: no break, and GO
	$(BIN)/python scripts/sweep.py $(ARGS)

kill: setup ## kill the platform at 200 random instants, its venue in another process, and hold what it promises
	$(BIN)/python scripts/kill.py $(ARGS)

crashes: setup ## kill a journal's writer and its server 60 times each; nothing acknowledged may be lost
	$(BIN)/python scripts/kill_stores.py $(ARGS)

takeover: setup ## kill a platform beside its standby: how long until the book is recovered, at most 30 s
	$(BIN)/python scripts/takeover.py $(ARGS)

mutants: setup ## plant small bugs in what keeps orders safe; a test must notice each
	$(BIN)/python scripts/mutants.py $(ARGS)

simulate: setup ## thousands of sessions under fire, one from each seed; ARGS="--mutants" plants bugs
	$(BIN)/qm simulate --seeds 1:1000 $(ARGS)

bench: setup ## speed, each number beside a peer's from the same run
	$(BIN)/python bench/run.py $(ARGS)

lab: setup ## JupyterLab on the notebooks; it asks nobody for news or updates
	$(BIN)/jupyter lab --notebook-dir=notebooks --LabApp.news_url=None \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --LabApp.extension_manager=readonly $(ARGS)

clean: ## remove what local and backtest runs wrote, and caches; never a paper or live book
	@sh scripts/clean.sh

distclean: clean ## clean, and remove .venv
	rm -rf .venv .venv.lock

setup: # .venv as requirements.lock says; returns at once when it is
	@PYTHON='$(PYTHON)' sh scripts/bootstrap.sh
