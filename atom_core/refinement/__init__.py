# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""From proposals to the refined box: gradient ascent on the predicted IoU."""
