# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the node's overhead: `python -m atom_ros.benchmark`."""
