# Every target first creates the virtual environment .venv if needed, then does its work.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes; each has its own share of the tests, and takes from the other's when it has done.
WORKERS ?= 2
# Which tests `make pytest` and `make pythons` run, such as TESTS='tests/core tests/store'; all, if none is named.
TESTS ?=
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
# The interpreters that the file of `make pyz` is for; one of each minor version.
PYTHONS ?= $(BIN)/python
# Extras that this file is to have too, such as EXTRAS=report,parquet.
EXTRAS ?=
# A virtual environment is made of it at the first start, and has the command too, for `lab -- fourtuple …`.
PEX := --console-script fourtuple --venv prepend --no-pre-install-wheels --python-shebang '/usr/bin/env python3' \
  --resolver-version pip-2020-resolver

.PHONY: prove fleet test pytest pythons check lint types docs docs-kernels languages man screens examples site bench \
  fuzz kernels dist pyz clean

prove: $(VENV)/installed
	$(BIN)/fourtuple prove

# Four machines on this one, as network namespaces: they open connections together, and one of them is lost.
fleet: $(VENV)/installed-dev
	$(BIN)/python -m tests.fleet --connections $(CONNECTIONS)

test: check pytest

pytest: $(VENV)/installed-dev
	$(BIN)/pytest -q -rs -n $(WORKERS) --dist worksteal $(TESTS)

# The tests on each of these Pythons that is on PATH, in an environment of its own: .venv-3.10, for instance.
pythons: python-3.10 python-3.11 python-3.12 python-3.13 python-3.14

python-%:
	@if python$* --version; then $(MAKE) pytest PYTHON=python$* VENV=.venv-$*; else echo "There is no python$*."; fi

check: lint types

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/typos

types: $(VENV)/installed-dev
	$(BIN)/mypy
	@# As for Python 3.10, where not all types of newer packages are known.
	$(BIN)/mypy --python-version 3.10 --no-warn-return-any --no-warn-unused-ignores

docs: $(VENV)/installed-dev
	$(BIN)/python -m tests.programs
	$(BIN)/python -m fourtuple.faces.page.limits docs/limits.md
	$(BIN)/python -m fourtuple.faces.page.catalogue docs/catalogue.md

docs-kernels: $(VENV)/installed-dev
	$(BIN)/python -m tests.kernels --page

# From the message catalogues of glibc on this machine (Debian: libc-l10n).
languages: $(VENV)/installed-dev
	$(BIN)/python -m tests.languages

man: $(VENV)/installed-dev
	$(BIN)/python -m fourtuple.cli.manual share/man/man1

screens: $(VENV)/installed-dev
	$(BIN)/python -m tests.screens

# The output of commands in README.md and docs/: all of it, which takes some minutes.
examples: $(VENV)/installed-dev
	$(BIN)/python -m tests.examples

# The documentation as a site, in build/site.
site: $(VENV)/installed-dev
	$(BIN)/python -m tests.site

bench: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench --write

fuzz: $(VENV)/installed-dev
	$(BIN)/fourtuple lab --quiet -- $(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

kernels: $(VENV)/installed-dev
	$(BIN)/python -m tests.kernels $(KERNEL) $(if $(PART),--part $(PART)) $(if $(LIMIT),--limit $(LIMIT)) \
	  --options '$(OPTIONS)'

# The moment that files in archives carry: that of the commit, so that the same commit gives the same bytes.
dist pyz: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

# An sdist, and the wheel that is built from it.
dist: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

# One file for machines that have nothing but Python.
pyz: dist
	$(BIN)/pex "$$(echo dist/*.whl)$(if $(EXTRAS),[$(EXTRAS)])" $(PEX) $(addprefix --python ,$(PYTHONS)) --output-file dist/fourtuple.pyz

clean:
	rm -rf .venv .venv-* build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[report]'
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/installed
