# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The web page: the tracker's live image in a browser, for selecting targets."""
