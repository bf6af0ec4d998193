# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The web page: the tracker's live picture in a browser, in which to point at targets."""
