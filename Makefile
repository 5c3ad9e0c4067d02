PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# files of tests to as many processes as there are cores, four at most, for the larger ones take gigabytes
SHARED := -n auto --maxprocesses 4 --dist loadfile

# many tests start processes, which would compile the same files again and again
test test-slow test-long: export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow test-long check install clean

demo: $(VENV)/.installed  ## The whole path on generated videos: search, export, retrain, evaluate, report.
	$(BIN)/movinas demo

test: $(VENV)/.installed-dev  ## The tests, in minutes.
	$(BIN)/python -m pytest $(SHARED)

test-slow: $(VENV)/.installed-dev  ## The tests that take minutes; CI runs them too.
	$(BIN)/python -m pytest $(SHARED) -m "slow and not long"

test-long: $(VENV)/.installed-dev  ## What CI has no time for: as slow ones, many times over. Before a release.
	$(BIN)/python -m pytest $(SHARED) -m long

check: $(VENV)/.installed-dev  ## What CI runs before the tests: lint, format, types, layers.
	PYTHON=$(BIN)/python scripts/check

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev,deploy]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info
