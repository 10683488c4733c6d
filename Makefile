# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The repository's commands. Python does the work; this only finds one that is new enough.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys, venv, ensurepip; raise SystemExit(sys.version_info < (3, 11))' \
	2>/dev/null && { command -v "$$p"; break; }; done)

# "su" without "-" keeps a user's PATH, where mkfs, losetup, chroot and dockerd are missing.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help setup demo demo-clean test lint docs format bench faults architecture
.DEFAULT_GOAL := help

help:
	@echo "make demo        the main job against a stand-in: install, back up, restore (DEMO_ARCH=native: no emulation)"
	@echo "make demo-clean  remove what the demo made"
	@echo "make test        every check (STAGES=\"lint units\": only these)"
	@echo "make lint        the linters alone"
	@echo "make docs        the collection's pages as HTML, in build/docs"
	@echo "make bench       downtime, memory, calls and wear, side by side with the plain script (BENCH=\"downtime\")"
	@echo "make faults      kill -9, OOM and lost Docker at every step, with real containers"
	@echo "                 (FAULTS=boot: lost power, reboot and OOM on a whole virtual machine)"
	@echo "make architecture  draw docs/architecture.svg from the imports"
	@echo "make format      let ruff format the Python code"
	@echo "make setup       install what the others need, and nothing else"

# A machine without Python or venv gets Debian's; everything else is tools/setup.py's.
.PHONY: python
python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "installing Debian packages: python3 python3-venv"; \
		apt-get update -q >/dev/null && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3 python3-venv >/dev/null; \
	fi

run = $(or $(PYTHON),/usr/bin/python3) -m

setup: python
	@$(run) tools.setup

demo: python
	@$(run) tools.demo $(if $(DEMO_ARCH),--arch $(DEMO_ARCH))

demo-clean: python
	@$(run) tools.demo --clean

test: python
	@$(run) tools.run_tests $(STAGES)

lint: python
	@$(run) tools.run_tests lint

docs: python
	@$(run) tools.docs

bench: python
	@$(run) tools.bench $(BENCH)

faults: python
ifeq ($(FAULTS),boot)
	@$(run) tools.machine
else
	@$(run) tools.setup docker
	@.venv/bin/python -m pytest -q $(addprefix tests/integration/test_,*kill_matrix.py capture_engine_restart.py capture_oom.py)
endif

format: python
	@$(run) tools.setup lint
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .

architecture: python
	@$(run) tools.draw_architecture
