# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`atom-bench`: what the tracker costs, in time, in operations and in memory."""
