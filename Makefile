# Everything runs in a virtual environment of its own, .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_SEED ?= 0
DEMO_RUN ?= runs/demo-$(DEMO_SEED)

.PHONY: help demo test format lint types layers tests slow bench verify docs clean

help:
	@echo "make demo    set up, train a swarm, say how good it was before and after, and draw it (5 minutes)"
	@echo "make test    format, lint, types, layers and tests"
	@echo "make slow    the long proofs"
	@echo "make bench   agent-steps per second on this machine, with figures (5 minutes)"
	@echo "make verify  physics and tasks against closed forms and published results (5 minutes)"
	@echo "make docs    the documentation, in build/docs; its notebook trains a swarm (3 minutes)"

# A first Python that is too old is the commonest mistake: say so in one line.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "jaxdem-ac needs Python 3.11 or newer; got $$($(PYTHON) --version). Set PYTHON=python3.11, say."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.view: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[view]"
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/.view

$(VENV)/.docs: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@ $(VENV)/.view

demo: $(VENV)/.view
	$(BIN)/jaxdem-ac train --config reference/swarm_navigator --num-seeds 1 --steps $(DEMO_STEPS) \
	  --seed $(DEMO_SEED) --out $(DEMO_RUN) --overwrite
	$(BIN)/jaxdem-ac render $(DEMO_RUN) --checkpoint best
	$(BIN)/jaxdem-ac eval $(DEMO_RUN) --checkpoint best

DEMO_STEPS ?= 120000

test: format lint types layers tests

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

# Most of the time is compilation: half of it where XLA optimises little and emits each operation by itself. `make slow` has
# its full optimisation. A jaxlib that does not know one of these options would end at once: then there are none.
tests: $(VENV)/.dev
	quick="$(QUICK_XLA)"; XLA_FLAGS="$$quick" $(BIN)/python -c "import jax; jax.devices()" 2> /dev/null || quick=""; \
	  XLA_FLAGS="$$quick $$XLA_FLAGS" $(BIN)/python -m pytest -n 2 --dist loadfile

QUICK_XLA := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
  --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.view
	$(BIN)/python -m benchmarks

verify: $(VENV)/.view
	$(BIN)/jaxdem-ac verify

# What a page refers to has to be there, and a warning is an error.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -b html -W --keep-going -n docs build/docs
	@echo "open build/docs/index.html"

clean:
	rm -rf build/docs $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
