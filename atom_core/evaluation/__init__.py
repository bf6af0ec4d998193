# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""One-pass evaluation of trackers on sequences with reference boxes."""
