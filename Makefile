SHELL := /bin/bash
PYTHON := $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
BPY_LIBRARIES := libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libxext6 libgl1 libegl1 bubblewrap
.PHONY: help check test test-system chaos up lock clean system-libraries

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.venv/.stamp: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed (bpy has no other): install python3.11, or use pyenv or uv, and try again."; exit 1; }
	@echo "installing the hub's packages ..."
	@[ -x $(PY) ] || $(PYTHON) -m venv .venv
	@$(PY) -m pip install -q --require-hashes -r requirements.lock
	@$(PY) -m pip install -q --no-deps -e .
	@touch $@

.venv-node/.stamp: requirements-node.lock
	@echo "installing the node's packages (Blender, about 370 MB) ..."
	@[ -x .venv-node/bin/python ] || $(PYTHON) -m venv .venv-node
	@.venv-node/bin/python -m pip install -q --require-hashes -r requirements-node.lock
	@touch $@

system-libraries:
	@missing=$$(for p in $(BPY_LIBRARIES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then echo "installing" $$missing "..."; apt-get update -qq && \
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
		else echo "Blender needs these Debian packages; ask root to: apt-get install" $$missing; fi; fi

check: .venv/.stamp  ## ruff, mypy, import-linter
	@$(PY) -m ruff check app workers gpu_node devnet tests migrations wsgi.py celery_app.py
	@$(PY) -m mypy
	@.venv/bin/lint-imports

test: .venv/.stamp .venv-node/.stamp system-libraries  ## the suite on the embedded parts
	@$(PY) -m pytest -m "not system and not chaos"

test-system: .venv/.stamp .venv-node/.stamp  ## what needs Debian packages or npm
	@$(PY) -m pytest -m system; code=$$?; [ $$code = 0 ] || [ $$code = 5 ] && true || exit $$code

up: .venv/.stamp .venv-node/.stamp system-libraries  ## run everything here until Ctrl-C
	@ALLOW_PRIVATE_ENDPOINTS=true .venv/bin/lightyard up

chaos: .venv/.stamp .venv-node/.stamp  ## the long fault runs
	@$(PY) -m pytest -m chaos

lock:  ## make the lock files anew
	@uv pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra dev pyproject.toml -o requirements.lock
	@uv pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate requirements-node.in -o requirements-node.lock

clean:  ## remove what was installed and made
	rm -rf .venv .venv-node .lightyard
