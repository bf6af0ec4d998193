# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The target model: learned in the first frame, updated online, read as a score map."""
