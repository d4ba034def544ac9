# Every target first creates the virtual environment .venv if needed, then does its work.
PYTHON ?= python3
BIN := .venv/bin
# Test processes; each has its own share of the tests, and takes from the other's when it has done.
WORKERS ?= 2
# How long `make fuzz` goes on, and the seed that repeats a run.
SECONDS ?= 600
SEED ?=
# How many connections `make fleet` opens.
CONNECTIONS ?= 40000
# Which kernels `make kernels` boots, which parts it tries in them (all, if none is named), seconds for each kernel, and
# options of tests.kernels.inside, such as OPTIONS='--worlds 100'.
KERNEL ?= 6.1
PART ?=
LIMIT ?=
OPTIONS ?=

.PHONY: prove fleet test check lint types docs docs-kernels languages screens examples site bench fuzz kernels clean

prove: .venv/installed
	$(BIN)/fourtuple prove

# Four machines on this one, as network namespaces: they open connections together, and one of them is lost.
fleet: .venv/installed-dev
	$(BIN)/python -m tests.fleet --connections $(CONNECTIONS)

test: check
	$(BIN)/pytest -q -rs -n $(WORKERS) --dist worksteal

check: lint types

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/typos

types: .venv/installed-dev
	$(BIN)/mypy

docs: .venv/installed-dev
	$(BIN)/python -m tests.programs
	$(BIN)/python -m fourtuple.faces.page.limits docs/limits.md
	$(BIN)/python -m fourtuple.faces.page.catalogue docs/catalogue.md

docs-kernels: .venv/installed-dev
	$(BIN)/python -m tests.kernels --page

# From the message catalogues of glibc on this machine (Debian: libc-l10n).
languages: .venv/installed-dev
	$(BIN)/python -m tests.languages

screens: .venv/installed-dev
	$(BIN)/python -m tests.screens

# The output of commands in README.md and docs/: all of it, which takes some minutes.
examples: .venv/installed-dev
	$(BIN)/python -m tests.examples

# The documentation as a site, in build/site.
site: .venv/installed-dev
	$(BIN)/python -m tests.site

bench: .venv/installed-dev
	$(BIN)/python -m bench --write

fuzz: .venv/installed-dev
	$(BIN)/fourtuple lab --quiet -- $(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

kernels: .venv/installed-dev
	$(BIN)/python -m tests.kernels $(KERNEL) $(if $(PART),--part $(PART)) $(if $(LIMIT),--limit $(LIMIT)) \
	  --options '$(OPTIONS)'

clean:
	rm -rf .venv build

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[report]'
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/installed
