# The two commands of the README, and what contributors use. Everything happens in .venv.
#   make reproduce [TASK=take-cover] [SCALE=smoke|laptop|paper] [RUN=folder] [SEED=0]
#   make shipped [TASK=take-cover]     the shipped agent again, by the commands of its card
#   make figures                       whatever has gone stale of the pictures and notebooks
#   make test
#   make demo [SERVE=0]
#   make docs [SERVE=0]
#   make release-check
TASK ?= take-cover
SCALE ?= smoke
RUN ?= runs/$(TASK)-$(SCALE)
SEED ?= 0
SERVE ?= 1
PYTHON ?= python3
# Where pip finds other builds of torch, such as the CPU-only one; empty: the default build.
TORCH_INDEX ?=
BIN := .venv/bin

.PHONY: demo docs page node reproduce shipped figures test lint faults bench scaling release-check install install-dev look clean

reproduce: install
	$(BIN)/worldmodels reproduce $(TASK) --scale $(SCALE) --run "$(RUN)" --seed $(SEED)

shipped: install
	$(BIN)/python -m tools.make_again $(TASK)

figures: install-dev
	$(BIN)/python -m tools.made_by

# One more than the cores: tests wait for processes of their own a quarter of the time.
TEST_WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

test: install-dev
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: install-dev
	$(BIN)/python tests/kill_loop.py --kills 20 --json results/faults.json
	FUZZ_EXAMPLES=20 $(BIN)/python -m pytest tests/test_fuzz.py

bench: install
	$(BIN)/python -m benchmarks.stages --json results/bench.json
	$(BIN)/python -m tools.tables
	$(BIN)/python -m tools.draw

scaling: install
	$(BIN)/python -m benchmarks.scaling --json results/scaling.json
	$(BIN)/python -m tools.tables
	$(BIN)/python -m tools.draw

# The page of both shipped agents in site/; SERVE=0 only builds it.
demo: install page
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[web]"
	$(BIN)/worldmodels export web car-racing take-cover --out site
	$(if $(filter 0,$(SERVE)),,$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8000)

# The documentation in build/docs/; a broken link ends it. The page of `make demo` is in it, made first where site/ has none and Node is
# here. SERVE=0 only builds it.
docs: install-dev
	$(if $(wildcard site/index.html),,$(if $(shell command -v npm),$(MAKE) demo SERVE=0))
	$(BIN)/mkdocs build
	$(if $(filter 0,$(SERVE)),,$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs 8000)

page: node web/node_modules/.package-lock.json
	cd web && npm run build

node:
	@command -v npm >/dev/null && node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || { echo "make demo: the page is built with Node 20 or later and npm; install them" >&2; exit 2; }

# npm writes this file last.
web/node_modules/.package-lock.json: web/package-lock.json | node
	cd web && npm ci --no-audit --no-fund
	touch $@

install: .venv/installed
install-dev: .venv/installed-dev

# What .venv is: a Python that starts, with the whole of pip (its list of files is written last), in this folder. And what it should
# be: without PYTHON on the command line or in the environment, the Python that it has will do.
VENV_IS := $(BIN)/python -c 'import importlib.metadata as m, platform, sys; assert m.files("pip"); print(platform.python_version(), sys.prefix)'
ifeq ($(origin PYTHON),file)
VENV_SHOULD := $(VENV_IS)
else
VENV_SHOULD := $(PYTHON) -c 'import os, platform; print(platform.python_version(), os.path.join(os.getcwd(), ".venv"))'
endif

# Looked at every time: one that was cut off, or moved with its folder, is made anew.
.venv/made: look
	@if is="$$($(VENV_IS) 2>/dev/null)" && [ "$$is" = "$$($(VENV_SHOULD))" ] && [ "$$is" = "$$(cat $@ 2>/dev/null || echo "$$is")" ]; then \
		[ -e $@ ] || echo "$$is" > $@; \
	else \
		$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"Python {v[0]}.{v[1]}: worldmodels needs 3.11 or 3.12; try make PYTHON=python3.12")' && \
		echo "making .venv" && rm -rf .venv && $(PYTHON) -m venv .venv && $(VENV_IS) > .venv/making && mv .venv/making $@; \
	fi

.venv/installed: .venv/made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# What a release needs: one version everywhere, links, a wheel and a source distribution that twine takes.
release-check: install-dev page
	$(BIN)/python -m tools.release_check
	RELEASE_TESTS=1 $(BIN)/python -m pytest tests/test_colab.py tests/test_front_door.py tests/test_package.py tests/test_readme.py

clean:
	rm -rf .venv build dist src/*.egg-info
