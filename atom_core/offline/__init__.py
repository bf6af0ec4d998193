# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Following targets through recordings, frame by frame and without drops: `atom-track`, and the core of `track_bag`."""
