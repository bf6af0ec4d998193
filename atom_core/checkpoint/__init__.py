# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The authors' checkpoint file: read without running code, converted to our weights."""
