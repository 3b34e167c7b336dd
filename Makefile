# epochbank: `make` lists the targets. Everything runs in .venv, which the first target creates.
PYTHON ?= python3
VENV   ?= .venv
SOURCE ?= digits
RECIPE ?= kanji
EPOCHS ?= 5
SETS   ?= sets
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
# Further options of `augment run`, `train fit` and `augment preview`, such as AUGMENT="--size 64x64",
# TRAIN="--model cnn".
AUGMENT ?=
TRAIN   ?=
PREVIEW ?=
# For `make overnight`: number of epochs to renew, and the set (a name or tag; the newest set if it is empty).
REFRESH ?=
SET     ?=
# For `make faults`: number of SIGKILLs.
KILLS   ?= 1000

BACKEND_TESTS := $(addprefix tests/test_,$(addsuffix .py,keras iterators final mixing originals_schedule ranks))
BIN   := $(VENV)/bin
LOWEST_TESTS := $(addprefix tests/test_,$(addsuffix .py,golden codec shards table_formats tfrecord csv inspect export objects dask_run))
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup augment overnight train report preview test test-long test-docs test-notebooks notebooks test-engines test-backends test-tracking test-lowest package test-package faults check format bench docs site clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo
	@echo "  SOURCE=$(SOURCE) RECIPE=$(RECIPE) EPOCHS=$(EPOCHS) SETS=$(SETS) JOBS=$(JOBS) AUGMENT=\"$(AUGMENT)\" TRAIN=\"$(TRAIN)\""

setup: $(READY) ## Create .venv and install pinned dependencies

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"$(PYTHON) is Python {v[0]}.{v[1]}; expected 3.11 to 3.13. Name another: make PYTHON=python3.12 ...")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot create virtual environments; on Debian: apt install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[train,report,dev]'
	@touch $(READY)

RUN = $(BIN)/augment run "$(SOURCE)" --recipe "$(RECIPE)" --epochs $(EPOCHS) --sets "$(SETS)" --jobs $(JOBS) $(AUGMENT)

augment: $(READY) ## Stage 1: generate a set from SOURCE, or complete it
	$(RUN)

overnight: $(READY) ## Stage 1 with a log and status.json in SETS; with REFRESH=K, renew K epochs of SET instead
	mkdir -p "$(SETS)"
	trap : INT; { date; $(if $(REFRESH),$(BIN)/augment refresh $(SET) --epochs $(REFRESH) --sets "$(SETS)" --jobs $(JOBS) $(AUGMENT),$(RUN)) \
		--status "$(SETS)/status.json" --wait; } >> "$(SETS)/overnight.log" 2>&1 \
		|| { code=$$?; tail -n 10 "$(SETS)/overnight.log" >&2; echo "The log is $(SETS)/overnight.log." >&2; \
			if test $$code = 130; then echo "Run the same make command again to continue." >&2; fi; exit $$code; }

train: $(READY) ## Stage 1, then stage 2: train on the set and evaluate
	set=$$($(RUN) --print-path) && $(BIN)/train fit "$$set" $(TRAIN)

report: $(READY) ## Show the report of the newest run in the web browser
	$(BIN)/train report --open

preview: $(READY) ## Write preview.png: originals of SOURCE with their distortions
	$(BIN)/augment preview "$(SOURCE)" --recipe "$(RECIPE)" --sets "$(SETS)" --out preview.png $(PREVIEW)

test: $(READY) ## Run the fast tests on all cores, in a few minutes
	$(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 8 --dist loadfile

test-long: $(READY) ## Run the long tests: whole training runs, many kills, many random parameters
	$(BIN)/python -m pytest -m long

test-docs: $(READY) ## Run the code of every page of the documentation
	$(BIN)/python -m pytest -m "long or not long" tests/test_docs.py

NOTEBOOK = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev,notebook]'

test-notebooks: $(READY) ## Execute the example notebooks, and compare their outputs with the stored ones
	$(NOTEBOOK)
	$(BIN)/python -m pytest -m "long or not long" tests/test_notebooks.py

notebooks: $(READY) ## Execute the example notebooks, and store their outputs
	$(NOTEBOOK)
	$(BIN)/python examples/notebooks/execute.py

test-engines: $(READY) ## Compare both engines on 200,000 random parameters, pixel by pixel
	$(BIN)/python -m pytest -m long tests/test_compiled.py

# One process per file: JAX warns if a later test forks, and warnings are errors.
test-backends: ## Run the tests of streaming and of exact resuming on JAX and torch (in .venv-backends)
	test -x .venv-backends/bin/python || $(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[jax,torch,dev]'
	for backend in jax torch; do for file in $(BACKEND_TESTS); do \
	  KERAS_BACKEND=$$backend .venv-backends/bin/python -m pytest $$file || exit 1; done; \
	  KERAS_BACKEND=$$backend .venv-backends/bin/python -m pytest -m "long or not long" tests/test_resume.py \
	  -k 'kills_gives or augmentation' || exit 1; done
	.venv-backends/bin/python -m pytest tests/test_object_training.py -k torch
	KERAS_BACKEND=torch .venv-backends/bin/python -m pytest -m "long or not long" tests/test_docs.py -k pytorch

test-lowest: $(READY) ## Run tests of stage 1 with the lowest versions that pyproject.toml allows (in .venv-lowest)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest --resolution lowest-direct \
		--editable '.[cluster,objects,parquet,report,tfrecord]'
	$(BIN)/uv pip install --quiet --python .venv-lowest --constraint constraints.txt hypothesis pytest pytest-timeout
	.venv-lowest/bin/python -m pytest $(LOWEST_TESTS)

package: $(READY) ## Build wheel and sdist in dist/, check them, and generate a set in an empty environment
	$(BIN)/python -m pip install --quiet --constraint constraints.txt build twine
	tools/check_package.sh $(BIN)/python

test-package: $(READY) ## Like package, but with the newest dependencies and the quick start of README.md; takes some minutes
	$(BIN)/python -m pip install --quiet --constraint constraints.txt build twine
	tools/check_package.sh $(BIN)/python --full

test-tracking: ## Run the tests of TensorBoard, MLflow and Weights & Biases on all backends (in .venv-tracking)
	test -x .venv-tracking/bin/python || $(PYTHON) -m venv .venv-tracking
	.venv-tracking/bin/python -m pip install --quiet --constraint constraints.txt \
	  --editable '.[train,jax,torch,report,dev,tensorboard,mlflow,wandb]'
	for backend in tensorflow jax torch; do \
	  KERAS_BACKEND=$$backend .venv-tracking/bin/python -m pytest -m long tests/test_tracking_packages.py || exit 1; done

faults: $(READY) ## Test with kills, failing system calls, full disks, damage and fuzzing; takes hours, stops at the first fault
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev,fuzz]'
	$(BIN)/python faults/kills.py --kills $(KILLS)
	$(BIN)/python faults/syscalls.py
	$(BIN)/python faults/syscalls.py --stride 10 --only train,workers
	$(BIN)/python faults/disk.py
	$(BIN)/python faults/damage.py
	$(BIN)/python -m pytest -m long tests/test_living_set.py
	$(BIN)/python faults/fuzz.py

check: $(READY) ## Check formatting, lint and types; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=benchmarks $(BIN)/mypy --package epochbank $(patsubst benchmarks/%.py,--module %,$(wildcard benchmarks/*.py))

format: $(READY) ## Format, and fix lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## Run the benchmarks: generation, streaming and other loaders, memory, imports
	$(BIN)/python benchmarks/generate.py
	$(BIN)/python benchmarks/stream.py
	$(BIN)/python benchmarks/shuffle.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/memory_streaming.py
	$(BIN)/python benchmarks/imports.py
	$(BIN)/python benchmarks/objects.py
	$(BIN)/python benchmarks/startup.py

docs: $(READY) ## Write docs/cli.md, and the figures and diagrams of the documentation, from the code
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_images.py
	$(BIN)/python docs/make_diagrams.py
	$(BIN)/python docs/make_screenshots.py

site: $(READY) ## Build the documentation as HTML in build/site; warnings and broken links are errors
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,report,dev,docs]'
	$(BIN)/python -m sphinx --quiet --fresh-env --write-all --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/site
	$(BIN)/python docs/check_site.py build/site

clean: ## Remove .venv and caches; keep sets and runs
	rm -rf $(VENV) .venv-backends .venv-lowest .venv-tracking .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist src/*.egg-info
