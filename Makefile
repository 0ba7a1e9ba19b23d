# make demo, make test: see `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SANDBOX := PYTHONPATH=tests $(BIN)/python -m support.sandbox
COLLECTION := .ansible/collections/ansible_collections/emprops/comfyui
STAMP := $(VENV)/.requirements-$(shell sha256sum requirements-dev.txt | cut -c1-12)

export COMFYUI_SOURCE COMFYUI_VERSION
# Whatever another project on this computer has set.
unexport ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH ANSIBLE_INVENTORY

# The tools call each other by name.
test scenarios: export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help setup demo demo-down test scenarios

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo "  COMFYUI_SOURCE=<url or path of a git repository> [COMFYUI_VERSION=<ref>] make demo"
	@echo "                    deploys that instead of the ComfyUI stand-in"

setup: $(STAMP) ## the pinned tools in .venv, and this checkout importable as emprops.comfyui
	@mkdir -p $(dir $(COLLECTION))
	@ln -sfn ../../../.. $(COLLECTION)

$(STAMP): requirements-dev.txt
	@PYTHONPATH=tests $(PYTHON) -m support.sandbox.prerequisites
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	@rm -f $(VENV)/.requirements-*
	@touch $@

demo: setup ## a machine with two mock GPUs, ComfyUI on both, a prompt run on each
	@$(SANDBOX) up --name demo
	@ANSIBLE_FORCE_COLOR=$$([ -t 1 ] && echo true || echo false) \
	    $(BIN)/ansible-playbook site.yml -i inventories/sandbox $(DEMO_ARGS) | tee .sandbox/demo/deploy.log
	@if grep -q 'changed=0 ' .sandbox/demo/deploy.log; then echo "sandbox: nothing changed"; fi
	@$(BIN)/ansible-playbook playbooks/prove.yml -i inventories/sandbox $(DEMO_ARGS)
	@$(SANDBOX) where --name demo

demo-down: ## remove all that make demo made
	@PYTHONPATH=tests $(PYTHON) -m support.sandbox down --name demo --everything

test: setup ## every check there is, machines included; the first that fails ends it
	@echo "== ansible-lint"; $(BIN)/ansible-lint --strict
	@echo "== ruff"; $(BIN)/ruff check
	@echo "== mypy"; $(BIN)/mypy plugins/module_utils
	@echo "== validate-modules"; $(BIN)/python tests/support/validate_modules.py
	@echo "== unit tests"; $(BIN)/pytest --numprocesses auto --dist loadfile
	@$(MAKE) --no-print-directory scenarios

scenarios: setup ## the molecule scenarios alone
	@echo "== molecule"
	@if $(SANDBOX) ready; then \
	    rm -f .sandbox/tests-*.log; \
	    $(BIN)/molecule test --all || { grep -hs '^FAILED\|^ERROR\|^E  ' .sandbox/tests-*.log | cut -c1-300 | tail -n 40; exit 1; }; \
	else \
	    echo "The molecule scenarios were NOT run: this computer cannot run them, for the reasons above."; \
	    [ "$${CI:-}" != true ]; \
	fi
