# Everything here works from a fresh clone with Python 3.11 or later and make. `make help` lists what there is.
#
#   PYTHON=/path/to/python   the Python to make .venv with, if not the first suitable one found
#   ARGS="..."               further arguments, as in: make run ARGS="day03 --html pages", make test ARGS="-k loader"

VENV   := .venv
PYTHON ?=
ARGS   ?=
PY     := $(VENV)/bin/python
NNLAB  := $(PY) -m nnlab_helpers.cli
# Set-up is done when these are newer than what it follows from.
BASE   := $(VENV)/.installed
TESTS  := $(VENV)/.installed-tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lab doctor lessons readme picture pins lint bench variants standin clean distclean

help:  ## list what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: $(BASE)  ## set up where needed, then run every lesson top to bottom
	$(NNLAB) run $(ARGS)

test: $(TESTS)  ## set up where needed, then pass all tests
	$(PY) -m pytest $(ARGS)

lab: $(BASE)  ## open JupyterLab on the lessons
	$(NNLAB) lab $(ARGS)

doctor: $(BASE)  ## check this machine's set-up
	$(NNLAB) doctor

lessons: $(TESTS)  ## write the notebooks anew from their scripts, executed
	$(NNLAB) build $(ARGS)

readme: $(BASE)  ## measure each lesson and write the README's table anew
	$(NNLAB) run --update-readme

picture: $(TESTS)  ## photograph a lesson in JupyterLab for the README (needs Chromium)
	$(PY) tests/browser/picture.py $(ARGS)

pins: $(TESTS)  ## write constraints.txt and environment.yml anew from what is installed
	$(NNLAB) pins

lint: $(TESTS)  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(TESTS)  ## measure against a per-image pipeline, and a sweep's workers (minutes)
	$(PY) -m tests.benchmarks $(ARGS)
	$(PY) -m tests.benchmarks.workers

variants: $(TESTS)  ## the lessons in other processors' arithmetics, and how far numbers move (an hour; ARGS=day03: minutes)
	$(PY) -m tests.variants $(ARGS)

standin: $(TESTS)  ## the lessons and the tests for GPUs, on a stand-in for one (minutes, needs g++)
	$(PY) -m tests.accelerator

clean:  ## remove what was built, but not .venv
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean  ## remove .venv too
	rm -rf $(VENV)

# A checkout that was moved or copied has a .venv that points to where it was, and one whose Python was removed does not
# work: set it up again.
HERE := $(shell pwd -P)
ifneq ($(HERE),$(shell $(PY) -c pass 2>/dev/null && cat $(VENV)/.checkout 2>/dev/null))
.PHONY: $(VENV)/.python
endif

$(VENV)/.python:
	@set -e; \
	suitable='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if $(PY) -c "$$suitable" 2>/dev/null && $(PY) -m pip --version >/dev/null 2>&1; then \
	    echo "Using the Python in $(VENV)"; \
	else \
	    found=""; \
	    if [ -n '$(PYTHON)' ]; then set -- '$(PYTHON)'; else set -- python3 python3.13 python3.12 python3.11 python; fi; \
	    for candidate do \
	        if command -v "$$candidate" >/dev/null 2>&1 && "$$candidate" -c "$$suitable" 2>/dev/null; then found="$$candidate"; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "NN Lab needs Python 3.11 or later, and none of these is one: $$*" >&2; \
	        echo "Install it, or name it: make run PYTHON=/path/to/python3.12" >&2; exit 1; \
	    fi; \
	    if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	        echo "$$found cannot make virtual environments: a part of Python is missing." >&2; \
	        echo "On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$("$$found" --version)"; \
	    "$$found" -m venv --clear $(VENV); \
	fi; \
	pwd -P > $(VENV)/.checkout; \
	touch $@

$(BASE): $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing the project (the first time this downloads PyTorch and takes some minutes)"
	$(PY) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e .
	@touch $@

$(TESTS): $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing the project and what its tests need (the first time this takes some minutes)"
	$(PY) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[test]"
	@touch $(BASE) $@
