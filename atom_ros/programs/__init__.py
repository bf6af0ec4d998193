# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Programs other than the node, for `ros2 run atom_tracker ...`."""
