# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic clips with known truth, rendered from still images and sequences as they are read."""
