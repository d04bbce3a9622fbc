# Two commands are all a fresh clone needs: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 60
# A process a core; with more than a few, those tests that are processes themselves starve one another.
SPREAD := --numprocesses auto --maxprocesses 4 --dist worksteal
COMPILED := $(wildcard gslb/dns/compiled/*.p?? edge/compiled/*.p??)
SANITIZED := build/sanitized
SANITIZERS := -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: demo demo-check test test-stories test-chaos test-native lint types contracts check fuzz bench-dns bench-edge pictures clean help

help:
	@echo "make demo        run the three-region demo world; Ctrl-C ends it"
	@echo "make demo-check  bring it up, try everything out, and end it"
	@echo "make test        run the tests"
	@echo "make test-stories kill, drain, add and remove servers under load, with real processes"
	@echo "make test-chaos  break Redis, networks, clocks and processes, and ask DNS all the while"
	@echo "make test-native run those of the compiled path with memory errors and undefined behaviour found"
	@echo "make check       run the static checks: ruff, mypy, import contracts"
	@echo "make fuzz        throw made-up packets at the DNS side for a minute, or FUZZ_SECONDS=600"
	@echo "make bench-dns   what an answer costs, beside gdnsd, Knot DNS and PowerDNS; BENCH_DNS='--rounds 3'"
	@echo "make bench-edge  what a request costs, beside nginx, HAProxy, Envoy and Caddy; BENCH_EDGE='--rounds 3'"
	@echo "make pictures    draw what docs/balancing.md and docs/simulation.md show, from simulated loads and faults"
	@echo "make clean       remove the virtual environment and what tools left"

demo: $(VENV)/.demo
	@exec $(BIN)/gslb demo

demo-check: $(VENV)/.demo
	@exec $(BIN)/gslb demo --check

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(SPREAD) --ignore=tests/edge/stories -m "not long"

# Faults and operators under load, with real processes: a minute of its own.
test-stories: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 tests/edge/stories

# Failures, one a story, with real processes: some minutes.
test-chaos: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/chaos
	$(BIN)/python -m pytest --numprocesses 2 -m long tests/simulate

# The modules with sanitizers are built beside a copy of what they belong to, and not over those in use.
test-native: $(VENV)/.dev
	@for library in libasan libubsan; do \
	  case $$($(CC) -print-file-name=$$library.so) in /*) ;; *) \
	    echo "make test-native needs a C compiler with $$library: GCC, or name one with CC="; exit 1 ;; esac; done
	@rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	@tar -cf - --exclude='*.so' --exclude=__pycache__ gslb edge tests bench docs regions.yaml README.md LICENSE \
	  NOTICE setup.py pyproject.toml | tar -xf - -C $(SANITIZED)
	@echo "Compiling with sanitizers; this takes about a minute."
	@cd $(SANITIZED) && CC="$(CC)" CFLAGS="$(SANITIZERS)" LDFLAGS="$(SANITIZERS)" \
	  $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	@cd $(SANITIZED) && \
	  LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc GSLB_TEST_NATIVE=1 \
	  $(CURDIR)/$(BIN)/python -m pytest $(SPREAD) -p no:cacheprovider tests/native tests/edge/compiled \
	  tests/edge/test_edge_exchange.py tests/edge/test_edge_failures.py tests/edge/test_edge_streaming.py \
	  tests/authority/test_conformance.py tests/authority/test_packet_fuzz.py --ignore tests/native/test_soak.py

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

bench-edge: $(VENV)/.demo
	@$(BIN)/python bench/edge/run.py $(BENCH_EDGE)

# The seed is fixed: the same methods make the same pictures, byte by byte, with the same matplotlib.
pictures: $(VENV)/.dev
	@$(BIN)/gslb simulate pool --picture docs/pictures/even.svg --title "Ten servers, all alike, at 70 %"
	@$(BIN)/gslb simulate pool --slow 1 --picture docs/pictures/slow.svg \
	  --title "One of ten servers needs five times as long"
	@$(BIN)/gslb simulate pool --failing 1 --picture docs/pictures/failing.svg \
	  --title "One of ten servers fails at once"
	@for scenario in region-lost demand-rises too-much redis-lost flapping drain; do \
	  $(BIN)/gslb simulate run $$scenario --picture docs/pictures/$$scenario.svg || exit 1; done

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gslb needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml setup.py $(COMPILED) | $(BIN)/python
	@echo "Installing what the demo needs into $(VENV); this takes about a minute, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml setup.py $(COMPILED) | $(BIN)/python
	@echo "Installing what the tests need into $(VENV); this takes a minute or two, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

clean:
	rm -f gslb/dns/compiled/*.c gslb/dns/compiled/*.so edge/compiled/*.c edge/compiled/*.so
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
