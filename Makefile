# Two commands: `make check` while you work, `make test` before you hand over. Needs make, python3 and python3-venv.

export UV_PYTHON_DOWNLOADS := never
export UV_PYTHON := python3
# A company's own certificate authority lives in the system store, which uv does not read by itself.
export UV_SYSTEM_CERTS := 1

# Compiled once, in one place: half of the time of a short run goes into compiling what did not change.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/bytecode
unexport PYTHONDONTWRITEBYTECODE

UV := .tools/bin/uv
BIN := .venv/bin
READY := .venv/.ready
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup lock demo check types quick format test bench mutate soak clean

help: ## what can be asked for
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(READY) ## everything into .venv, by hash; .venv/bin/lockgate exists afterwards

lock: $(UV) ## write versions and hashes down, none younger than seven days; ARGS=--upgrade for new ones
	$(COMPILE) $(ARGS) --all-extras --group dev pyproject.toml -o requirements.lock
	$(COMPILE) $(ARGS) tools/build.in -o tools/build.txt
	$(COMPILE) $(ARGS) tools/descriptors.in -o tools/descriptors.txt
	$(COMPILE) $(ARGS) tools/harnesses/inspect.in -o tools/harnesses/inspect.txt
	$(COMPILE) $(ARGS) tools/harnesses/lm-eval.in -o tools/harnesses/lm-eval.txt
	$(COMPILE) $(ARGS) tools/harnesses/garak.in --overrides tools/harnesses/garak-without.txt -o tools/harnesses/garak.txt
	cd tools/harnesses/promptfoo && npm install --package-lock-only --silent
	echo uv | $(COMPILE) $(ARGS) - -o tools/uv.txt

demo: $(READY) ## the whole story on a real model; ARGS="--json"
	$(BIN)/lockgate demo $(ARGS)

check: $(READY) ## form, types, floors and the quick tests: a minute or two
	$(MAKE) --no-print-directory --jobs types quick

types: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# In tests/live nothing is quick, and the plugin of schemathesis is for its slow test: what is not read takes no time.
# tests/abreast.py collects once for all processors. Of every property a sample is tried; `make test` tries all of it.
quick: $(READY)
	$(BIN)/python -m pytest -q -p tests.abreast -p no:xdist -p no:schemathesis -p no:logging -o console_output_style=classic \
		-m "not live and not slow" --ignore tests/live --hypothesis-profile=sample $(ARGS)

format: $(READY) ## put the form right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(READY) ## check, then everything else against the real parts
	tools/system-packages
	$(MAKE) --no-print-directory check
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "live or slow or hypothesis" $(ARGS)

bench: $(READY) ## ratios to stock tools, and build/bench.json
	$(BIN)/python -m bench $(ARGS)

mutate: $(READY) ## which changes to the pure floors does no test notice? ARGS="'lockgate.core.gate.*'"
	$(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results | sed '/not checked/d'

soak: $(READY) ## the same tests, far longer: LOCKGATE_SOAK=1
	LOCKGATE_SOAK=1 $(BIN)/pytest -q $(ARGS)

clean: ## forget what was built, keep the environment
	rm -rf .cache build dist mutants .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(UV): tools/uv.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "lockgate needs Python 3.11 or newer as python3"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "please: apt-get install python3-venv"; exit 1; }
	python3 -m venv .tools
	.tools/bin/pip install --quiet --require-hashes --only-binary :all: --requirement $<
	@touch $@

$(READY): $(UV) requirements.lock pyproject.toml tools/build.txt
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --require-hashes requirements.lock
	$(UV) pip install --quiet --no-deps --build-constraints tools/build.txt --editable .
	@touch $@
