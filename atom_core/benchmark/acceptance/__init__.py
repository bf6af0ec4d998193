# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The acceptance test of a device: `atom-bench accept`."""
