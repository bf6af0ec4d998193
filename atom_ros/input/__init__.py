# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What the node subscribes to: images, clicks, regions of interest, detections."""
