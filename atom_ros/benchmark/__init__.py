# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Measures what the node costs: `python -m atom_ros.benchmark`."""
