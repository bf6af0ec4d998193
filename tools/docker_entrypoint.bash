#!/usr/bin/env bash
# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
# In the Docker image: runs a command in the environment of ROS and the package.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source "${WORKSPACE}/install/setup.bash"
source "${VIRTUAL_ENV}/bin/activate"
exec "$@"
