# What a person types. `make help` lists it.

# The newest Python that really runs: version managers leave shims on PATH that only print an error.
find_python = for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	IFS=:; for folder in $$PATH; do \
		"$$folder/$$name" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
			>/dev/null 2>&1 && { echo "$$folder/$$name"; exit 0; }; \
	done; done
PYTHON ?= $(shell $(find_python))

LOCKS := requirements.lock requirements-dev.lock requirements-build.lock requirements-mutants.lock \
	requirements-browser.lock requirements-bench.lock
PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input
UV ?= uv
# As many at once as there are cores. A file's tests stay together, in their order: they share the processes that its
# fixtures start. Every gateway that a test starts reads the bytecode of the first one, whatever the environment says.
PYTEST := PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest -W error -q --numprocesses auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage security reference browser fuzz mutants bench lint types check lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.ready ## leave .venv/bin/gateway, installed from the lock file

.venv/.ready: $(LOCKS) pyproject.toml
	@test -n "$(PYTHON)" || { echo "setup: found no Python 3.11 to 3.14 with venv on PATH: install one" \
		"(Debian, Ubuntu: apt-get install python3-venv), or say make setup PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf .venv
	"$(PYTHON)" -m venv .venv
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@# The build backend is in the lock too, so nothing else is fetched.
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: .venv/.ready ## a gateway and a stand-in upstream on loopback, with lines to paste, until Ctrl-C
	@exec .venv/bin/gateway demo

test: .venv/.ready ## all tests but the slow ones and those that need Node or a browser
	$(PYTEST) -m "not slow and not mastra and not node and not browser"

coverage: .venv/.ready ## the same tests, and which lines and branches of the gateway none of them reaches
	rm -rf .coverage
	mkdir .coverage
	$(PYTEST:%/python=%/python -m coverage run) -m "not slow and not mastra and not browser" $(TESTS)
	.venv/bin/python -m coverage combine --quiet
	.venv/bin/python -m coverage report

security: .venv/.ready ## every attack, storm and fault, against the gateway as a process; prints what was tried
	$(PYTEST) tests/security

reference: .venv/.ready ## the tests and attacks once more, with the express lane switched off
	GATEWAY_EXPRESS=off $(PYTEST) -m "not mastra and not node and not browser"

browser: .venv/.ready ## the status page in Chromium (apt-get install chromium); SCREENSHOTS=folder keeps pictures
	$(PIP) install --quiet --require-hashes -r requirements-browser.lock
	GATEWAY_REQUIRE_BROWSER=1 $(if $(SCREENSHOTS),GATEWAY_SCREENSHOTS=$(SCREENSHOTS)) \
		.venv/bin/python -m pytest -W error -q tests/browser

FOR ?= 60
fuzz: .venv/.ready ## mutated requests for FOR=60 seconds, by SEED=number or chance; keeps what it finds as data
	.venv/bin/python -m tests.fuzz --seconds $(FOR) $(if $(SEED),--seed $(SEED))

mutants: .venv/.ready ## change each line of what decides, and see whether a test notices (about ten minutes)
	$(PIP) install --quiet --require-hashes -r requirements-mutants.lock
	.venv/bin/python -m mutmut run
	.venv/bin/python -m tests.mutants

bench: .venv/.ready ## the gateway beside Envoy, HAProxy, nginx, Node and aiohttp at the same work, into docs/performance.md
	$(PIP) install --quiet --require-hashes -r requirements-bench.lock
	.venv/bin/python -m tests.bench --write

lint: .venv/.ready ## format and lint
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: .venv/.ready ## mypy --strict
	.venv/bin/mypy --strict gateway

check: lint types test ## everything but the slow tests and those that need Node or a browser

lock: ## write the lock files anew, for all supported Pythons and machines (needs uv)
	rm -f $(LOCKS)
	$(UV) pip compile $(lock_options) pyproject.toml -o requirements.lock
	$(UV) pip compile $(lock_options) pyproject.toml --group dev --group build -c requirements.lock -o requirements-dev.lock
	$(UV) pip compile $(lock_options) --group build -c requirements-dev.lock -o requirements-build.lock
	$(UV) pip compile $(lock_options) pyproject.toml --group dev --group mutants -c requirements-dev.lock \
		-o requirements-mutants.lock
	$(UV) pip compile $(lock_options) --group browser -o requirements-browser.lock
	$(UV) pip compile $(lock_options) --group bench -o requirements-bench.lock
lock_options = --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock"

clean: ## remove .venv and caches
	rm -rf .venv mutants .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
