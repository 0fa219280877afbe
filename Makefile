# Everything runs in .venv, which is made at the first call and again only when pyproject.toml or constraints.txt changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: maintenance-clean maintenance-backup maintenance-export maintenance-validate
.PHONY: demo test test-all test-docs test-matrix test-lowest audit check check-slow lint types docs format coverage
.PHONY: package release-dry-run pictures bench bench-compare profile clean help

help:  ## Show what there is.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "daglab needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## Walk the whole way once on a real Dagster.
	@$(BIN)/python scripts/demo.py

test: $(READY)  ## Run the tests but for those that take many seconds each.
	$(BIN)/python scripts/test.py -q -m "not long and not slow"

test-all: $(READY)  ## Run all tests but the slow ones.
	$(BIN)/python scripts/test.py

test-matrix: $(READY)  ## Try the commands on Dagster 1.5.14, 1.8.13 and the newest.
	$(BIN)/python scripts/matrix.py $(VERSIONS)

test-docs: $(READY)  ## Run the tests of the docs.
	$(BIN)/python -m pytest -q tests/test_docs.py

test-lowest: $(READY)  ## Run the unit tests on the lowest versions that pyproject.toml allows.
	$(BIN)/python scripts/lowest.py $(TESTS)

# For some tests alone: make coverage TESTS=tests/unit/test_parse.py
coverage: $(READY)  ## Measure what the tests run, across processes, and compare it with what is asked for.
	$(BIN)/python scripts/quality/check_coverage.py $(TESTS)

# For some Pythons alone: make package PYTHONS="3.12 3.13"
package: $(READY)  ## Build the package twice, compare, check it, and try it on each Python that is here.
	$(BIN)/python scripts/package.py $(if $(PYTHONS),--python $(PYTHONS))

release-dry-run: $(READY)  ## All that a release does up to the upload.
	$(BIN)/python scripts/release.py $(if $(TAG),--tag "$$TAG") $(if $(NOTES),--notes "$$NOTES")

check: lint types test-all docs  ## Everything that CI checks.

check-slow: test-matrix  ## What takes longer: both matrices, slow tests, killed writers, exports, copies and migrations.
	$(BIN)/python scripts/servers.py weaviate-1.39.0 weaviate-1.30.0
	$(BIN)/python -m pytest -m slow
	DAGLAB_TEST_WEAVIATE=1.30.0 $(BIN)/python -m pytest -m 'slow or not slow' tests/integration/test_collections_*.py
	$(BIN)/python scripts/faults/writers.py --seconds 60
	$(BIN)/python scripts/faults/exports.py --exports 60
	$(BIN)/python scripts/faults/transfers.py --rounds 8

audit: $(READY)  ## Look for unsafe code, known holes in what is installed, secrets in tree and history.
	$(BIN)/python scripts/audit.py

lint: $(READY)  ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## Format the code, and mend what the linter can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## Check types.
	$(BIN)/mypy

docs: $(READY)  ## Check that the docs say what the commands do; make docs WRITE=1 writes them anew.
	$(BIN)/python scripts/reference.py $(if $(WRITE),,--check)

pictures: $(READY)  ## Take the pictures of the docs, of a real project in a real browser.
	DAGLAB_TEST_PICTURES=docs/pictures $(BIN)/python -m pytest -q -m slow tests/integration/test_pictures.py

# For some alone: make bench NAMES="startup run". Fewer rounds are quicker and less exact: make bench ROUNDS=2
BENCH = $(BIN)/python scripts/bench/benchmarks.py $(if $(ROUNDS),--rounds $(ROUNDS))

bench: $(READY)  ## Measure, side by side with the peers, and write docs/performance.md.
	$(BENCH) $(NAMES)

bench-compare: $(READY)  ## Measure, and name each ratio that is more than 15 % worse than the stored one.
	$(BENCH) --compare $(NAMES)

profile: $(READY)  ## Show where the time of a benchmark goes: make profile NAME=startup
	@$(BIN)/python scripts/bench/profiles.py $(NAME)

# For a project elsewhere: make maintenance-clean PROJECT=/srv/shop
PROJECT ?= .
IN_PROJECT = cd "$(PROJECT)" && "$(CURDIR)/$(BIN)/daglab"

maintenance-clean: $(READY)  ## Take away what the project in PROJECT=DIR does not need any more.
	$(IN_PROJECT) clean --archive --yes

maintenance-backup: $(READY)  ## Make an archive of it.
	$(IN_PROJECT) backup create

maintenance-export: $(READY)  ## Write its data as CSV into its exports/data.
	$(IN_PROJECT) backup data --output exports/data

maintenance-validate: $(READY)  ## Check its config, what it talks to, and its records.
	$(IN_PROJECT) config validate
	$(IN_PROJECT) health
	$(IN_PROJECT) doctor --deep

clean:  ## Remove what the calls above have made.
	rm -rf $(VENV) .demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
