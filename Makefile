# Everything a person does with this repository. `make` lists it.

UV := build/tools/uv-$(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.lock)/bin/uv
PYTHON := .venv/bin/python
EXPORT := $(UV) export --quiet --no-emit-project --format requirements-txt
INSTALLED := .venv/.installed
SUPPLY := build/supply
SEEDS ?= 2000
PACKAGES := contract scheduling runtime registry views streams gpu_worker cpu_worker api audit whatif operations cli local migrations

# Tests of UNIT and CORE need neither a process nor a server.
UNIT := tests/unit
CORE := tests/properties tests/fuzz tests/simulation tests/golden
PROCESSES := tests/process
SERVERS := tests/integration tests/system
PYTEST := pytest -n 2 --dist worksteal

# Some machines set this. With it Python compiles, and pytest rewrites, every test module anew in each worker.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

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
	.venv/bin/$(PYTEST) $(UNIT) $(CORE)

.PHONY: test
test: $(INSTALLED) ## What check does, and the tests of processes, real servers and the whole stack: at most 10 minutes
	@$(MAKE) --no-print-directory -j2 --output-sync=target check-code test-measured
	FUZZ_EXAMPLES=200 .venv/bin/$(PYTEST) $(CORE)
	$(PYTHON) -m tests.interpreters $(UV)
	.venv/bin/pytest -n 3 --dist loadscope --no-loadscope-reorder -m "not long" $(SERVERS)

.PHONY: test-measured
test-measured: $(INSTALLED)
	.venv/bin/coverage erase
	.venv/bin/coverage run -m $(PYTEST) -m "not long" $(UNIT) $(PROCESSES)
	$(PYTHON) -m tests.coverage_table

.PHONY: test-long
test-long: $(INSTALLED) ## What takes longer: outages that last, faults at random, every command of the README
	.venv/bin/pytest -m long $(PROCESSES) $(SERVERS)

.PHONY: simulate
simulate: $(INSTALLED) ## Run the seeded simulation: make simulate SEEDS=10000, or one seed: make simulate SEED=7
	$(PYTHON) -m tests.simulation $(if $(SEED),--seed $(SEED),$(SEEDS))

.PHONY: fuzz
fuzz: $(INSTALLED) ## Offer every door 20,000 examples or two minutes of them: make fuzz DOORS="model.yaml POST"
	$(PYTHON) -m tests.fuzz $(DOORS)

.PHONY: demo
demo: $(INSTALLED) ## From nothing to finished videos on this machine
	.venv/bin/headrace demo

.PHONY: bench
bench: $(INSTALLED) ## Run the benchmarks and write docs/benchmarks.md
	$(PYTHON) -m bench

.PHONY: bench-shares
bench-shares: $(INSTALLED) ## How long one tenant waits for the API while another takes all it can get
	$(PYTHON) -m bench.shares

.PHONY: bench-policies
bench-policies: $(INSTALLED) ## Every queueing discipline on every load, simulated: docs/benchmarks-policies.md
	$(PYTHON) -m bench.policies

.PHONY: bench-scale
bench-scale: $(INSTALLED) ## 9,000 GPUs and a million jobs, simulated: docs/benchmarks-scale.md
	$(PYTHON) -m bench.scale

.PHONY: bench-worker
bench-worker: $(INSTALLED) ## How much of a slot's time jobs with media compute: docs/benchmarks-worker.md
	$(PYTHON) -m bench.worker

.PHONY: down
down: $(INSTALLED) ## Stop the stacks that `make demo` and `headrace up` started here
	@.venv/bin/headrace down --data headrace-demo
	@.venv/bin/headrace down

.PHONY: compose-secrets
compose-secrets: ## Draw the passwords of docker-compose.yml into .env (mode 0600); what is there stays
	@./local/compose_secrets.sh

.PHONY: generate
generate: $(INSTALLED) ## Write docs/events.md, JSON Schema and AsyncAPI from the contract
	$(PYTHON) docs/generate.py

.PHONY: lock
lock: | $(UV) ## Pin every dependency by hash, after pyproject.toml changed
	$(EXPORT) --group dev --group local --group build -o requirements.lock
	$(EXPORT) --no-default-groups --group build --extra iam -o requirements.image.lock
	$(EXPORT) --only-group supply -o requirements.supply.lock

.PHONY: lock-jars
lock-jars: $(INSTALLED) ## Pin the jars of Kafka and the S3 server, after a pom.xml in local/jars changed (needs Maven)
	$(PYTHON) -m local.jars.relock

.PHONY: audit-deps
audit-deps: $(INSTALLED) $(SUPPLY)/.installed ## Known vulnerabilities of what the locks pin; Error 3: the data cannot be reached from here
	$(PYTHON) -m local.supply.vulnerabilities $(SUPPLY)/bin/pip-audit requirements.lock requirements.supply.lock

.PHONY: sbom
sbom: $(INSTALLED) $(SUPPLY)/.installed ## Our bill of materials (CycloneDX), checked against its schema: build/sbom.cdx.json
	$(PYTHON) -m local.supply.bill $(SUPPLY)/bin/cyclonedx-py build/sbom.cdx.json

$(SUPPLY)/.installed: requirements.supply.lock | $(UV)
	$(UV) venv --quiet --allow-existing $(SUPPLY)
	$(UV) pip sync --quiet --python $(SUPPLY)/bin/python --require-hashes requirements.supply.lock
	@touch $@

$(INSTALLED): requirements.lock pyproject.toml | $(UV)
	@./local/machine.sh
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(PYTHON) --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	$(PYTHON) -m compileall -q $(PACKAGES) # a dozen processes start at once: none should compile first
	@touch $@

$(UV):
	@./local/machine.sh
	./local/fetch_uv.sh $(patsubst %/bin/uv,%,$@)
