# Two commands do everything on a machine with Python 3.11+ and make: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_PERSONS ?= 2000
DEMO_DAYS ?= 60
DEMO_SEED ?= 7
TEST_PROCESSES ?= 3

.PHONY: run test check ui install demo lock docs bench clean

run: install ## install, demo world, whole pipeline, summary
	$(BIN)/cdp world generate --persons $(DEMO_PERSONS) --days $(DEMO_DAYS) --seed $(DEMO_SEED)
	$(BIN)/cdp world up
	@trap '$(BIN)/cdp world down' EXIT; $(BIN)/cdp run; code=$$?; $(BIN)/cdp world evaluate; exit $$code

test: install ## all tests
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder

check: install ## what must hold before a commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cdp declarations check
	cd dbt_project && ../$(BIN)/dbt --quiet parse
	cd dbt_project && ../$(BIN)/sqlfluff lint --disable-progress-bar --processes 2 models

ui: install ## Dagster UI on the same state (with the demo's systems, if there is a demo world)
	@trap '$(BIN)/cdp world down' EXIT; $(BIN)/cdp world up || true; $(BIN)/cdp ui

install: $(VENV)/.installed

# uv reads the lock and refuses anything whose hash differs; it is itself pinned by hash. Compiled once here, since a run starts
# a dozen Python processes, and some machines do not let Python keep what it compiles.
$(VENV)/.installed: requirements.lock requirements/bootstrap.txt pyproject.toml requirements/runtime.in
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	UV_COMPILE_BYTECODE_TIMEOUT=600 $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline --python $(BIN)/python -e .
	touch $@

lock: ## resolve requirements/*.in anew (no index address is written)
	$(BIN)/uv pip compile requirements/dev.in --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--python-version 3.11 --universal --quiet -o requirements.lock

docs: install ## dbt's docs site and the schemas
	$(BIN)/cdp declarations schema --out docs/schemas
	cd dbt_project && ../$(BIN)/dbt docs generate

bench: install ## measures, written to docs/benchmarks.md
	$(BIN)/python -m benchmarks

clean: ## remove generated state (the warehouse, too)
	rm -rf .cdp dbt_project/target dbt_project/models/generated dbt_project/macros/generated
