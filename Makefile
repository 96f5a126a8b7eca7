SHELL := /bin/bash
PYTHON := $(shell for p in $$(command -v python3.11) /usr/bin/python3.11 /usr/local/bin/python3.11 $$(command -v python3); do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
NODE_PY := .venv-node/bin/python
SOURCES := app workers gpu_node sdk devnet monitoring tests migrations $(wildcard bench) wsgi.py celery_app.py
LIBRARIES := libX11.so.6=libx11-6 libXrender.so.1=libxrender1 libXfixes.so.3=libxfixes3 libXi.so.6=libxi6 \
	libxkbcommon.so.0=libxkbcommon0 libSM.so.6=libsm6 libICE.so.6=libice6 libXext.so.6=libxext6 libGL.so.1=libgl1 libEGL.so.1=libegl1
SYSTEM_COMMANDS := radosgw=radosgw ceph-mon=ceph-mon ceph-osd=ceph-osd ceph=ceph-common promtool=prometheus \
	soffice=libreoffice-calc-nogui rabbitmqctl=rabbitmq-server redis-server=redis-server amtool=prometheus-alertmanager \
	prometheus-alertmanager=prometheus-alertmanager \
	prometheus-node-exporter=prometheus-node-exporter prometheus-postgres-exporter=prometheus-postgres-exporter \
	podman=podman dockerd=docker.io runc=runc busybox=busybox-static \
	prometheus-redis-exporter=prometheus-redis-exporter /usr/lib/postgresql/15/bin/postgres=postgresql-15 ip=iproute2 wget=wget
TEST_PROCESSES ?= 4
.DEFAULT_GOAL := help
.PHONY: help install demo up check test test-system chaos bench settings dashboards lock clean system-libraries system-packages evm-chain ton-chain liteservers tracing

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: .venv/.stamp .venv-node/.stamp system-libraries  ## install what is missing: two Python environments, Blender, its libraries

.venv/.stamp: requirements.lock pyproject.toml sdk/pyproject.toml
	@$(call make-venv,.venv)
	@echo "installing the hub's packages ..."
	@$(PY) -m pip install -q --require-hashes -r requirements.lock
	@$(PY) -m pip install -q --no-deps -e . -e ./sdk
	@touch $@

.venv-node/.stamp: requirements-node.lock
	@$(call make-venv,.venv-node)
	@echo "installing the node's packages (Blender, about 370 MB) ..."
	@set -o pipefail; $(NODE_PY) -m pip install --require-hashes -r requirements-node.lock | { grep -v 'already satisfied' || true; }
	@touch $@

# Debian keeps venv's pip in a package of its own.
define make-venv
	[ -n "$(PYTHON)" ] || { echo "Python 3.11 is needed (Blender's module has no other): install python3.11, or use pyenv or uv, and try again."; exit 1; }; \
	if [ ! -x $(1)/bin/pip ]; then \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			if [ "$$(id -u)" = 0 ]; then echo "installing python3.11-venv ..."; apt-get update -qq && \
				DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3.11-venv >/dev/null; \
			else echo "Python's venv is missing; ask root to: apt-get install python3.11-venv"; exit 1; fi; }; \
		rm -rf $(1) && $(PYTHON) -m venv $(1); fi
endef

system-libraries:
	@missing=$$(for pair in $(LIBRARIES); do /sbin/ldconfig -p | grep -q "$${pair%%=*}" || echo "$${pair##*=}"; done); \
	command -v bwrap >/dev/null || missing="$$missing bubblewrap"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then echo "installing" $$missing "..."; apt-get update -qq && \
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
		else echo "Blender and its sandbox want these Debian packages; ask root to: apt-get install" $$missing; fi; fi

# The local EVM chain. Nothing stops without it: roots are then kept, and not anchored.
EVM := devnet/evm
evm-chain:
	@[ $(EVM)/node_modules/.stamp -nt $(EVM)/package-lock.json ] || [ .venv-evm/.stamp -nt $(EVM)/requirements.lock ] || \
	if command -v npm >/dev/null && echo "installing a local EVM chain (anvil, 44 MB) ..." && \
		(cd $(EVM) && timeout 90 npm ci --no-progress --fetch-retries=1 --fetch-timeout=20000 >/dev/null && touch node_modules/.stamp); then :; \
	elif command -v anvil >/dev/null; then :; \
	elif echo "npm can't give anvil; installing eth-tester for the local EVM chain ..." && $(PYTHON) -m venv .venv-evm && \
		.venv-evm/bin/python -m pip install -q --require-hashes -r $(EVM)/requirements.lock && touch .venv-evm/.stamp; then :; \
	else echo "no local EVM chain: roots of the ledger will not be anchored (install npm, or set EVM_RPC_URL)"; fi

# The local TON. Nothing stops without it: payments and payouts in TON then need TON_API_URL.
TON := devnet/ton
ton-chain:
	@[ .venv-ton/.stamp -nt $(TON)/requirements.lock ] || \
	if echo "installing a local TON (pytvm, 12 MB) ..." && rm -rf .venv-ton && $(PYTHON) -m venv .venv-ton && \
		.venv-ton/bin/python -m pip install -q --require-hashes -r $(TON)/requirements.lock && \
		.venv-ton/bin/python -c 'from devnet.ton.machine import Machine; Machine()' && touch .venv-ton/.stamp; then :; \
	else echo "no local TON: set TON_API_URL to a chain's, or go without"; fi

# pytonlib, for TON straight from liteservers (TON_CONFIG). Nothing stops without it: toncenter needs none. One of its parts is
# no wheel, so it wants a C compiler and Python's headers.
HAS_COMPILER := command -v gcc >/dev/null && [ -e "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]
liteservers: .venv/.stamp
	@[ .venv/.liteservers -nt requirements-liteserver.lock ] || { \
	{ $(HAS_COMPILER); } || [ "$$(id -u)" != 0 ] || { echo "installing gcc python3-dev ..."; apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev >/dev/null; }; \
	if echo "installing TON's liteserver client (pytonlib, 33 MB) ..." && \
		$(PY) -m pip install -q --require-hashes -r requirements-liteserver.lock && touch .venv/.liteservers; then :; \
	else echo "no liteserver client: it needs gcc and python3-dev; use TON_API_URL, or install those and run \`make liteservers\`"; fi; }

# OpenTelemetry, for OTEL_EXPORTER_OTLP_ENDPOINT. It is not among the hub's own packages: the Redis client loads it wherever it finds
# it, which every process would pay for at its start.
tracing: .venv/.stamp  ## install OpenTelemetry (docs/logs.md)
	@[ .venv/.tracing -nt requirements-tracing.lock ] || \
	if $(PY) -m pip install -q --require-hashes -r requirements-tracing.lock && touch .venv/.tracing; then :; \
	else echo "no OpenTelemetry: no traces are sent, and their tests are skipped; try \`make tracing\` again"; fi

demo: install  ## a real render: quoted, paid on a local chain, rendered in Blender, downloaded
	@.venv/bin/lightyard demo

up: install evm-chain ton-chain  ## run everything here until Ctrl-C
	@.venv/bin/lightyard up

check: .venv/.stamp  ## ruff, mypy, import-linter, secrets, known vulnerabilities
	@$(PY) -m ruff check $(SOURCES)
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m tests.audit.secrets
	@$(PY) -m tests.audit.advisories

test: install evm-chain ton-chain liteservers tracing  ## the suite on the embedded parts
	@$(PY) -m pytest -n $(TEST_PROCESSES) --dist loadfile -m "not system and not chaos"

# RUNLEVEL=1: packages of servers do not start them.
system-packages:
	@missing=$$(for pair in $(SYSTEM_COMMANDS); do command -v "$${pair%%=*}" >/dev/null || echo "$${pair##*=}"; done); \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then echo "installing" $$missing "..."; apt-get update -qq && \
			RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
		else echo "The system tests want these Debian packages; ask root to: apt-get install" $$missing; fi; fi

test-system: install system-packages evm-chain ton-chain liteservers tracing  ## what needs Debian packages or npm
	@$(PY) -m pytest -m system; code=$$?; [ $$code = 0 ] || [ $$code = 5 ] && true || exit $$code

chaos: install  ## the long fault runs
	@$(PY) -m pytest -m chaos

bench: install  ## the figures, side by side, into bench/RESULTS.md
	@$(PY) -m bench

settings: .venv/.stamp  ## write docs/settings.md anew
	@.venv/bin/lightyard settings --markdown > docs/settings.md

dashboards: .venv/.stamp  ## write monitoring/grafana/dashboards anew from monitoring/grafana/source
	@$(PY) -m monitoring.grafana.source

lock:  ## make the lock files anew
	@uv pip compile -q --python-version 3.11.0 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra dev pyproject.toml -o requirements.lock
	@uv pip compile -q --python-version 3.11.0 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -c requirements.lock pyproject.toml -o requirements-hub.lock
	@uv pip compile -q --python-version 3.11.0 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -c requirements.lock requirements-liteserver.in -o requirements-liteserver.lock
	@uv pip compile -q --python-version 3.11.0 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -c requirements.lock requirements-tracing.in -o requirements-tracing.lock
	@uv pip compile -q --python-version 3.11.0 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate requirements-node.in -o requirements-node.lock
	@uv pip compile -q --python-version 3.11.0 --prerelease allow --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate devnet/evm/requirements.in -o devnet/evm/requirements.lock
	@uv pip compile -q --python-version 3.11.0 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate devnet/ton/requirements.in -o devnet/ton/requirements.lock

clean:  ## remove what was installed and made
	rm -rf .venv .venv-node .venv-evm .venv-ton devnet/evm/node_modules .lightyard .lightyard-demo
