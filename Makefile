# Everything runs in .venv, which is made at the first call and again only when pyproject.toml or constraints.txt changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-matrix check lint types docs bench clean help

help:  ## Show what there is.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "daglab needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## Walk the whole way once on a real Dagster.
	@$(BIN)/python scripts/demo.py

test: $(READY)  ## Run the tests.
	$(BIN)/python scripts/test.py

test-matrix: $(READY)  ## Try the commands on Dagster 1.5.14, 1.8.13 and the newest.
	$(BIN)/python scripts/matrix.py $(VERSIONS)

check: lint types test docs  ## Everything that CI checks.

lint: $(READY)  ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Check types.
	$(BIN)/mypy

docs: $(READY)  ## Check that the docs say what the commands do; make docs WRITE=1 writes them anew.
	$(BIN)/python scripts/reference.py $(if $(WRITE),,--check)

bench: $(READY)  ## Measure, side by side in one run.
	$(BIN)/python scripts/bench/startup.py
	$(BIN)/python scripts/bench/discover.py
	$(BIN)/python scripts/bench/run.py
	$(BIN)/python scripts/bench/follow.py
	$(BIN)/python scripts/bench/export.py
	$(BIN)/python scripts/bench/dev.py
	$(BIN)/python scripts/bench/track.py
	$(BIN)/python scripts/bench/notebook.py

clean:  ## Remove what the calls above have made.
	rm -rf $(VENV) .demo build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
