# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What the tracker does about a lost target: the search, and the appearance that recognises it."""
