# Every target does its own set-up on a fresh Debian 12: Debian packages, virtual environment.
# `make help` lists them.

SHELL      := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON    ?= /usr/bin/python3
VENV      := .venv
BIN       := $(CURDIR)/$(VENV)/bin
STAMP     := $(VENV)/.installed
INVENTORY ?= inventory/playground
# What forwards packets in `make cluster` and `make conformance`: linux, or vpp, installed where VPP_PREFIX says.
DATAPLANE ?= linux
VPP_PREFIX ?=
PYTEST_ARGS ?=
# Seconds after which `make test-nic` gives up.
NIC_TIME ?= 3600
FAMILY    ?= ipv4
TRANSPORT ?= vxlan
WORLD     ?= namespaces

export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export VPP_PREFIX

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

.PHONY: packages
packages: ## install the Debian packages that are missing
	@.ci/packages

.PHONY: packages-virtual
packages-virtual: packages
	@.ci/packages virtual

.PHONY: venv
venv: $(STAMP) ## make the virtual environment in .venv

$(STAMP): pyproject.toml constraints.txt | packages
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $@

.PHONY: constraints
constraints: $(STAMP) ## pin what .venv holds now
	{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -v '^-e'; } > constraints.new
	mv constraints.new constraints.txt

.PHONY: lint
lint: $(STAMP) ## style, types, layers, playbooks, documentation of the modules
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	yamllint --strict .
	ansible-lint --offline --strict
	for module in library/*.py; do \
	    ansible-doc -M library "$$(basename $$module .py)" > /dev/null; \
	done

.PHONY: test
test: $(STAMP) ## everything: unit, integration, and the end-to-end test on three nodes last
	pytest $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: $(STAMP) ## the long fault tests: contiv-stn killed at every step; on the three nodes 50 kills in 100 pod additions
	pytest -m 'slow or slow_e2e' $(PYTEST_ARGS)

.PHONY: test-laws
test-laws: $(STAMP) ## the laws of scheduler, features and drivers, with examples that no run had before
	HYPOTHESIS_PROFILE=exploring pytest -m hypothesis $(PYTEST_ARGS)

.PHONY: molecule
molecule: $(STAMP) ## the deployment on machines of its own: check, twice, upgrade, one that fails, reset; ONLY=default|upgrade
	for scenario in $(if $(ONLY),$(ONLY),default upgrade); do molecule test --scenario-name $$scenario; done

.PHONY: test-vpp
test-vpp: DATAPLANE = vpp
test-vpp: dataplane $(STAMP) ## what needs a real VPP: alone, and on three nodes of its own; VPP_PREFIX says where it is
	pytest -m 'vpp and not e2e' $(PYTEST_ARGS)
	pytest -m 'vpp and e2e' $(PYTEST_ARGS)

.PHONY: test-vm
test-vm: DATAPLANE = vpp
test-vm: dataplane packages-virtual $(STAMP) ## pods on TAPs, in a virtual machine with vhost-net; VPP_PREFIX names a VPP that needs no AVX-512
	tests/virtual/run tests/integration/dataplane/test_vpp_taps.py \
	    tests/integration/agent/test_vpp_cluster.py::test_a_killed_agent_loses_no_packet_and_has_nothing_to_do \
	    $(PYTEST_ARGS)

.PHONY: test-nic
test-nic: DATAPLANE = vpp
test-nic: dataplane packages-virtual $(STAMP) ## NICs, huge pages and the stolen NIC, in a virtual machine; VPP_PREFIX names a VPP with dpdk
	timeout $(NIC_TIME) molecule test -s nic || { contiv-playground vm down > /dev/null; exit 1; }

.PHONY: conformance
conformance: $(STAMP) ## connectivity of a data plane, whole; DATAPLANE=linux|vpp FAMILY=ipv4|ipv6|dual WORLD=namespaces|playground
	pytest tests/conformance -m "not unit" \
	    --world=$(WORLD) --dataplane=$(DATAPLANE) --family=$(FAMILY) --transport=$(TRANSPORT) $(PYTEST_ARGS)

.PHONY: bench
bench: $(STAMP) ## benchmarks, one JSON object per line; ONLY=cni_add runs one of them
	@for script in $(if $(ONLY),bench/$(ONLY).py,bench/*.py); do \
	    case $$script in */_*) continue;; esac; \
	    python $$script; \
	done

.PHONY: cluster
cluster: INVENTORIES = -i $(INVENTORY)$(if $(filter vpp,$(DATAPLANE)), -i inventory/playground-vpp)
cluster: dataplane $(STAMP) ## three nodes on this machine, six pods, a table of pings; DATAPLANE=vpp for VPP
	ansible-playbook $(INVENTORIES) playbooks/playground.yml
	ansible-playbook $(INVENTORIES) site.yml
	contiv-playground demo

.PHONY: dataplane
dataplane:
	@case '$(DATAPLANE)' in \
	linux) ;; \
	vpp) [ -x '$(VPP_PREFIX)/bin/vpp' ] || { echo 'DATAPLANE=vpp needs VPP_PREFIX: the folder that VPP is installed in,' \
	    'with bin/vpp in it$(if $(VPP_PREFIX), ($(VPP_PREFIX) has none))' >&2; exit 1; } ;; \
	*) echo 'DATAPLANE is linux or vpp, not $(DATAPLANE)' >&2; exit 1 ;; \
	esac

.PHONY: cluster-down
cluster-down: $(STAMP) ## take the three nodes away, with everything they brought
	contiv-playground down

.PHONY: clean
clean: ## remove what make made, except a running cluster
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
