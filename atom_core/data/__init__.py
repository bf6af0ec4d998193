# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Sequences on disk: frames and reference boxes, in the layouts of the benchmarks."""
