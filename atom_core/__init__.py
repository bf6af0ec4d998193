# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""ATOM visual object tracking (CVPR 2019) in PyTorch. Knows nothing of ROS."""
