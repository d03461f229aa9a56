# Two commands: `make demo` (the whole main job on drawn images) and `make test`. The long forms,
# before a release: `make chaos` (damaged files, kills, full disks) and `make mutants` (do the tests
# notice a fault?); both go on where they were stopped.
# `make docs` builds the site of the documents into site/, without the network.
# `make bench` measures the speed beside what one would use instead: docs/benchmarks.md, "Speed".
PY         ?= python3
VENV       ?= .venv
BIN        := $(VENV)/bin
# On Linux, pip takes PyTorch's CUDA build unless it is configured otherwise. Another build:
#   make demo TORCH_ARGS="--index-url <the index that PyTorch's install page names>"
TORCH_ARGS ?=
DEMO_OUT   ?= runs/demo
# For example: make bench BENCH_ARGS="--long --out speed.md"
BENCH_ARGS ?=
CORE       := -e '.[all]'
DEV        := -e '.[dev]'
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export UV_CONSTRAINT  := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export VENV
# Libraries and our own modules are compiled once: a command would else spend seconds on it each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check docs bench chaos mutants sbom clean

demo: $(VENV)/.stamp-all
	$(BIN)/cxresnet run phantoms --out $(DEMO_OUT) --config demo --force

test: $(VENV)/.stamp-dev
	scripts/check
	scripts/test

check: $(VENV)/.stamp-dev
	scripts/check

docs: $(VENV)/.stamp-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html."

bench: $(VENV)/.stamp-dev
	$(BIN)/python benchmarks/bench.py $(BENCH_ARGS)

chaos: $(VENV)/.stamp-dev
	$(BIN)/python scripts/chaos $(CHAOS_ARGS)

mutants: $(VENV)/.stamp-dev
	$(BIN)/python scripts/mutants $(MUTANTS_ARGS)

# What the environment holds: a bill of materials in dist/, and the table of licences and sizes.
sbom: $(VENV)/.stamp-dev
	$(BIN)/python scripts/dependencies --sbom
	$(BIN)/python scripts/dependencies

clean:
	rm -rf $(VENV) runs site

# 1) torch with pip: the machine's own pip configuration decides between CPU and CUDA build.
$(VENV)/.stamp-torch: constraints.txt
	@test -x $(BIN)/python || $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "CXResnet needs Python 3.11 or newer: make $(MAKECMDGOALS) PY=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(BIN)/python -m pip install -q torch $(TORCH_ARGS)
	-$(BIN)/python -m pip install -q uv
	touch $@

# 2) the rest: uv (fast) leaves the installed torch alone; pip where uv is not to be had.
install = $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python $(1) || $(BIN)/python -m pip install -q $(1)
$(VENV)/.stamp-all: $(VENV)/.stamp-torch pyproject.toml
	$(call install,$(CORE))
	touch $@
$(VENV)/.stamp-dev: $(VENV)/.stamp-torch pyproject.toml
	$(call install,$(DEV))
	touch $@ $(VENV)/.stamp-all
