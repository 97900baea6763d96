# Every target makes the virtual environment it needs. Nothing has to be typed before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT ?= demo-out
FUZZ_MINUTES ?= 10
# Two test processes with one thread each: the cores are shared, not fought over. One that dies ends the tests: with
# another in its place pytest-xdist waits for ever.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

.PHONY: help demo test test-fast fuzz check format bench docs clean
help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/installed  ## the whole way on simulated heads; the report is $(OUT)/report.html
	$(BIN)/recontrast demo $(OUT)

test: $(VENV)/tools  ## all tests (at most 15 minutes on two cores)
	$(PYTEST)

test-fast: $(VENV)/tools  ## the quick tests (at most 3 minutes)
	$(PYTEST) -m "not slow and not realdata and not browser and not distributed"

fuzz: $(VENV)/tools  ## damaged files to every reader for FUZZ_MINUTES (10) minutes; only errors of ours may come out
	$(BIN)/python tests/fuzz/fuzz_readers.py --minutes $(FUZZ_MINUTES)

check: $(VENV)/tools  ## style, types, layers, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(VENV)/tools  ## put the code into its one form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/tools  ## all benchmarks; each prints ratios measured inside one run
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: $(VENV)/installed  ## the pictures in docs/, made again
	@for script in docs/pictures/*.py; do $(BIN)/python $$script || exit 1; done

clean:  ## remove the virtual environment and what the demo made
	rm -rf $(VENV) demo-out .pytest_cache .mypy_cache .ruff_cache

# torch goes first, alone, with the constraints: resolved together with the rest, pip would fetch gigabytes of CUDA.
$(VENV)/torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	@touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(PIP) -e '.[fast,tensorboard]'
	@touch $@

$(VENV)/tools: $(VENV)/installed
	$(PIP) -e '.[fast,tensorboard,test]'
	@touch $@
