# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`atom-bench`: the tracker's cost in time, operations and memory."""
