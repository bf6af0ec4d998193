# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""ATOM visual object tracking (CVPR 2019) in PyTorch. Knows nothing of ROS."""

import os

# On the CPU, OpenVINO's threads and PyTorch's take turns several times a frame, and OpenMP's would by default go on
# spinning after their work, on cores that the others need. A few microseconds of it are kept: the learning's operations
# are short, and waking a thread for each takes longer. Both are read when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
