# Two commands are all a fresh clone needs: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 60

.PHONY: demo demo-check test lint types contracts check fuzz bench-dns clean help

help:
	@echo "make demo        run the three-region demo world; Ctrl-C ends it"
	@echo "make demo-check  bring it up, try everything out, and end it"
	@echo "make test        run the tests"
	@echo "make check       run the static checks: ruff, mypy, import contracts"
	@echo "make fuzz        throw made-up packets at the DNS side for a minute, or FUZZ_SECONDS=600"
	@echo "make bench-dns   what an answer costs, beside gdnsd, Knot DNS and PowerDNS; BENCH_DNS='--rounds 3'"
	@echo "make clean       remove the virtual environment and what tools left"

demo: $(VENV)/.demo
	@exec $(BIN)/gslb demo

demo-check: $(VENV)/.demo
	@exec $(BIN)/gslb demo --check

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: lint types contracts

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

fuzz: $(VENV)/.dev
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
	  { echo "make fuzz needs Atheris: $(BIN)/python -m pip install --editable '.[fuzz]'"; exit 1; }
	@PYTHONPATH=tests FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m fuzz.packets

bench-dns: $(VENV)/.demo
	@$(BIN)/python bench/dns/run.py $(BENCH_DNS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gslb needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "Installing what the demo needs into $(VENV); this takes about half a minute, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing what the tests need into $(VENV); this takes about a minute, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
