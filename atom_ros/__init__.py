# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 node around atom_core: images in, a target by service call, Track messages out."""

import atom_core  # noqa: F401 - before PyTorch: it sets variables that PyTorch reads at its import
