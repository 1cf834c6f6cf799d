# Every target first creates the environment in .venv if needed (again when pyproject.toml or constraints.txt change).
#   make run     the main job, on the included census        make run ARGS="attack=evasion_pgd seed=1"
#   make test    all tests and doctests                       make test ARGS="tests/contracts/test_packaging.py -x"
#   make coverage   the same, and which lines and branches they reach; a quarter slower
#   make check   lint, formatting, types, the page that is generated (make format mends what can be mended)
#   make smoke   a run of a few seconds
#   make torture  kills, limits, bad servers, changed bits, wrong words; prints what was lost   make torture ARGS="--kills 50"
#   make site    the documentation as a site, in build/site; fails at a broken link or anything loaded from elsewhere
#   make tutorials   runs the notebooks of docs/tutorials and stores their outputs   make tutorials ARGS=docs/tutorials/plugin.ipynb
#   make bench   speed beside other libraries and the best plain loops, one table; needs an idle machine
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Python compiles what it imports; pip would compile everything, most of which nobody imports.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
JOBS ?= 2
ARGS ?=
MAIN_JOB := defense=adv_training attack=model_extraction dataset=census

.DEFAULT_GOAL := help
.PHONY: help setup run smoke test coverage check site tutorials bench torture format clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 ..." >&2; \
	  exit 2; }
	@echo "Setting up $(VENV), once: about two minutes and 1.6 GB ..."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip
	@$(INSTALL) -e ".[dev]"
	@$(INSTALL) --no-deps torchattacks
	@touch $@
	@echo "$(VENV) is ready."

run: $(STAMP)
	@$(BIN)/amulet run $(MAIN_JOB) $(ARGS)

smoke: $(STAMP)
	@$(BIN)/amulet run +experiment=smoke $(ARGS)

# One thread per process: with models of this size several torch threads only slow each other down. Byte code is kept,
# because many tests start `amulet` again. A process begins with its half of the tests, so that those of one module share
# what they have trained, and helps the other at the end.
test: $(STAMP)
	@env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

coverage:
	@$(MAKE) --no-print-directory test ARGS="--cov --cov-report=term $(ARGS)"

check: $(STAMP)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright --threads $(JOBS) --pythonpath $(BIN)/python
	@$(BIN)/python -m amulet_cli.views.combinations | diff docs/combinations.md - || { \
	  echo "docs/combinations.md is not what the configuration groups say: make format writes it" >&2; exit 1; }

site: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict $(ARGS)

tutorials: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python docs/_site/notebooks.py $(ARGS)

# Ratios within one process are more stable than seconds.
bench: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.speed $(ARGS)

torture: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.helpers.torture $(ARGS)

format: $(STAMP)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@$(BIN)/python -m amulet_cli.views.access > $(VENV)/access.md && mv $(VENV)/access.md docs/
	@$(BIN)/python -m amulet_cli.views.combinations > $(VENV)/combinations.md && mv $(VENV)/combinations.md docs/

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* build dist
