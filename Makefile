# Everything a person does with this repository. `make` lists it.

UV := $(shell command -v uv 2>/dev/null || echo build/tools/bin/uv)
PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
SEEDS ?= 2000
PACKAGES := contract scheduling runtime registry views streams gpu_worker api audit whatif operations cli local migrations

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: $(INSTALLED) ## Check the machine, then install everything else into .venv

.PHONY: check
check: $(INSTALLED) ## Style, types, import rules, and every test that needs no server
	@$(MAKE) --no-print-directory -j2 --output-sync=target check-code check-tests

.PHONY: check-code
check-code: $(INSTALLED)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	.venv/bin/mypy

.PHONY: check-tests
check-tests: $(INSTALLED)
	.venv/bin/pytest -n 2 tests/unit tests/properties tests/simulation tests/golden

.PHONY: test
test: check ## Everything CI runs: check, then the tests on real servers and of the whole stack
	.venv/bin/pytest tests/integration tests/system

.PHONY: simulate
simulate: $(INSTALLED) ## Run the seeded simulation: make simulate SEEDS=10000, or one seed: make simulate SEED=7
	$(PYTHON) -m tests.simulation $(if $(SEED),--seed $(SEED),$(SEEDS))

.PHONY: demo
demo: $(INSTALLED) ## From nothing to finished videos on this machine
	.venv/bin/headrace demo

.PHONY: bench
bench: $(INSTALLED) ## Run the benchmarks and write docs/benchmarks.md
	$(PYTHON) -m bench

.PHONY: bench-policies
bench-policies: $(INSTALLED) ## Every queueing discipline on every load, simulated: docs/benchmarks-policies.md
	$(PYTHON) -m bench.policies

.PHONY: bench-scale
bench-scale: $(INSTALLED) ## 9,000 GPUs and a million jobs, simulated: docs/benchmarks-scale.md
	$(PYTHON) -m bench.scale

.PHONY: down
down: $(INSTALLED) ## Stop the stacks that `make demo` and `headrace up` started here
	@.venv/bin/headrace down --data headrace-demo
	@.venv/bin/headrace down

.PHONY: generate
generate: $(INSTALLED) ## Write docs/events.md, JSON Schema and AsyncAPI from the contract
	$(PYTHON) docs/generate.py

.PHONY: lock
lock: ## Pin every dependency by hash, after pyproject.toml changed
	$(UV) export --quiet --all-groups --no-emit-project --format requirements-txt -o requirements.lock

.PHONY: lock-jars
lock-jars: $(INSTALLED) ## Pin the jars of Kafka and the S3 server, after a pom.xml in local/jars changed (needs Maven)
	$(PYTHON) -m local.jars.relock

$(INSTALLED): requirements.lock pyproject.toml | $(filter build/%,$(UV))
	@./local/machine.sh
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(PYTHON) --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(PYTHON) --no-deps --editable .
	$(PYTHON) -m compileall -q $(PACKAGES) # a dozen processes start at once: none should compile first
	@touch $@

build/tools/bin/uv:
	@./local/machine.sh
	python3 -m venv build/tools
	build/tools/bin/pip install --quiet --disable-pip-version-check uv
