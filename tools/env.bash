# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
# Opens the environment that `make env` built, in a bash shell: source tools/env.bash

_atom_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [ ! -f "$_atom_root/.venv/installed.json" ] || [ ! -f "$_atom_root/install/built.sha256" ]; then
  echo "The environment is not complete. Run first: make -C $_atom_root env" >&2
  unset _atom_root
  return 1
fi
if [ -n "${AMENT_PREFIX_PATH:-}" ]; then  # another ROS, or this one opened before: its libraries would be mixed in
  unset PYTHONPATH LD_LIBRARY_PATH COLCON_PREFIX_PATH
fi
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE  # otherwise Python would not find this environment's ROS libraries
source "$_atom_root/.venv/bin/activate"
export AMENT_PREFIX_PATH="$VIRTUAL_ENV" CMAKE_PREFIX_PATH="$VIRTUAL_ENV"
unset PYTHONDONTWRITEBYTECODE  # otherwise each process compiles PyTorch again, some five seconds
export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=jazzy
export COLCON_DEFAULTS_FILE="$_atom_root/tools/colcon.yaml"
source "$_atom_root/install/setup.bash"
# The checkout comes before the installed links, so that a new file is found at once.
export PYTHONPATH="$_atom_root${PYTHONPATH:+:$PYTHONPATH}"
unset _atom_root
