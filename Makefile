# Needs Python 3.11 or newer with its venv module; `up`, `down` and `docker-test` need Docker instead.
# `python -m …` everywhere: the scripts in .venv/bin begin with a path, which breaks when it has spaces.

PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
# In our order, what takes long first; by itself it would take files with many tests first.
PYTEST := .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
LOCK := .venv/bin/python -m uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
CLIENT := $(wildcard client/isoline/*.py client/isoline/*/*.py)
# What a fresh clone has not: everything else here is data or source.
LEFTOVERS := .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo client archive doctor backup insights test check chaos mutants bench accuracy soak format lock up down docker-test clean

help:
	@echo "Isoline: ECG insights as a service"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: .venv/run.stamp ## Start everything here: API, workers, Flower, Valkey (Ctrl-C)
	@.venv/bin/python -m standalone --leashed

demo: .venv/run.stamp ## Upload a small 12-lead ECG, and print its insights
	@.venv/bin/python -m standalone.demo

client: .venv/client.stamp ## Install the `isoline` command as .venv/bin/isoline

archive: .venv/run.stamp ## Write a hundred synthetic ECGs into archive/, for a batch
	@.venv/bin/python -m standalone.synthetic archive 100

doctor: .venv/run.stamp ## Say what runs, waits and failed, and what to do about it
	@.venv/bin/python -m standalone.doctor $(ARGS)

backup: .venv/run.stamp ## Copy the database while in use: TO=a/new/file.db, or a URL
	@.venv/bin/python -m shared.backup "$(TO)"

insights: .venv/run.stamp ## Write the definitions of all insights into docs/insights.md
	@.venv/bin/python -m worker.definitions

test: .venv/dev.stamp ## Run the tests
	@$(PYTEST)

check: .venv/dev.stamp ## Check format, lint, types, import rules and tests
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy
	@$(PYTEST)

chaos: .venv/dev.stamp ## Kill everything during 10,000 uploads (ARGS=--help)
	@.venv/bin/python -m tests.chaos $(ARGS)

mutants: .venv/dev.stamp ## Break the life of a row, and see whether the tests notice
	@.venv/bin/python -m tests.worker.mutants

bench: .venv/bench.stamp ## Measure beside other programs; all figures in bench.json
	@.venv/bin/python -m bench $(ARGS)

accuracy: .venv/bench.stamp ## Count missed and invented beats on reference recordings
	@.venv/bin/python -m bench.accuracy $(ARGS)

soak: .venv/dev.stamp ## Send 50,000 jobs through one worker, and watch its memory
	@.venv/bin/python -m bench.soak $(ARGS)

format: .venv/dev.stamp ## Format the source and mend what ruff can
	@.venv/bin/python -m ruff format .
	@.venv/bin/python -m ruff check --fix .

lock: .venv/bin/python ## Pin the dependencies of pyproject.toml (ARGS=--upgrade)
	@$(PIP) install uv
	$(LOCK) $(ARGS) --extra server pyproject.toml -o requirements.txt
	$(LOCK) $(ARGS) --extra formats --group build -c requirements.txt pyproject.toml -o requirements-client.txt
	$(LOCK) $(ARGS) --extra server --extra formats --group dev -c requirements.txt -c requirements-client.txt \
	  pyproject.toml -o requirements-dev.txt
	$(LOCK) $(ARGS) --extra server --extra formats --group dev --group bench -c requirements-dev.txt pyproject.toml -o requirements-bench.txt

up: ## Start everything in Docker; writes .env if there is none
	@test -e .env || { umask 077 && \
	  secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; } && \
	  while IFS= read -r line; do case $$line in \
	    FLOWER_BASIC_AUTH=) echo "$${line}isoline:$$(secret)" ;; \
	    [A-Z]*=) echo "$$line$$(secret)" ;; \
	    *) echo "$$line" ;; \
	  esac; done < .env.example > .env.new && mv .env.new .env && \
	  echo "Wrote .env with random secrets."; }
	@$(call compose,up --build -d)

down: ## Stop what `make up` started; its data stays
	@$(call compose,down)

docker-test: ## Run the tests in a container
	docker build --target tests -f Dockerfile.worker -t isoline-tests .
	docker run --rm --init isoline-tests

clean: ## Remove .venv and all caches; your data in .isoline stays
	rm -rf $(LEFTOVERS)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define compose
	if docker compose version > /dev/null 2>&1; then docker compose $(1); \
	elif command -v docker-compose > /dev/null; then docker-compose $(1); \
	else echo "This needs Docker with its Compose plugin, or docker-compose." >&2; exit 1; fi
endef

# A stamp is newer than what it was installed from: pip runs when the requirements have changed.
.venv/run.stamp: requirements.txt .venv/bin/python
	$(call install,requirements.txt)

.venv/client.stamp: requirements-client.txt pyproject.toml $(CLIENT) .venv/bin/python
	$(call install,requirements-client.txt)
	@$(PIP) install --no-deps --no-build-isolation --force-reinstall .
	@touch $@
	@echo "Done. To use it in this shell: . .venv/bin/activate; then: isoline --help"

.venv/dev.stamp: requirements-dev.txt .venv/bin/python
	$(call install,requirements-dev.txt)

.venv/bench.stamp: requirements-bench.txt .venv/bin/python
	$(call install,requirements-bench.txt)

define install
	@echo "Installing $(1) into .venv; this needs the internet, the first time."
	@.venv/bin/python -m pip --version > /dev/null 2>&1 || .venv/bin/python -m ensurepip > /dev/null
	@$(PIP) install --require-hashes -r $(1)
	@touch $@
endef

.venv/bin/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || continue; \
	  $$python -c 'import ensurepip, venv' 2> /dev/null && exec $$python -m venv --clear .venv; \
	  lacking=$$python; \
	done; \
	if [ "$$lacking" ]; then echo "$$lacking lacks its venv module (Debian: apt install python3-venv)."; \
	else echo "Isoline needs Python 3.11 or newer, and found none."; fi >&2; exit 1
