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
# The interpreters that the file of `make pyz` is for; one of each minor version.
PYTHONS ?= $(BIN)/python
# A virtual environment is made of it at the first start, and has the command too, for `lab -- fourtuple …`.
PEX := --console-script fourtuple --venv prepend --no-pre-install-wheels --python-shebang '/usr/bin/env python3' \
  --resolver-version pip-2020-resolver

.PHONY: prove fleet test check lint types docs docs-kernels languages man screens bench fuzz kernels dist pyz clean

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

man: .venv/installed-dev
	$(BIN)/python -m fourtuple.cli.manual share/man/man1

screens: .venv/installed-dev
	$(BIN)/python -m tests.screens

bench: .venv/installed-dev
	$(BIN)/python -m bench --write

fuzz: .venv/installed-dev
	$(BIN)/fourtuple lab --quiet -- $(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

kernels: .venv/installed-dev
	$(BIN)/python -m tests.kernels $(KERNEL) $(if $(PART),--part $(PART)) $(if $(LIMIT),--limit $(LIMIT)) \
	  --options '$(OPTIONS)'

# The moment that files in archives carry: that of the commit, so that the same commit gives the same bytes.
dist pyz: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

# An sdist, and the wheel that is built from it.
dist: .venv/installed-dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

# One file for machines that have nothing but Python.
pyz: dist
	$(BIN)/pex dist/*.whl $(PEX) $(addprefix --python ,$(PYTHONS)) --output-file dist/fourtuple.pyz

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[report]'
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/installed
