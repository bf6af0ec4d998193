#!/usr/bin/env bash
# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
# In the Docker image: runs a command with ROS, the package and its Python at hand.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source "${WORKSPACE}/install/setup.bash"
source "${VIRTUAL_ENV}/bin/activate"
exec "$@"
