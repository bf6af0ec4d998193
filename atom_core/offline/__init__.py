# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Tracking in recordings, frame by frame and without drops: `atom-track`, and the core of `track_bag`."""
