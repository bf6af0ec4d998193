# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env demo test test-fast oldest lint gpu fuzz soak shell clean distclean

# The interpreter that .venv is made with: Python 3.11 or 3.12.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,\
  $(shell $(name) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $(name))))

# Runs a command in the environment. Nodes talk on this machine only: tests and the demo must not meet a robot.
OPEN := source tools/env.bash && export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST &&

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo 'ARGS="..." is handed on to the program, for instance: make demo ARGS=--lockstep'

env:  ## build or update the environment: .venv, the pinned packages, the ROS interfaces
ifeq ($(strip $(PYTHON)),)
	@echo 'Python 3.11 or 3.12 is needed, and none was found. Install one and name it: make PYTHON=/path/to/python3.12 ...' >&2
	@exit 1
endif
	@$(PYTHON) tools/setup_env.py

demo: env  ## track a person through a street scene over real ROS 2; writes demo_output/
	@$(OPEN) python demo/run.py $(ARGS)

test: env  ## check the style and the types, then run every test with real ROS 2
	@$(OPEN) { status=0; ruff check . || status=1; ruff format --check . || status=1; \
	  mypy || status=1; \
	  python -m pytest -n 2 --dist loadfile $(ARGS) || status=1; exit $$status; }

test-fast: env  ## run the quick tests: no processes, no nodes, no training, no tracking
	@$(OPEN) python -m pytest -n 2 --dist loadfile -m 'not (process or node or training or tracking)' $(ARGS)

oldest:  ## run a part of the tests with the oldest NumPy, OpenCV and PyTorch supported, in .venv-oldest
	@$(or $(shell python3.12 -c 'import sys; print(sys.executable)' 2>/dev/null),$(PYTHON)) tools/oldest.py $(ARGS)

lint: env  ## check the style, the types, and the documentation's links
	@$(OPEN) ruff check . && ruff format --check . && mypy && \
	  python -m pytest --quiet --no-header test/test_documentation.py

gpu: env  ## check that the tracker works on a CUDA device as on the CPU, and how fast; writes accept_output/
	@$(OPEN) python -m atom_core.benchmark.command accept --device cuda $(ARGS)

fuzz: env  ## send the node 10 000 malformed and hostile messages and requests
	@$(OPEN) python test/atom_ros/fuzz.py $(ARGS)

soak: env  ## run camera and node for MINUTES=10, and report memory, delays and drops
	@$(OPEN) python -m atom_ros.benchmark.soak $(or $(MINUTES),10) $(ARGS)

shell: env  ## open a shell in the environment, to run nodes by hand
	@bash --rcfile <(echo '[ -f ~/.bashrc ] && . ~/.bashrc; . tools/env.bash') -i

clean:  ## remove what was built and what was recorded, but not .venv
	rm -rf build install log demo_output accept_output .mypy_cache .pytest_cache .ruff_cache .hypothesis

distclean: clean  ## remove .venv and .venv-oldest too
	rm -rf .venv .venv-oldest
