# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic clips with ground truth, rendered on demand from still images and sequences."""
